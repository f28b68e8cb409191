"""Intervals against known values."""

from __future__ import annotations

from random import Random
from statistics import fmean, stdev

import pytest

from lmc.measure.statistics import (
    mean_interval,
    paired_difference,
    paired_p_value,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("share", "n", "interval"),
    [  # Newcombe (1998), table I, method 3
        (81 / 263, 263, (0.2553, 0.3662)),
        (15 / 148, 148, (0.0624, 0.1605)),
        (0.0, 20, (0.0, 0.1611)),
        (1 / 29, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_interval_is_the_published_one(
    share: float, n: int, interval: tuple[float, float]
) -> None:
    assert wilson_interval(share, n) == pytest.approx(interval, abs=5e-5)


def test_scores_of_0_and_1_have_wilsons_interval() -> None:
    assert mean_interval([1.0] * 81 + [0.0] * 182) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert mean_interval([True, True]) == mean_interval([1, 1])


def test_other_scores_have_nearly_the_normal_interval_where_that_is_right() -> None:
    random = Random(1)
    values = [random.gauss(0.5, 0.1) for _ in range(400)]
    half = 1.96 * stdev(values) / 20
    assert mean_interval(values) == pytest.approx(
        (fmean(values) - half, fmean(values) + half), abs=0.002
    )


def test_a_skewed_sample_has_a_longer_tail_upwards() -> None:
    random = Random(2)
    values = [random.expovariate(1) for _ in range(60)]
    low, high = mean_interval(values)
    assert high - fmean(values) > fmean(values) - low


def test_the_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    random = Random(3)
    hits = 0
    for seed in range(60):
        low, high = mean_interval([random.betavariate(2, 5) for _ in range(40)], seed=seed)
        hits += low <= 2 / 7 <= high
    assert 52 <= hits <= 60


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    values = [0.1, 0.5, 0.7, 0.2, 0.9, 0.4, 0.3, 0.35, 0.8, 0.6, 0.15]
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_few_or_equal_scores_are_never_certain() -> None:
    for values in ([0.5], [0.5, 0.5], [0.7] * 20, [1.0] * 20):
        low, high = mean_interval(values)
        assert low < fmean(values) <= high
        assert low < high


def test_no_values_have_no_interval() -> None:
    with pytest.raises(ValueError):
        mean_interval([])
    with pytest.raises(ValueError):
        paired_difference([1.0], [1.0, 0.0])


def test_pairs_see_what_two_intervals_cannot() -> None:
    random = Random(4)
    before = [random.random() for _ in range(100)]
    after = [b + 0.02 + random.gauss(0, 0.01) for b in before]
    low, high = paired_difference(before, after)
    assert 0.01 < low < 0.02 < high < 0.03
    assert mean_interval(before)[1] > mean_interval(after)[0]
    assert paired_p_value(before, after) < 0.001


def test_a_wider_level_is_a_wider_interval() -> None:
    before, after = [0.0] * 30, [1.0] * 12 + [0.0] * 15 + [-1.0] * 3
    narrow, wide = (paired_difference(before, after, level=level) for level in (0.8, 0.99))
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


def test_no_difference_is_none() -> None:
    assert paired_difference([1, 0, 1], [1, 0, 1]) == (0, 0)
    assert paired_p_value([1, 0, 1], [1, 0, 1]) == 1


def test_a_few_wins_prove_nothing() -> None:
    low, high = paired_difference([0, 0, 0], [1, 1, 1])
    assert low < 0.1 < high


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(5, 0, 0.0625), (8, 2, 0.109375), (10, 0, 0.001953125), (3, 3, 1.0)],
)
def test_p_of_0_and_1_scores_is_the_exact_sign_test(wins: int, losses: int, p: float) -> None:
    before = [0] * wins + [1] * losses + [1] * 7
    after = [1] * wins + [0] * losses + [1] * 7
    assert paired_p_value(before, after) == p
    assert paired_p_value(after, before) == p


def test_p_of_sizes_counts_all_sign_flips() -> None:
    """Of the 8 ways to sign 1, 2, 3, only all plus and all minus reach a sum of 6."""
    assert paired_p_value([0, 0, 0], [1, 2, 3]) == 0.25
    assert paired_p_value([0, 0, 0], [1, -2, 3]) == 6 / 8


def test_p_by_sampling_is_near_the_exact_one() -> None:
    random = Random(5)
    after = [random.gauss(0.3, 1) for _ in range(40)]
    z = fmean(after) / stdev(after) * 40**0.5
    assert 1.2 < z < 3
    assert 0.002 < paired_p_value([0.0] * 40, after) < 0.25
