"""Demonstrations that an embedding model chooses for each input.

Source: "What makes good in-context examples for GPT-3?", Liu et al. 2022, arXiv 2101.06804.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from lmc.models.base import Answer
from lmc.models.embedding import decoded
from lmc.prompts.nearest import inputs_text
from lmc.prompts.spec import Demo

Embed = Callable[[str], Awaitable[Answer]]


class NearestByMeaning:
    """An index over the vectors of demonstrations, which are requested with the first input."""

    def __init__(self, demos: Sequence[Demo], count: int, embed: Embed) -> None:
        self.demos, self.count, self._embed = tuple(demos), count, embed
        self._vectors: asyncio.Future[Any] | None = None

    async def pick(self, inputs: Mapping[str, Any]) -> tuple[tuple[Demo, ...], Answer | None]:
        """The `count` nearest demonstrations by cosine, the nearest last, and the paid embedding.

        Raises: ModelFailure, LmcError[budget-exceeded].
        """
        if len(self.demos) <= self.count:
            return self.demos, None
        answer, vectors = await asyncio.gather(self._embed(inputs_text(inputs)), self._known())
        likeness = vectors @ _unit(answer)
        order = sorted(range(len(self.demos)), key=lambda i: (-float(likeness[i]), i))
        return tuple(self.demos[i] for i in reversed(order[: self.count])), answer

    async def _known(self) -> Any:
        """The unit vectors of all demonstrations, one per row. A failure is not remembered."""
        if self._vectors is None:
            self._vectors = asyncio.ensure_future(self._ask_all())
        try:
            return await asyncio.shield(self._vectors)
        except Exception:
            self._vectors = None
            raise

    async def _ask_all(self) -> Any:
        import numpy

        texts = (inputs_text(demo.inputs) for demo in self.demos)
        return numpy.stack([_unit(a) for a in await asyncio.gather(*map(self._embed, texts))])


def _unit(answer: Answer) -> Any:
    import numpy

    vector = numpy.asarray(decoded(answer.text), dtype=numpy.float32)
    return vector / (numpy.linalg.norm(vector) or 1.0)
