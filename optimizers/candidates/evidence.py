"""The evidence that the gate asks for, and the smallest gain that it can see.

A gain is looked at twice: on the rows that chose the candidate, and on rows that did not. The
second look decides. The better the first one, the less the second has to show.
Chance passes with a probability of at most `ALPHA`, however many candidates there were: the first
look counts as the best of so many tries (Bonferroni).

Source: the conditional error function of two-stage designs, Proschan & Hunsberger 1995, Biometrics
51(4), with weighted normal scores as in Lehmacher & Wassmer 1999, Biometrics 55(4). It differs in
that `FLOOR` is kept for the second look alone, which serves where many candidates spoil the first.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist, fmean

ALPHA = 0.06  # how often chance may pass
FLOOR = 0.04  # a chance as small as this on the second look passes whatever the first one says
MOST = 0.5  # no first look makes up for a second one that does not win
LIKELY = 0.8  # a gain is seen if it passes so often
LOSSES = 0.05  # share of rows that get worse, before anything is known
USUAL_RIVALS = 4  # candidates, before anything is known
_NORMAL = NormalDist()
_STEPS = 200
_FINE = 1e-4  # of gains


def allowed(first: float, rows: int, chosen_rows: int) -> float:
    """The largest p-value on `rows` held-out rows that passes after the p-value `first`.

    `first` is that of the rows that chose, for the number of candidates. Without such rows it does
    not count.
    """
    if not chosen_rows:
        return ALPHA
    return _allowed(_score(first), *_weights(rows, chosen_rows))


def for_rivals(p_value: float, rivals: int) -> float:
    """The p-value of the best of several candidates."""
    return min(1.0, max(1, rivals) * p_value)


def power(
    gain: float, rows: int, chosen_rows: int, *, losses: float = LOSSES, rivals: int = USUAL_RIVALS
) -> float:
    """How likely a true gain is to pass, for scores of 0 and 1, by the normal approximation.

    `losses` is the share of rows that get worse; the share that gets better is `gain` more. All
    `rivals` count against the first look, though only one has the gain.
    """
    spread = math.sqrt(max(gain + 2 * losses - gain * gain, 1e-9))
    shift = gain * math.sqrt(rows) / spread
    if not chosen_rows:
        return _NORMAL.cdf(shift - _score(ALPHA))
    first, weights, total = gain * math.sqrt(chosen_rows) / spread, _weights(rows, chosen_rows), 0.0
    for step in range(_STEPS):
        seen = first + _score((step + 0.5) / _STEPS)
        if seen > 0:  # else the candidate does not come to the gate
            chance = for_rivals(1 - _NORMAL.cdf(seen), rivals)
            total += _NORMAL.cdf(shift - _score(_allowed(_score(chance), *weights)))
    return total / _STEPS


def smallest_gain(
    rows: int,
    chosen_rows: int,
    *,
    likely: float = LIKELY,
    losses: float = LOSSES,
    rivals: int = USUAL_RIVALS,
) -> float:
    """The smallest true gain that passes with probability `likely`."""
    low, high = 0.0, 1.0
    while high - low > _FINE:
        middle = (low + high) / 2
        if power(middle, rows, chosen_rows, losses=losses, rivals=rivals) < likely:
            low = middle
        else:
            high = middle
    return high


def sight_words(
    rows: int, chosen_rows: int, *, losses: float = LOSSES, rivals: int = USUAL_RIVALS
) -> str:
    """The smallest gain that a gate of this size can see, in a sentence."""
    half, most = (
        smallest_gain(rows, chosen_rows, likely=likely, losses=losses, rivals=rivals)
        for likely in (0.5, LIKELY)
    )
    return (
        f"a gain under {half:.2f} cannot be told from chance with {rows} rows to confirm;"
        f" one of {most:.2f} passes 4 times in 5"
    )


def _score(p_value: float) -> float:
    return _NORMAL.inv_cdf(1 - min(max(p_value, 1e-12), 1 - 1e-12))


def _weights(rows: int, chosen_rows: int) -> tuple[float, float, float]:
    """The weights of both looks and the limit of their sum, by the shares of the rows."""
    share = round(chosen_rows / (rows + chosen_rows), 2)
    one, other = math.sqrt(share), math.sqrt(1 - share)
    return one, other, _limit(one, other)


def _allowed(score: float, one: float, other: float, limit: float) -> float:
    return min(MOST, max(FLOOR, 1 - _NORMAL.cdf((limit - one * score) / other)))


@cache
def _limit(one: float, other: float) -> float:
    """The limit at which chance passes with probability `ALPHA`."""
    scores = [_score((step + 0.5) / _STEPS) for step in range(_STEPS)]
    low, high = -10.0, 10.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        if fmean(_allowed(score, one, other, middle) for score in scores) > ALPHA:
            low = middle
        else:
            high = middle
    return high
