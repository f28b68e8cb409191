"""How many samples a vote draws: rules that stop it once more would hardly change the winner.

A rule depends on the votes so far in order of sample, never on which answer came first: so a run
draws the same samples every time. It asks for as many at once as it would have drawn one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import comb, exp, lgamma, log

from lmc.runtime.ballot import Ballot

Votes = Sequence[Hashable | None]  # None abstains

WINDOW = 5
CONFIDENCE = 0.95
_STEPS = 400  # of the integral over the leader's share


@dataclass(frozen=True, slots=True)
class Limits:
    """What a rule goes by: the most samples, the window of ESC, the confidence of ASC."""

    n: int
    window: int = WINDOW
    confidence: float = CONFIDENCE


Rule = Callable[[Ballot, Limits], int]  # how many samples to draw next; 0 ends the vote


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

    The criterion is the posterior of the leader's share against that of the second, under a uniform
    prior (section 3.3, "Beta"). Samples are drawn one by one as far as they matter: the wave is the
    fewest that could satisfy it.
    """
    return _until(ballot, limits, beta_confidence)


def asc_dirichlet(ballot: Ballot, limits: Limits) -> int:
    """ASC with the posterior of the leader's share against all others ("Dirichlet")."""
    return _until(ballot, limits, dirichlet_confidence)


RULES: Mapping[str, Rule] = {
    "fixed": fixed,
    "settled": settled,
    "esc": esc,
    "asc": asc,
    "asc_dirichlet": asc_dirichlet,
}


def rule_named(setting: bool | str | None) -> Rule:
    """The rule that `stop_early` names; true stands for "settled"."""
    if isinstance(setting, str):
        return RULES[setting]
    return settled if setting else fixed


def needed(rule: Rule, ballot: Ballot, limits: Limits) -> int:
    """After how many of a ballot's votes a rule would have stopped."""
    counts = range(1, len(ballot.keys))
    firsts = (replace(ballot, keys=ballot.keys[:count]) for count in counts)
    return next((len(b.keys) for b in firsts if not rule(b, limits)), len(ballot.keys))


def _until(ballot: Ballot, limits: Limits, confidence: Callable[[tuple[int, ...]], float]) -> int:
    """The fewest further votes for the leader after which it is certain enough, or cannot lose."""
    most = ballot.wave()
    counts = sorted(ballot.counts().values(), reverse=True) or [0]
    for more in range(most):
        if counts[0] + more and confidence((counts[0] + more, *counts[1:])) >= limits.confidence:
            return more
    return most


@lru_cache(maxsize=4096)
def beta_confidence(counts: tuple[int, ...]) -> float:
    """P(p1 > p2) for the two greatest of the counts, greatest first, under a uniform prior.

    p1 / (p1 + p2) has the Beta distribution of the two counts plus one; with whole numbers its tail
    above one half is a sum of binomial coefficients.
    """
    first, second = counts[0] + 1, (counts[1] if len(counts) > 1 else 0) + 1
    trials = first + second - 1
    above: int = sum(comb(trials, k) for k in range(first))
    total: int = 2**trials
    return above / total


@lru_cache(maxsize=4096)
def dirichlet_confidence(counts: tuple[int, ...]) -> float:
    """P(p1 > all others) for counts, greatest first, with one answer more that nobody gave yet.

    The shares are gamma variables over their sum: the probability is the integral of the leader's
    density times the distributions of the others.
    """
    shapes = [count + 1 for count in (*counts, 0)]
    top = shapes[0] + 12 * shapes[0] ** 0.5 + 12
    width: float = top / _STEPS
    points = (width * (i + 0.5) for i in range(_STEPS))
    return min(1.0, width * sum(_density(shapes[0], x) * _below(shapes[1:], x) for x in points))


def _density(shape: int, x: float) -> float:
    return exp((shape - 1) * log(x) - x - lgamma(shape))


def _below(shapes: Sequence[int], x: float) -> float:
    """Whether gamma variables of whole shapes all stay below x: a product of Poisson tails."""
    product = 1.0
    for shape in shapes:
        term = tail = exp(-x)
        for k in range(1, shape):
            term *= x / k
            tail += term
        product *= max(0.0, 1.0 - tail)
    return product
