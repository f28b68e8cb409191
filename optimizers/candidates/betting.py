"""How strongly paired scores speak against a candidate, at any moment and as often as one looks.

A bet is made, row after row, that the candidate is worse than the leader. Where it were at least
as good, the wealth would grow beyond 1 / alpha with a probability of at most alpha, whenever one
stops (Ville's inequality); so a candidate may be dropped as soon as that happens.
Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS
B 86(1), arXiv 2010.09686, section 5 (sampling without replacement: the mean is that of all rows,
which are known in number), bets as in section 4.4 (aGRAPA).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_MOST_BET = 0.75  # of what could be lost
_PRIOR_VARIANCE = 0.25


def evidence_of_loss(differences: Sequence[float], total: int) -> float:
    """The log of the greatest wealth so far of the bet that the mean of all rows is below 0.

    `differences`, each in [-1, 1], are those of the rows seen so far, in a random order; there are
    `total` rows.
    """
    seen = wealth = greatest = 0.0
    spread = _PRIOR_VARIANCE
    for i, difference in enumerate(differences):
        mean = seen / (i + 1)  # shrunk towards 0
        null = min(1.0, max(-1.0, -seen / (total - i)))  # of the rows to come, were the whole 0
        short = null - mean
        bet = short / (spread / (i + 1) + short * short)
        bet = min(max(bet, 0.0), _MOST_BET / (1.0 - null + 1e-9))
        wealth += math.log1p(bet * (null - difference))
        greatest = max(greatest, wealth)
        seen += difference
        spread += (difference - mean) ** 2
    return greatest
