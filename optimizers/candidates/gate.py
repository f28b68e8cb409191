"""The gate: a candidate chosen on some rows must prove its gain on other rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmc.measure.figures import Comparison, Difference, Figure
from lmc.measure.statistics import (
    gain_p_value,
    mean_interval,
    paired_difference,
    paired_p_value,
)

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult

# The intervals that the gate shows: two-sided at 90 % is one-sided at 5 %.
GATE_LEVEL = 0.90
MIN_CONFIRM_ROWS = 8  # fewer rows prove nothing


def compare(
    before: Sequence[RowResult], after: Sequence[RowResult], *, level: float = 0.95
) -> Comparison | None:
    """Both figures and their paired difference, over the rows that have a score in both.

    None if there is no such row.
    """
    pairs = _paired(before, after)
    if not pairs:
        return None
    series = [b for b, _ in pairs], [a for _, a in pairs]
    low, high = paired_difference(*series, level=level)
    difference = Difference(
        mean=sum(a - b for b, a in pairs) / len(pairs),
        low=low,
        high=high,
        p_value=paired_p_value(*series),
        rows=len(pairs),
    )
    return Comparison(before=figure(before), after=figure(after), difference=difference)


def figure(results: Sequence[RowResult]) -> Figure:
    """The mean score of some rows with its 95 % interval."""
    values = [r.value for r in results if r.value is not None]
    low, high = mean_interval(values)
    failed = sum(bool(r.failed) for r in results)
    mean = sum(values) / len(values)
    calls = sum(r.usage.calls for r in results) / len(results)
    return Figure(mean=mean, low=low, high=high, rows=len(values), failed=failed, calls=calls)


def chance(before: Sequence[RowResult], after: Sequence[RowResult]) -> float:
    """How likely so large a gain is if nothing got better; 1 if no row has a score in both."""
    pairs = _paired(before, after)
    return gain_p_value([b for b, _ in pairs], [a for _, a in pairs]) if pairs else 1.0


def losses(before: Sequence[RowResult], after: Sequence[RowResult]) -> float:
    """The share of rows that got worse."""
    pairs = _paired(before, after)
    return sum(a < b for b, a in pairs) / max(1, len(pairs))


def passes(before: Sequence[RowResult], after: Sequence[RowResult], allowed: float) -> bool:
    """Whether a candidate is better than its predecessor, on enough rows.

    The chance of so large a gain is at most `allowed`. For graded scores an interval of that level
    excludes 0 as well, because differences may be skewed.
    """
    pairs = _paired(before, after)
    if len(pairs) < MIN_CONFIRM_ROWS:
        return False
    series = [b for b, _ in pairs], [a for _, a in pairs]
    if sum(a - b for b, a in pairs) <= 0 or gain_p_value(*series) > allowed:
        return False
    if len({abs(a - b) for b, a in pairs if a != b}) == 1:
        return True
    return paired_difference(*series, level=max(0.0, 1 - 2 * allowed))[0] > 0


def _paired(before: Sequence[RowResult], after: Sequence[RowResult]) -> list[tuple[float, float]]:
    """The scores of the rows that have one in both."""
    first = {r.id: r.value for r in before if r.value is not None}
    return [(first[r.id], r.value) for r in after if r.value is not None and r.id in first]


def passes_cheaper(
    comparison: Comparison | None,
    before: Sequence[RowResult],
    after: Sequence[RowResult],
    margin: float,
) -> bool:
    """Whether a candidate uses fewer tokens and, with confidence, loses less than `margin`."""
    return (
        comparison is not None
        and comparison.difference.rows >= MIN_CONFIRM_ROWS
        and comparison.difference.low > -margin
        and sum(r.usage.tokens for r in after) < sum(r.usage.tokens for r in before)
    )


def gate_words(
    comparison: Comparison | None,
    accepted: bool,
    margin: float | None = None,
    chosen: Comparison | None = None,
    asked: tuple[float, float] | None = None,
) -> str:
    """The decision in a sentence. With a `margin` the gate required a lower cost, not a gain.

    `chosen` is the comparison on the rows that chose the candidate. There the winner of many looks
    better than it is. `asked` are the chance of the gain and the largest that passes.
    """
    if comparison is None:
        return "rejected: no row has a score both before and after"
    d = comparison.difference
    if d.rows < MIN_CONFIRM_ROWS:
        return f"rejected: {d.rows} rows are too few to confirm a gain"
    figures = f"{_means(comparison)} on {d.rows} confirm rows, {_gain(d)}"
    if chosen is not None:
        figures += f"; {_means(chosen)} on the {chosen.difference.rows} rows that chose it"
    if asked is not None:
        figures += f"; chance {asked[0]:.3f}, at most {asked[1]:.3f} passes"
    if margin is not None:
        before, after = comparison.before.calls, comparison.after.calls
        cost = f"{before:.3g} -> {after:.3g} calls a row, {figures}"
        lost = f"rejected, as it may lose more than {margin:g} or does not cost less: {cost}"
        return f"accepted: {cost}" if accepted else lost
    return f"accepted: {figures}" if accepted else f"rejected, no significant gain: {figures}"


def _means(comparison: Comparison) -> str:
    return f"{comparison.before.mean:.3f} -> {comparison.after.mean:.3f}"


def _gain(d: Difference) -> str:
    return f"{signed(d.mean)} (90 % interval of the gate {signed(d.low)} to {signed(d.high)})"


def signed(points: float) -> str:
    """A difference of scores with its sign."""
    return f"{points:+.3f}"
