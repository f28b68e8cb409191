"""The bounds of the guards of self-training: their defaults, and how an option changes them."""

from __future__ import annotations

from dataclasses import fields, replace

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen


@frozen
class Bounds:
    """How far the measures of a round may go. None: that measure is told and never stops a round.

    Most compare with the start of the training. `length` is a ratio of mean lengths, in either
    direction. `repetition` is a rise of the share of repeated text. `diversity` (different results
    of a row), `variety` (different words) and `separation` (spread of the scores of a row) are the
    least shares that must be kept, and `agreement` is the largest rise; these four may be passed
    where more runs are accepted. `hard` is the least share of the score that must be kept on rows
    that were hard, and `kept` the least share of hard rows among those learnt from. `kl` is the
    divergence from the start in nats a token.

    Before anything is trained, `gap` is how much better what is learnt from must score than all
    that was sampled. Of a judge, `order` is the largest share of verdicts that hang on the order,
    `longer` that of wins of the longer answer, and `self` that of wins of own wrong answers
    against labels.
    """

    length: float | None = 2.0
    repetition: float | None = 0.15
    diversity: float | None = 0.5
    variety: float | None = 0.5
    agreement: float | None = 0.2
    separation: float | None = 0.25
    hard: float | None = 0.5
    kept: float | None = 0.5
    kl: float | None = 4.0
    gap: float | None = 0.0
    order: float | None = 0.5
    longer: float | None = 0.8
    self: float | None = 0.5


DEFAULT = Bounds()
NAMES = tuple(field.name for field in fields(Bounds))


def read_bounds(text: str | None) -> Bounds:
    """The bounds with the changes that a text names: `"length: 3, kl: none"`.

    Raises: LmcError[bad-option].
    """
    changes: dict[str, float | None] = {}
    for part in (text or "").split(","):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if not part.strip():
            continue
        if name not in NAMES:
            message = f"`bounds` has no measure `{name}`"
            raise LmcError.of("bad-option", message, help=suggestion(name, NAMES))
        try:
            changes[name] = None if value == "none" else float(value)
        except ValueError:
            message = f"`{value}` is not a bound of `{name}`"
            help = 'write a number or none, as in `bounds="length: 3, kl: none"`'
            raise LmcError.of("bad-option", message, help=help) from None
    return replace(DEFAULT, **changes)
