"""What a measurement must reach to pass: a lowest score, and no loss against an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lmc.frozen import frozen
from lmc.measure.figures import Difference
from lmc.measure.statistics import paired_difference, paired_p_value

if TYPE_CHECKING:
    from lmc.measure.evaluate import Figures

MOST_LOSSES = 10  # rows that are named

Scored = tuple[str, float | None]  # the id of a row, and its score


@frozen
class Requirement:
    """Whether something that was asked of a measurement holds, and why, in words.

    `losses` are the rows that lost most against the base, as sentences.
    """

    name: str
    holds: bool
    words: str
    losses: tuple[str, ...] = ()


def at_least(found: Figures, floor: float) -> Requirement:
    """The mean score must be `floor` or more. Rows that have no score count as 0.

    So a server that is down for most rows does not let the rest pass the gate.
    """
    name = f"score at least {floor:g}"
    if not found.values:
        return Requirement(name, False, "nothing was measured: no row has a score")
    missing = found.rows - len(found.values)
    score = sum(found.values) / found.rows
    low, high = found.interval or (score, score)
    words = f"the score is {score:.4g}"
    if missing:
        words += f", counting {missing:,} of {found.rows:,} rows without a score as 0"
    holds = score >= floor - 1e-12
    side = "which reaches" if holds else "which is below"
    return Requirement(
        name, holds, f"{words}, {side} {floor:g} (95 % interval {low:.3f} to {high:.3f})"
    )


def no_loss(
    base: Mapping[str, float], found: Iterable[Scored], name: str, margin: float | None = None
) -> Requirement:
    """The scores must not be significantly worse than those of the base, on the same rows.

    With a `margin`, the mean must not be more than that much lower either. Rows without a score in
    the base are left out. Rows that lost their score count as 0.
    """
    title = f"no loss against {name}"
    pairs = [(id, base[id], score or 0.0) for id, score in found if id in base]
    if not pairs:
        return Requirement(title, False, f"no row has a score in {name}, so nothing is compared")
    change = difference([before for _, before, _ in pairs], [after for _, _, after in pairs])
    problem = _problem(change, margin)
    told = (
        f"{change.mean:+.4g} on {change.rows:,} rows (95 % interval {change.low:+.3f} to"
        f" {change.high:+.3f}, p = {change.p_value:.3g})"
    )
    words = f"{problem or _fine(change)}: {told}"
    return Requirement(title, problem is None, words, _losses(pairs) if problem else ())


def difference(before: list[float], after: list[float]) -> Difference:
    """The paired difference of two series of scores, with its 95 % interval."""
    low, high = paired_difference(before, after)
    return Difference(
        mean=sum(a - b for b, a in zip(before, after)) / len(before),
        low=low,
        high=high,
        p_value=paired_p_value(before, after),
        rows=len(before),
    )


def _problem(change: Difference, margin: float | None) -> str | None:
    """Why a change fails, or None. A loss counts if its interval and its p-value say so."""
    if change.high < 0 and change.p_value <= 0.05:
        return "significantly worse"
    if margin is not None and change.mean < -margin - 1e-12:
        return f"worse by more than the margin of {margin:g}"
    return None


def _fine(change: Difference) -> str:
    if change.low > 0:
        return "significantly better"
    if change.mean < 0:
        return "worse, but not significantly"
    return "not worse"


def _losses(pairs: list[tuple[str, float, float]]) -> tuple[str, ...]:
    lost = sorted((after - before, id, before, after) for id, before, after in pairs)
    shown = [f"row {id}: {b:.4g} -> {a:.4g}" for change, id, b, a in lost if change < 0]
    more = len(shown) - MOST_LOSSES
    return (*shown[:MOST_LOSSES], *([f"and {more:,} more rows"] if more > 0 else []))
