"""Embeddings as requests: a request holds a text, the text of its answer the vector.

So they take the way of all requests: budget, cache, retries, journal.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterable

from lmc.models.base import EMBEDDED, ModelFailure, Request

PREFIX = "embed/"


def embedding_request(text: str) -> Request:
    """What asks for the vector of a text."""
    return Request("", ({"role": EMBEDDED, "content": text},))


def text_to_embed(request: Request, model: str) -> str:
    """The text whose vector is asked for. Raises: ModelFailure for a prompt."""
    if [message["role"] for message in request.messages] != [EMBEDDED]:
        text = f"`{PREFIX}{model}` gives embeddings; it cannot answer a prompt"
        raise ModelFailure("bad_request", text, retryable=False)
    return str(request.messages[0]["content"])


def encoded(vector: Iterable[float]) -> str:
    """A vector as the text of an answer: base64 of 32 bit floats."""
    return base64.b64encode(array("f", vector).tobytes()).decode()


def decoded(text: str) -> array[float]:
    """The vector that such a text holds."""
    return array("f", base64.b64decode(text))
