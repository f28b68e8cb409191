"""Embedding models of litellm: a request holds a text, and its answer holds the vector.

So embeddings use the same path as all requests: budget, cache, retries, journal.
"""

from __future__ import annotations

import base64
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmc.models.base import EMBEDDED, Answer, Capabilities, ModelFailure, Request
from lmc.models.border import token_count
from lmc.models.litellm_provider import LiteLLM, open_with

PREFIX = "embed/"


class Embedder(LiteLLM):
    """One embedding model. The text of an answer is the vector, as base64 of 32-bit floats."""

    def __init__(self, litellm: Any, model: str, **options: Any) -> None:
        super().__init__(litellm, model, **options)
        self.endpoint = f"embed:{self.endpoint}"
        self.capabilities = Capabilities()

    async def generate(self, request: Request) -> Sequence[Answer]:
        """The vector of one text. Raises: ModelFailure."""
        if [message["role"] for message in request.messages] != [EMBEDDED]:
            text = f"`{PREFIX}{self._model}` gives embeddings; it cannot answer a prompt"
            raise ModelFailure("bad_request", text, retryable=False)
        arguments = {**self._connection(request), "input": [request.messages[0]["content"]]}
        start_s = time.perf_counter()
        try:
            response = await self._litellm.aembedding(**arguments)
        except Exception as e:  # litellm lets through whatever its providers' clients raise
            raise self._failure(e) from None
        latency_ms = (time.perf_counter() - start_s) * 1000
        used = token_count(getattr(getattr(response, "usage", None), "prompt_tokens", 0))
        try:
            text = encoded(response.data[0]["embedding"])
        except (LookupError, TypeError, ValueError, OverflowError) as wrong:
            message = f"{self._model}: no vector of numbers came ({wrong})"
            raise ModelFailure("server", message, retryable=True) from None
        return [Answer(text, used, 0, self._cost_usd(response), latency_ms=latency_ms)]


def embedding_request(text: str) -> Request:
    """The request for the vector of a text."""
    return Request("", ({"role": EMBEDDED, "content": text},))


def encoded(vector: Iterable[float]) -> str:
    """Encode a vector as the text of an answer."""
    return base64.b64encode(array("f", vector).tobytes()).decode()


def decoded(text: str) -> array[float]:
    """Decode the text of an answer to a vector."""
    return array("f", base64.b64decode(text))


def open_embedder(model: str, settings: Mapping[str, Any]) -> Embedder:
    """Open an embedding model by its litellm name. Raises: as `open_litellm`."""
    return open_with(Embedder, model, settings)
