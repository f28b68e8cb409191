"""Embedding models of litellm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from lmc.models.base import Answer, Capabilities, ModelFailure, Request
from lmc.models.border import token_count
from lmc.models.embedding import encoded, text_to_embed
from lmc.models.litellm_provider import LiteLLM, open_with


class Embedder(LiteLLM):
    """One embedding model. The text of an answer is the vector, as base64 of 32-bit floats."""

    embeds = True

    def __init__(self, litellm: Any, model: str, **options: Any) -> None:
        super().__init__(litellm, model, **options)
        self.endpoint = f"embed:{self.endpoint}"
        self.capabilities = Capabilities()

    async def generate(self, request: Request) -> Sequence[Answer]:
        """The vector of one text. Raises: ModelFailure."""
        asked = text_to_embed(request, self._model)
        arguments = {**self._connection(request), "input": [asked]}
        start_s = time.perf_counter()
        response = await self._asked(self._litellm.aembedding, arguments)
        latency_ms = (time.perf_counter() - start_s) * 1000
        used = token_count(getattr(getattr(response, "usage", None), "prompt_tokens", 0))
        try:
            text = encoded(response.data[0]["embedding"])
        except (LookupError, TypeError, ValueError, OverflowError) as wrong:
            message = f"{self._model}: no vector of numbers came ({wrong})"
            raise ModelFailure("server", message, retryable=True) from None
        return [Answer(text, used, 0, self._cost_usd(response), latency_ms=latency_ms)]


def open_embedder(model: str, settings: Mapping[str, Any]) -> Embedder:
    """Open an embedding model by its litellm name. Raises: as `open_litellm`."""
    return open_with(Embedder, model, settings)
