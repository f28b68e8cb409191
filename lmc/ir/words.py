"""Likeness by words: which texts have the most to do with a query.

Source: BM25, Robertson & Zaragoza 2009. It needs no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any


class WordIndex:
    """An index over texts, built at its first use."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def nearest(self, query: str, count: int) -> list[int]:
        """The numbers of the `count` most similar texts, the most similar first.

        Ties keep their order.
        """
        known = [word for word in words(query) if word in self._vocabulary]
        scores = self._index.get_scores(known) if known else [0.0] * len(self._texts)
        order = sorted(range(len(self._texts)), key=lambda i: (-float(scores[i]), i))
        return order[: max(count, 0)]

    @cached_property
    def _words(self) -> list[list[str]]:
        return [words(text) or [""] for text in self._texts]

    @cached_property
    def _vocabulary(self) -> set[str]:
        return {word for text in self._words for word in text}

    @cached_property
    def _index(self) -> Any:
        import bm25s

        index = bm25s.BM25()
        index.index(self._words, show_progress=False)
        return index


@lru_cache(maxsize=8)
def index_of(texts: tuple[str, ...]) -> WordIndex:
    """The index over some texts. The last few are kept."""
    return WordIndex(texts)


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def text_of(value: Any) -> str:
    """The texts in a value, without the names of its fields."""
    return " ".join(_strings(value))


def _strings(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]
    return [] if value is None else [str(value)]
