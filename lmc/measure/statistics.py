"""Confidence intervals of means and of paired differences, seeded, without other libraries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from random import Random
from statistics import NormalDist, fmean

RESAMPLES = 2000
FLIPS = 4000
EXACT_LIMIT = 12  # most non-zero differences for counting all sign flips
SMALL = 10  # fewest values for a trustworthy bootstrap
_NORMAL = NormalDist()

Interval = tuple[float, float]


def mean_interval(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> Interval:
    """The confidence interval of a mean: Wilson's for 0/1 values, else a BCa bootstrap.

    Few or equal values between 0 and 1 also get Wilson's interval. Their variance is at most that
    of 0/1 values with the same mean. Raises: ValueError without values.
    """
    if not values:
        raise ValueError("an interval needs values")
    bounded = all(0 <= v <= 1 for v in values)
    if bounded and (_is_small(values) or all(v in (0, 1) for v in values)):
        return wilson_interval(fmean(values), len(values), level=level)
    return _bootstrap_interval(values, level, seed)


def wilson_interval(share: float, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share observed in n trials.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    z = _NORMAL.inv_cdf((1 + level) / 2)
    weight = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference(
    before: Sequence[float], after: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> Interval:
    """The confidence interval of the mean of `after - before` over the same rows.

    Raises: ValueError if the series are empty or differ in length.
    """
    return _difference_interval(_differences(before, after), level, seed)


def paired_p_value(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> float:
    """The p-value of a paired sign-flip test: how often random signs give as large a mean.

    It is two-sided, and exact if that is cheap. For 0/1 scores it is McNemar's exact test.
    Raises: ValueError if the series are empty or differ in length.
    """
    return _sign_flip_p(_differences(before, after), seed)


def gain_p_value(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> float:
    """The p-value that a mean gain is luck: one-sided, and with half of what is equally likely.

    Without that half ("mid-p"), few rows that differ would hardly ever prove anything. Source:
    Lancaster 1961, "Significance tests in discrete distributions", JASA 56.
    Raises: ValueError if the series are empty or differ in length.
    """
    return _one_sided_p(_differences(before, after), seed)


def _differences(before: Sequence[float], after: Sequence[float]) -> list[float]:
    if len(before) != len(after) or not before:
        raise ValueError("paired series have the same length, at least one")
    return [b - a for a, b in zip(before, after)]


def _difference_interval(values: Sequence[float], level: float, seed: int) -> Interval:
    if _is_small(values) and any(values) and all(-1 <= v <= 1 for v in values):
        share = (fmean(values) + 1) / 2
        low, high = wilson_interval(share, len(values), level=level)
        return 2 * low - 1, 2 * high - 1
    return _bootstrap_interval(values, level, seed)


def _is_small(values: Sequence[float]) -> bool:
    return len(values) < SMALL or min(values) == max(values)


def _bootstrap_interval(values: Sequence[float], level: float, seed: int) -> Interval:
    """Resampled means, bias-corrected and accelerated.

    Source: Efron (1987), "Better bootstrap level intervals".
    """
    if min(values) == max(values):
        return values[0], values[0]
    random, n = Random(seed), len(values)
    means = sorted(fmean(random.choices(values, k=n)) for _ in range(RESAMPLES))
    mean = fmean(values)
    below = sum(m < mean for m in means) + sum(m == mean for m in means) / 2
    bias = _NORMAL.inv_cdf(min(max(below / RESAMPLES, 1e-4), 1 - 1e-4))
    acceleration = _acceleration(values, mean)
    tail = (1 - level) / 2
    low, high = (_quantile(means, _corrected(t, bias, acceleration)) for t in (tail, 1 - tail))
    return low, high


def _acceleration(values: Sequence[float], mean: float) -> float:
    """The acceleration of BCa: the skewness of the jackknife means."""
    cubes = sum((mean - v) ** 3 for v in values)
    squares = sum((mean - v) ** 2 for v in values)
    return -cubes / (6 * math.pow(squares, 1.5))


def _corrected(tail: float, bias: float, acceleration: float) -> float:
    z = bias + _NORMAL.inv_cdf(tail)
    return _NORMAL.cdf(bias + z / (1 - acceleration * z))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _sign_flip_p(differences: Sequence[float], seed: int) -> float:
    sizes = [abs(d) for d in differences if d]
    if not sizes:
        return 1.0
    far = abs(sum(differences)) - 1e-12 * sum(sizes)
    if min(sizes) == max(sizes):
        return _binomial_p(sum(d > 0 for d in differences), len(sizes))
    if len(sizes) <= EXACT_LIMIT:
        flips = list(product((1.0, -1.0), repeat=len(sizes)))
        return sum(abs(_dot(flip, sizes)) >= far for flip in flips) / len(flips)
    random = Random(seed)
    tossed = (random.choices((1.0, -1.0), k=len(sizes)) for _ in range(FLIPS))
    return (sum(abs(_dot(flip, sizes)) >= far for flip in tossed) + 1) / (FLIPS + 1)


def _one_sided_p(differences: Sequence[float], seed: int) -> float:
    sizes = [abs(d) for d in differences if d]
    if not sizes:
        return 0.5
    total, slack = sum(differences), 1e-12 * sum(sizes)
    if min(sizes) == max(sizes):
        wins, n = sum(d > 0 for d in differences), len(sizes)
        above = sum(math.comb(n, k) for k in range(wins + 1, n + 1))
        return (2 * above + math.comb(n, wins)) / (1 << (n + 1))
    if len(sizes) <= EXACT_LIMIT:
        sums = [_dot(flip, sizes) for flip in product((1.0, -1.0), repeat=len(sizes))]
    else:
        random = Random(seed)
        sums = [_dot(random.choices((1.0, -1.0), k=len(sizes)), sizes) for _ in range(FLIPS)]
        sums.append(total)
    return fmean(1.0 if s > total + slack else 0.5 * (s >= total - slack) for s in sums)


def _binomial_p(wins: int, n: int) -> float:
    """The exact two-sided sign test: McNemar's for 0/1 scores."""
    extreme = max(wins, n - wins)
    outcomes = sum(math.comb(n, k) for k in range(extreme, n + 1))
    return min(1.0, 2 * outcomes / (1 << n))


def _dot(xs: Sequence[float], ys: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(xs, ys))
