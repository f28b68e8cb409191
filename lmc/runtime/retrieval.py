"""What is nearest by meaning: texts whose vectors are like that of a query.

Demonstrations are chosen so for each input ("What makes good in-context examples for GPT-3?", Liu
et al. 2022, arXiv 2101.06804), and so are the records of a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from lmc.ir.words import text_of
from lmc.models.base import Answer
from lmc.models.embedding import decoded
from lmc.prompts.spec import Demo
from lmc.tasks.together import shared

Embed = Callable[[str], Awaitable[Answer]]


class MeaningIndex:
    """An index over the vectors of texts, which are requested with the first query."""

    def __init__(self, texts: Sequence[str], embed: Embed) -> None:
        self.texts, self._embed = tuple(texts), embed
        self.paid: list[Answer] = []  # the vectors of the texts
        self._vectors: asyncio.Future[Any] | None = None

    async def nearest(self, query: str, count: int) -> tuple[list[int], Answer]:
        """The numbers of the `count` nearest texts by cosine, the nearest first.

        Also the paid embedding of the query. Raises: ModelFailure, LmcError[budget-exceeded].
        """
        answer, vectors = await asyncio.gather(self._embed(query), self._known())
        likeness = vectors @ _unit(answer)
        order = sorted(range(len(self.texts)), key=lambda i: (-float(likeness[i]), i))
        return order[: max(count, 0)], answer

    async def _known(self) -> Any:
        """The unit vectors of all texts, one per row. A failure is not remembered."""
        if self._vectors is None:
            self._vectors = shared(self._ask_all())
        try:
            return await asyncio.shield(self._vectors)
        except Exception:
            self._vectors = None
            raise

    async def _ask_all(self) -> Any:
        import numpy

        self.paid = list(await asyncio.gather(*map(self._embed, self.texts)))
        return numpy.stack([_unit(answer) for answer in self.paid])


class NearestByMeaning:
    """The demonstrations that are nearest to each input."""

    def __init__(self, demos: Sequence[Demo], count: int, embed: Embed) -> None:
        self.demos, self.count = tuple(demos), count
        self._index = MeaningIndex([text_of(demo.inputs) for demo in demos], embed)

    async def pick(self, inputs: Mapping[str, Any]) -> tuple[tuple[Demo, ...], Answer | None]:
        """The `count` nearest demonstrations, the nearest last, and the paid embedding.

        Raises: ModelFailure, LmcError[budget-exceeded].
        """
        if len(self.demos) <= self.count:
            return self.demos, None
        found, answer = await self._index.nearest(text_of(inputs), self.count)
        return tuple(self.demos[i] for i in reversed(found)), answer


def _unit(answer: Answer) -> Any:
    import numpy

    vector = numpy.asarray(decoded(answer.text), dtype=numpy.float32)
    return vector / (numpy.linalg.norm(vector) or 1.0)
