"""Guess the next tokens by what followed the same tokens before, in the prompt or the answer.

Source: prompt lookup decoding (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding), a
speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) without a second model. Differences:
the grammar of an answer is part of the guess, and a row that is mostly guessed wrongly stops.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from lmc.models.engine.constraints import Constraint

MOST_GUESSED = 8  # tokens of one row in one pass
_LONGEST_MATCH = 3  # tokens; the longest match counts, and of equal ones the last
_TRIED, _LEAST_RIGHT = 16, 0.25  # after so many guessed tokens, at least this share must be right

Gram = tuple[int, ...]


@dataclass(slots=True)
class Lookup:
    """The tokens of one row, and where each short sequence of them occurred last."""

    tokens: list[int] = field(default_factory=list)
    guessed: int = 0
    right: int = 0
    _after: dict[Gram, int] = field(default_factory=dict)  # the place behind a sequence
    _read: int = 0  # tokens whose sequences are known

    def copy(self) -> Lookup:
        """A copy for another answer with the same beginning."""
        return replace(self, tokens=[*self.tokens], _after={**self._after})

    @property
    def pays(self) -> bool:
        """Whether enough guesses were right so far."""
        return self.guessed < _TRIED or self.right >= _LEAST_RIGHT * self.guessed

    def guess(self, most: int) -> list[int]:
        """Up to `most` tokens that followed the last ones of the row when they occurred before."""
        self._learn()
        for size in range(min(_LONGEST_MATCH, len(self.tokens)), 0, -1):
            place = self._after.get(tuple(self.tokens[-size:]))
            if place is not None:
                return self.tokens[place : place + most]
        return []

    def _learn(self) -> None:
        """Note the sequences that end before the last token."""
        for end in range(self._read + 1, len(self.tokens)):
            for size in range(1, min(_LONGEST_MATCH, end) + 1):
                self._after[tuple(self.tokens[end - size : end])] = end
        self._read = max(self._read, len(self.tokens) - 1)


def within_grammar(
    guess: Sequence[int], constraint: Constraint | None, ends: Collection[int]
) -> list[int]:
    """The part of a guess that an answer may go on with, and the tokens that it then forces."""
    known = next((i for i, token in enumerate(guess) if token in ends), len(guess))
    if constraint is None:
        return [*guess[:known]]
    ahead, found = constraint.copy(), list[int]()
    for place in range(known):
        if len(found) > place:  # forced after an earlier token
            if found[place] != guess[place]:
                break
            continue
        if ahead.at_end or not ahead.allows(guess[place]):
            break
        ahead.accept(guess[place])
        found.append(guess[place])
        for token in ahead.forced():
            ahead.accept(token)
            found.append(token)
    return found
