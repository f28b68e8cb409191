"""Sequential evidence from paired scores that a candidate is worse than the leader.

The test bets on each row that the candidate is worse. If the candidate were at least as good, the
wealth would ever exceed 1 / alpha with a probability of at most alpha (Ville's inequality). This
holds at any stopping time, so a candidate may be dropped as soon as that happens.

Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS
B 86(1), arXiv 2010.09686, section 5 (sampling without replacement, for the mean of a known number
of rows). The bets are those of section 4.4 (aGRAPA).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_MOST_BET = 0.75  # largest share of the wealth at risk
_PRIOR_VARIANCE = 0.25


def evidence_of_loss(differences: Sequence[float], total: int) -> float:
    """The log of the largest wealth so far of the bet that the mean of all rows is below 0.

    `differences`, each in [-1, 1], belong to the rows seen so far, in a random order. `total` is
    the number of all rows.
    """
    seen = wealth = greatest = 0.0
    spread = _PRIOR_VARIANCE
    for i, difference in enumerate(differences):
        mean = seen / (i + 1)  # shrunk towards 0
        # the mean of the remaining rows if the mean of all rows is 0
        null = min(1.0, max(-1.0, -seen / (total - i)))
        short = null - mean
        bet = short / (spread / (i + 1) + short * short)
        bet = min(max(bet, 0.0), _MOST_BET / (1.0 - null + 1e-9))
        wealth += math.log1p(bet * (null - difference))
        greatest = max(greatest, wealth)
        seen += difference
        spread += (difference - mean) ** 2
    return greatest
