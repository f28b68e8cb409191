"""Stopping rules of a vote: stop once more samples would hardly change the winner.

A rule depends on the votes so far in sample order, never on which answer came first. So a run draws
the same samples every time. A rule asks for as many at once as it would have drawn one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import comb

from lmc.frozen import frozen
from lmc.runtime.votes.ballot import Ballot

Votes = Sequence[Hashable | None]  # None abstains

WINDOW = 5
CONFIDENCE = 0.95


@frozen
class Limits:
    """The limits of a rule: the most samples, the window of ESC, the confidence of ASC."""

    n: int
    window: int = WINDOW
    confidence: float = CONFIDENCE


StoppingRule = Callable[[Ballot, Limits], int]  # how many samples to draw next; 0 ends the vote


def fixed(ballot: Ballot, limits: Limits) -> int:
    """Draw all samples at once (Wang et al. 2022, arXiv 2203.11171)."""
    return ballot.left


def settled(ballot: Ballot, limits: Limits) -> int:
    """Draw until no further sample can change the winner. The result always equals `fixed`."""
    return ballot.wave()


def esc(ballot: Ballot, limits: Limits) -> int:
    """Draw until all samples of one window agree (Li et al. 2024, arXiv 2401.10480, section 3)."""
    last = ballot.keys[-limits.window :]
    if len(last) == limits.window and last[0] is not None and len(set(last)) == 1:
        return 0
    return min(limits.window, ballot.wave())


def asc(ballot: Ballot, limits: Limits) -> int:
    """Draw until the leader very likely beats the second (Aggarwal et al. 2023, arXiv 2305.11860).

    The criterion is "Beta" of section 3.3: a uniform prior on the leader's share against that of
    the second. The paper asks which key would win with infinitely many samples. Here the question
    is which key wins with the `n` that may be drawn, which is certain sooner. A wave is the fewest
    samples that could satisfy the criterion.
    """
    return _until(ballot, limits, beta_confidence)


def asc_dirichlet(ballot: Ballot, limits: Limits) -> int:
    """ASC with the posterior of the leader's share against all others ("Dirichlet")."""
    return _until(ballot, limits, dirichlet_confidence)


RULES: Mapping[str, StoppingRule] = {
    "fixed": fixed,
    "settled": settled,
    "esc": esc,
    "asc": asc,
    "asc_dirichlet": asc_dirichlet,
}


def rule_named(setting: bool | str | None) -> StoppingRule:
    """The rule that `stop_early` names. True stands for "settled"."""
    if isinstance(setting, str):
        return RULES[setting]
    return settled if setting else fixed


def needed(rule: StoppingRule, ballot: Ballot, limits: Limits) -> int:
    """The number of votes of a ballot after which a rule would have stopped."""
    counts = range(1, len(ballot.keys))
    firsts = (replace(ballot, keys=ballot.keys[:count]) for count in counts)
    return next((len(b.keys) for b in firsts if not rule(b, limits)), len(ballot.keys))


def doubt(ballot: Ballot) -> float:
    """The probability, as in `asc`, that all samples give another winner; 0 once all are drawn."""
    counts = sorted(ballot.counts().values(), reverse=True)
    return 1 - beta_confidence(tuple(counts), ballot.left) if counts and ballot.left else 0.0


def _until(
    ballot: Ballot, limits: Limits, confidence: Callable[[tuple[int, ...], int], float]
) -> int:
    """The fewest further votes after which the leader is certain enough or cannot lose."""
    most = ballot.wave()
    first, *others = sorted(ballot.counts().values(), reverse=True) or [0]
    for more in range(most):
        counts, left = (first + more, *others), ballot.left - more
        if counts[0] and confidence(counts, left) >= limits.confidence:
            return more
    return most


# Under a uniform prior, further votes follow Polya's urn. Of all ways in which the `left` votes can
# fall, C(c + m, m) give m more votes to an answer that has c.


@lru_cache(maxsize=4096)
def beta_confidence(counts: tuple[int, ...], left: int) -> float:
    """The probability that the first count beats the second. A tie counts as one half.

    `counts` is sorted, greatest first. All `left` votes are assumed to fall on these two.
    """
    first, second = counts[0], counts[1] if len(counts) > 1 else 0
    ways = [0, 0, 0]  # the leader loses, ties, wins
    for more in range(left + 1):
        lead = (first + more) - (second + left - more)
        ways[1 + _sign(lead)] += comb(first + more, more) * comb(second + left - more, left - more)
    return (ways[2] + ways[1] / 2) / sum(ways)


@lru_cache(maxsize=4096)
def dirichlet_confidence(counts: tuple[int, ...], left: int) -> float:
    """The probability that the first count beats all others and one answer not yet given."""
    all_ways = comb(sum(counts) + len(counts) + left, left)
    return _ways_to_win((*counts, 0), left) / all_ways


def _ways_to_win(counts: tuple[int, ...], left: int) -> int:
    """The number of ways in which the first count stays ahead of every other.

    They are counted by products of polynomials. These are multiplied as integers: the variable
    becomes a power of two above every coefficient (Kronecker's substitution).
    """
    first, *others = counts
    slot = comb(sum(counts) + len(counts) + left, left).bit_length()
    series = [sum(comb(c + m, m) << slot * m for m in range(left + 1)) for c in others]
    ways = 0
    for more in range(left + 1):
        rest, product = left - more, 1
        for count, falls in zip(others, series):
            product *= _cut(falls, slot * min(rest + 1, first + more - count))
            product = _cut(product, slot * (rest + 1))
        ways += comb(first + more, more) * (product >> slot * rest)
    return ways


def _cut(number: int, bits: int) -> int:
    return number & (1 << max(0, bits)) - 1


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
