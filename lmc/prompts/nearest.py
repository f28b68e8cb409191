"""Choose the demonstrations that are most similar to each input.

Source: "What makes good in-context examples for GPT-3?", Liu et al. 2022, arXiv 2101.06804. Here
the similarity is BM25 over the words of the inputs (Robertson & Zaragoza 2009). It needs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from lmc.ir.words import WordIndex, text_of
from lmc.prompts.spec import Demo


class Nearest:
    """An index over the words of demonstrations, built at the first use."""

    def __init__(self, demos: Sequence[Demo], count: int) -> None:
        self.demos, self.count = tuple(demos), count

    def pick(self, inputs: Mapping[str, Any]) -> tuple[Demo, ...]:
        """The `count` most similar demonstrations, the most similar last. Ties keep their order."""
        if len(self.demos) <= self.count:
            return self.demos
        found = self._index.nearest(text_of(inputs), self.count)
        return tuple(self.demos[i] for i in reversed(found))

    @cached_property
    def _index(self) -> WordIndex:
        return WordIndex([text_of(demo.inputs) for demo in self.demos])
