"""Choose the demonstrations that are most similar to each input.

Source: "What makes good in-context examples for GPT-3?", Liu et al. 2022, arXiv 2101.06804. Here
the similarity is BM25 over the words of the inputs (Robertson & Zaragoza 2009). It needs no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from lmc.prompts.spec import Demo


class Nearest:
    """An index over the words of demonstrations, built at the first use."""

    def __init__(self, demos: Sequence[Demo], count: int) -> None:
        self.demos, self.count = tuple(demos), count

    def pick(self, inputs: Mapping[str, Any]) -> tuple[Demo, ...]:
        """The `count` most similar demonstrations, the most similar last. Ties keep their order."""
        if len(self.demos) <= self.count:
            return self.demos
        known = [word for word in _words(inputs) if word in self._vocabulary]
        scores = self._index.get_scores(known) if known else [0.0] * len(self.demos)
        order = sorted(range(len(self.demos)), key=lambda i: (-float(scores[i]), i))
        return tuple(self.demos[i] for i in reversed(order[: self.count]))

    @cached_property
    def _texts(self) -> list[list[str]]:
        return [_words(demo.inputs) or [""] for demo in self.demos]

    @cached_property
    def _vocabulary(self) -> set[str]:
        return {word for text in self._texts for word in text}

    @cached_property
    def _index(self) -> Any:
        import bm25s

        index = bm25s.BM25()
        index.index(self._texts, show_progress=False)
        return index


def inputs_text(inputs: Mapping[str, Any]) -> str:
    """The texts of inputs, without their names."""
    return " ".join(_strings(inputs))


def _words(inputs: Mapping[str, Any]) -> list[str]:
    return re.findall(r"\w+", inputs_text(inputs).lower())


def _strings(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]
    return [] if value is None else [str(value)]
