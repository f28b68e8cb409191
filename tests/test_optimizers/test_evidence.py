"""The gate's evidence: how often chance passes, and what gains it sees."""

from __future__ import annotations

import pytest

from bench.gate import Case, shares
from lmc.measure.evaluate import RowResult
from lmc.measure.statistics import gain_p_value
from lmc.optimizers.candidates.evidence import (
    ALPHA,
    FLOOR,
    MOST,
    allowed,
    for_rivals,
    power,
    sight_words,
    smallest_gain,
)
from lmc.optimizers.candidates.gate import chance, passes

RUNS = 1500


def scored(values: list[float]) -> list[RowResult]:
    return [RowResult(f"{i}", value) for i, value in enumerate(values)]


@pytest.mark.parametrize(("rows", "rivals", "losses"), [(20, 4, 0.2), (40, 1, 0.2), (100, 16, 0.1)])
def test_chance_passes_at_most_seven_times_in_a_hundred(
    rows: int, rivals: int, losses: float
) -> None:
    pytest.importorskip("numpy")
    assert shares(Case(rows, rivals, 0.0, losses), RUNS)[1] <= 0.07


def test_a_gain_that_was_refused_passes() -> None:
    """+0.125 on 40 rows was refused although it was real."""
    pytest.importorskip("numpy")
    before, after = shares(Case(40, 1, 0.125, 0.1), RUNS)
    print(f"a gain of 0.125 on 40 rows: {before:.2f} before, {after:.2f} now")
    assert after > 1.5 * before
    before, after = shares(Case(40, 1, 0.19, 0.05), RUNS)
    assert after > before
    assert after > 0.85


def test_the_case_of_the_issue() -> None:
    """7 of 40 rows better and 2 worse, on both halves: refused alone, accepted together."""
    before = scored([0.0] * 7 + [1.0] * 2 + [0.0] * 31)
    after = scored([1.0] * 7 + [0.0] * 2 + [0.0] * 31)
    own = chance(before, after)
    assert FLOOR < own < ALPHA  # with the other half of its probability it is above 0.05
    assert not passes(before, after, allowed(1.0, 40, 40))
    assert passes(before, after, allowed(for_rivals(own, 2), 40, 40))


def test_the_first_look_is_bounded() -> None:
    asked = [allowed(first, 40, 40) for first in (0.0, 0.01, 0.05, 0.2, 1.0)]
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == MOST
    assert asked[-1] == FLOOR
    whole = sum(allowed((step + 0.5) / 500, 40, 40) for step in range(500)) / 500
    assert whole == pytest.approx(ALPHA, abs=0.002)
    assert allowed(0.5, 40, 0) == ALPHA
    assert for_rivals(0.2, 9) == 1.0


def test_the_stated_gain_is_what_passes() -> None:
    """The normal approximation agrees with the simulated gate."""
    pytest.importorskip("numpy")
    gain = smallest_gain(40, 40, losses=0.1, rivals=1)
    assert power(gain, 40, 40, losses=0.1, rivals=1) == pytest.approx(0.8, abs=0.01)
    assert shares(Case(40, 1, gain, 0.1), RUNS)[1] == pytest.approx(0.8, abs=0.06)
    assert smallest_gain(160, 160) < smallest_gain(40, 40) < smallest_gain(40, 0)
    assert sight_words(40, 40).startswith("a gain under 0.1")


def test_luck_of_graded_and_equal_scores() -> None:
    assert gain_p_value([0.0] * 5, [0.0] * 5) == 0.5
    assert gain_p_value([0.0] * 4, [1.0] * 4) == 0.5**5
    assert gain_p_value([0.0] * 4, [0.5, 0.5, 0.5, 0.25]) == 0.5**5
    graded = [0.1 * i for i in range(1, 21)]
    assert gain_p_value([0.0] * 20, graded) < 0.001
    assert not passes(scored([0.0] * 7), scored([1.0] * 7), 0.5)  # too few rows
    assert not passes(scored([1.0] * 20), scored([1.0] * 20), 0.5)
    # one large gain among many small losses proves nothing
    assert not passes(scored([0.1] * 20), scored([1.0] * 2 + [0.05] * 18), 0.04)
