"""Drills on tokens that mean nothing: what a model needs before any demonstration can help it.

In a recall drill a few keys come again and again, each with its own answer; in a copying drill the
answer is what was asked. Both are laid out as chats. A model that starts on words learns slowly
that answers stand in the prompt; drills show nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from examples.tiny.corpus import ANSWER, Encoder, PackedRow

_Turn = Callable[[], tuple[list[int], list[int]]]  # what is asked, and the answer

TOKENS = 96  # length of a drill


def draw_drill(rng: Random, encoder: Encoder, plain: bool = False) -> PackedRow:
    """Draw a chat of drill turns; only answers count. Keys are single tokens where `plain`."""
    turn = _recall(rng, encoder, plain) if rng.random() < 0.7 else _copying(rng, encoder)
    tokens: list[int] = []
    weights: list[float] = []
    while len(tokens) < TOKENS:
        asked, answered = turn()
        tokens += [encoder.user, *asked, encoder.assistant, *answered, encoder.end]
        weights += [0.0] * (len(asked) + 2) + [ANSWER] * (len(answered) + 1)
    return tokens, weights


def _recall(rng: Random, encoder: Encoder, plain: bool) -> _Turn:
    count, long = rng.choice((2, 3, 4)), not plain and rng.random() < 0.5
    keys = [_word(rng, encoder, rng.choice((1, 2, 3)) if long else 1) for _ in range(count)]
    answers = [_word(rng, encoder, rng.choice((1, 1, 2, 3) if long else (1, 1, 2))) for _ in keys]
    most = rng.choice((0, 0, 1, 3)) if long else 0  # tokens before a key that say nothing

    def turn() -> tuple[list[int], list[int]]:
        i = rng.randrange(count)
        return [*_word(rng, encoder, rng.randint(0, most)), *keys[i]], answers[i]

    return turn


def _copying(rng: Random, encoder: Encoder) -> _Turn:
    def turn() -> tuple[list[int], list[int]]:
        word = _word(rng, encoder, rng.randint(2, 8))
        return word, word

    return turn


def _word(rng: Random, encoder: Encoder, length: int) -> list[int]:
    return [rng.randrange(encoder.first_plain, encoder.vocabulary) for _ in range(length)]
