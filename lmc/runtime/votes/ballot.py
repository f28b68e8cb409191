"""Counting votes: who leads, and when no further sample can change that."""

from __future__ import annotations

import heapq
import random
import string
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from lmc.canonical import canonical

Ties = Literal["first", "random"]
_ROUNDING = 1e-9  # tolerance for sums of weights


@dataclass(slots=True)
class Ballot:
    """The keys of the samples so far, in sample order. A failed sample abstains (None).

    `min_agree` is a number of samples if it is an int, or a share of `n` if it is a float.
    """

    n: int
    ties: Ties = "first"
    min_agree: float | None = None
    seed: str = ""  # decides random ties
    keys: list[Hashable | None] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Samples still to come."""
        return self.n - len(self.keys)

    def counts(self) -> dict[Hashable, int]:
        """The number of votes by key, in order of first sample."""
        counts: dict[Hashable, int] = {}
        for key in self.keys:
            if key is not None:
                counts[key] = counts.get(key, 0) + 1
        return counts

    def winner(self) -> Hashable | None:
        """The key with the most votes; None without votes, or if too few agree."""
        counts = self.counts()
        if not counts:
            return None
        most = max(counts.values())
        if most < self._enough():
            return None
        return self._break_tie([key for key, count in counts.items() if count == most])

    def wave(self) -> int:
        """How many samples to draw next: the fewest after which the winner could be certain.

        0 if it is certain now. This depends on the keys only, so a run draws the same samples
        whichever answer comes first.
        """
        counts = list(self.counts().values())
        return next(more for more in range(self.left + 1) if self._settled(counts, more))

    def _settled(self, counts: list[int], more: int) -> bool:
        """Whether the outcome is certain once the leader has `more` further votes."""
        left = self.left - more
        if left == 0:
            return True
        lead = max(counts, default=0) + more
        if lead + left < self._enough():
            return True
        if lead < self._enough():
            return False
        leader = counts.index(max(counts)) if counts else -1
        rivals = [(i, count + left) for i, count in enumerate(counts) if i != leader]
        return all(
            reach < lead or (reach == lead and self.ties == "first" and i > leader)
            for i, reach in [*rivals, (len(counts), left)]
        )

    def _enough(self) -> float:
        if self.min_agree is None:
            return 0
        share = isinstance(self.min_agree, float)
        return self.min_agree * self.n if share else self.min_agree

    def _break_tie(self, tied: list[Hashable]) -> Hashable:
        return random.Random(self.seed).choice(tied) if self.ties == "random" else tied[0]


def wave_by_weight(sums: Iterable[float], left: int, most: float) -> int:
    """How many samples to draw next if each adds between 0 and `most` to the sum of its key.

    As in `Ballot.wave`: the fewest after which the winner could be certain, 0 if it is certain now.
    """
    first, second = heapq.nlargest(2, (*sums, 0.0, 0.0))
    lead = first - second - _ROUNDING
    return next((more for more in range(left) if lead + more * most > (left - more) * most), left)


def ballot_key(value: Any, *, normalize: bool) -> str:
    """A JSON value as a key: equal values have equal keys.

    `normalize` ignores case, spacing, and punctuation around a text.
    """
    return canonical(_normal(value) if normalize else value)


def _normal(value: Any) -> Any:
    match value:
        case str():
            return " ".join(value.casefold().split()).strip(string.punctuation + " ")
        case list():
            return [_normal(item) for item in value]
        case dict():
            return {key: _normal(item) for key, item in value.items()}
        case _:
            return value
