"""How many samples a vote draws: rules that stop it once more would hardly change the winner.

A rule depends on the votes so far in order of sample, never on which answer came first: so a run
draws the same samples every time. It asks for as many at once as it would have drawn one by one.
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
    """What a rule goes by: the most samples, the window of ESC, the confidence of ASC."""

    n: int
    window: int = WINDOW
    confidence: float = CONFIDENCE


StoppingRule = Callable[[Ballot, Limits], int]  # how many samples to draw next; 0 ends the vote


def fixed(ballot: Ballot, limits: Limits) -> int:
    """All samples at once (Wang et al. 2022, arXiv 2203.11171)."""
    return ballot.left


def settled(ballot: Ballot, limits: Limits) -> int:
    """Until no further sample can change the winner: the same result as `fixed`, always."""
    return ballot.wave()


def esc(ballot: Ballot, limits: Limits) -> int:
    """Until all samples of one window agree (Li et al. 2024, arXiv 2401.10480, section 3)."""
    last = ballot.keys[-limits.window :]
    if len(last) == limits.window and last[0] is not None and len(set(last)) == 1:
        return 0
    return min(limits.window, ballot.wave())


def asc(ballot: Ballot, limits: Limits) -> int:
    """Until the leader very likely beats the second (Aggarwal et al. 2023, arXiv 2305.11860).

    The criterion is that of section 3.3 ("Beta"): a uniform prior on the leader's share against
    that of the second. There it asks who would win of infinitely many samples; here, who wins of
    the `n` that may be drawn, which is certain sooner. Samples are drawn one by one as far as they
    matter: the wave is the fewest that could satisfy it.
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
    """The rule that `stop_early` names; true stands for "settled"."""
    if isinstance(setting, str):
        return RULES[setting]
    return settled if setting else fixed


def needed(rule: StoppingRule, ballot: Ballot, limits: Limits) -> int:
    """After how many of a ballot's votes a rule would have stopped."""
    counts = range(1, len(ballot.keys))
    firsts = (replace(ballot, keys=ballot.keys[:count]) for count in counts)
    return next((len(b.keys) for b in firsts if not rule(b, limits)), len(ballot.keys))


def doubt(ballot: Ballot) -> float:
    """P(the winner would be another after all samples), as `asc` counts; 0 once all are drawn."""
    counts = sorted(ballot.counts().values(), reverse=True)
    return 1 - beta_confidence(tuple(counts), ballot.left) if counts and ballot.left else 0.0


def _until(
    ballot: Ballot, limits: Limits, confidence: Callable[[tuple[int, ...], int], float]
) -> int:
    """The fewest further votes for the leader after which it is certain enough, or cannot lose."""
    most = ballot.wave()
    first, *others = sorted(ballot.counts().values(), reverse=True) or [0]
    for more in range(most):
        counts, left = (first + more, *others), ballot.left - more
        if counts[0] and confidence(counts, left) >= limits.confidence:
            return more
    return most


# Under a uniform prior further votes come as from Polya's urn: of all ways in which `left` of them
# can fall, an answer with c votes gets m more in C(c + m, m).


@lru_cache(maxsize=4096)
def beta_confidence(counts: tuple[int, ...], left: int) -> float:
    """P(the first of the counts, greatest first, beats the second), a tie as one half.

    All of the votes that are left are taken to fall on these two.
    """
    first, second = counts[0], counts[1] if len(counts) > 1 else 0
    ways = [0, 0, 0]  # the leader loses, meets the second, wins
    for more in range(left + 1):
        lead = (first + more) - (second + left - more)
        ways[1 + _sign(lead)] += comb(first + more, more) * comb(second + left - more, left - more)
    return (ways[2] + ways[1] / 2) / sum(ways)


@lru_cache(maxsize=4096)
def dirichlet_confidence(counts: tuple[int, ...], left: int) -> float:
    """P(the first of the counts beats all others, and an answer more that nobody gave yet)."""
    all_ways = comb(sum(counts) + len(counts) + left, left)
    return _ways_to_win((*counts, 0), left) / all_ways


def _ways_to_win(counts: tuple[int, ...], left: int) -> int:
    """The ways in which the first stays in front of each other.

    These are products of polynomials in the votes that fall; they are multiplied as whole numbers,
    with a power of two for the variable that no coefficient reaches (Kronecker's substitution).
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
