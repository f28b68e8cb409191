"""Paired racing: candidates run on the same few rows, clear losers drop out, others get more rows.

A candidate is dropped if the evidence against it is strong enough (`betting`), or if it scores the
same as another on every row. If the budget does not suffice for the rest, the worse half is dropped
(successive halving, Jamieson & Talwalkar 2016, arXiv 1502.07943). The incumbent is never dropped,
so the winner is compared with it on all rows that were used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lmc.frozen import frozen
from lmc.optimizers.candidates.betting import evidence_of_loss
from lmc.optimizers.candidates.trials import Trials
from lmc.optimizers.events import CandidateScored, Dropped, LeaderChanged
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.measure.rows import Row
    from lmc.optimizers.base import Context

FIRST_ROWS = 8  # rows of the first rung
GROWTH = 1.25  # growth of the number of rows from rung to rung
ALPHA = 1.0  # divided among the candidates; a loose bound, measured 0 to 3 % (bench/racing.py)
LEAST_SHARES = 4  # into so many parts at least, or any first row would decide against one candidate
TWIN_ROWS = 24  # from here on, on most of all rows, candidates with equal scores are merged
PERFECT_ROWS = 32  # from here on, one of the candidates that are right on all rows is enough


@frozen
class Candidate:
    """Parameters with a name. If two score the same, the smaller `size` wins."""

    name: str
    parameters: Parameters
    size: float = 0


@frozen
class Standing:
    """The result of a candidate: its mean, and its mean gain on the incumbent on shared rows."""

    candidate: Candidate
    mean: float
    gain: float
    rows: int


Scores = Mapping[str, float]  # by row


def beyond_chance(before: Scores, after: Scores) -> bool:
    """Whether the gain on the rows that both have is more than one standard error.

    Only the rows on which the two differ count, as in a sign test.
    """
    gaps = [after[id] - score for id, score in before.items() if id in after]
    return sum(gaps) > 0 and sum(gaps) ** 2 > sum(gap**2 for gap in gaps)


def rungs(rows: int, done: int = 0) -> list[int]:
    """The number of rows after each remaining rung. The last rung has all rows."""
    found = []
    while done < rows:
        done = min(rows, max(FIRST_ROWS, done + 4, int(done * GROWTH)))
        found.append(done)
    return found


def halving_runs(known: Sequence[int], rows: int, done: int = 0) -> int:
    """The runs of a race that drops the last half of its candidates at each rung.

    `known` is the number of rows on which each has already run. The incumbent comes first.
    """
    incumbent, *alive = known
    total = max(0, rows - max(done, incumbent))
    for rung in rungs(rows, done):
        total += sum(max(0, rung - max(done, before)) for before in alive)
        done, alive = rung, alive[: max(1, (len(alive) + 1) // 2)]
    return total


def affordable(known: Sequence[int], rows: int, runs: float, done: int = 0) -> int:
    """The largest number of candidates for which the budget pays a whole race."""
    count = len(known) - 1
    while count and halving_runs(known[: count + 1], rows, done) > runs:
        count -= 1
    return count


def affordable_rows(rows: int, known: Sequence[int], runs: float) -> int:
    """The number of rows on which two candidates (or the only one) can race.

    0 if these would be so few that chance alone would choose.
    """
    least = min(FIRST_ROWS, rows)
    while rows >= least and halving_runs(known[:3], rows) > runs:
        rows -= 1
    return rows if len(known) > 1 and rows >= least else 0


async def race(
    incumbent: Candidate,
    candidates: Sequence[Candidate],
    rows: Sequence[Row],
    trials: Trials,
    favourite: Candidate | None = None,
) -> tuple[Standing, Standing]:
    """The best candidate, possibly the incumbent, and the incumbent, each with its figures.

    Candidates come in order of preference. If the budget is too small, the last ones are dropped.
    The `favourite`, one of them or the incumbent, is expected to be the best. It loses only to one
    that is better by more than chance, or if it does not beat the incumbent.
    Raises: BudgetExceeded.
    """
    total = affordable_rows(
        len(rows), _known([incumbent, *candidates], rows, trials), trials.runs_left()
    )
    first = Standing(incumbent, 0.0, 0.0, 0)
    ranked: list[Standing] = []
    latest: dict[str, tuple[Standing, Scores]] = {}
    alive, done = list(candidates), 0
    limit = math.log(max(LEAST_SHARES, len(candidates)) / ALPHA)
    for rung in rungs(total):
        known = _known([incumbent, *alive], rows, trials)
        count = affordable(known, total, trials.runs_left(), done)
        _announce(trials, (s for s in ranked if s.candidate in alive[count:]), "budget")
        alive = alive[:count]
        if not alive:
            break
        entrants = [incumbent, *alive]
        stage = f"{len(entrants)} candidates on {rung} rows"
        scores = await trials.scores(stage, [c.parameters for c in entrants], rows[:rung])
        first, *others = [_standing(c, s, scores[0]) for c, s in zip(entrants, scores)]
        ranked = sorted(others, key=_order)
        by_name = {c.name: s for c, s in zip(entrants, scores)}
        latest |= {s.candidate.name: (s, by_name[s.candidate.name]) for s in (first, *others)}
        kept = _kept(first, ranked, by_name, rows[:rung], total, limit)
        _announce(trials, [first, *(s for s in ranked if s in kept or rung == total)])
        _announce(trials, (s for s in ranked if s not in kept and rung < total), "lost")
        alive, done = [s.candidate for s in kept], rung
        if len(kept) == 1:
            pair = by_name[incumbent.name], by_name[alive[0].name]
            if _evidence(*pair, rows, total) >= limit:
                break
    best = min([first, *ranked], key=_order)
    return _or_favourite(best, first, favourite, latest), first


def _or_favourite(
    best: Standing,
    first: Standing,
    favourite: Candidate | None,
    latest: Mapping[str, tuple[Standing, Scores]],
) -> Standing:
    if favourite is None or favourite.name not in latest:
        return best
    own, scores = latest[favourite.name]
    worthy = favourite is first.candidate or own.gain > 0
    if worthy and not beyond_chance(scores, latest[best.candidate.name][1]):
        return own
    return best


async def best_of(
    incumbent: Candidate,
    candidates: Sequence[Candidate],
    context: Context,
    favourite: Candidate | None = None,
) -> Parameters:
    """The parameters of the winner of a race on the select rows. Raises: BudgetExceeded."""
    best, first = await race(incumbent, candidates, context.select, context.trials, favourite)
    if best.candidate is incumbent or best.gain <= 0:
        return incumbent.parameters
    name, totals = best.candidate.name, context.trials.totals()
    context.report(LeaderChanged(name, best.mean, first.mean, best.rows, totals=totals))
    return best.candidate.parameters


def _known(entrants: Sequence[Candidate], rows: Sequence[Row], trials: Trials) -> list[int]:
    return [len(trials.known(entrant.parameters, rows)) for entrant in entrants]


def _kept(
    first: Standing,
    ranked: Sequence[Standing],
    scores: Mapping[str, Scores],
    rows: Sequence[Row],
    total: int,
    limit: float,
) -> list[Standing]:
    """The candidates that may still be the best."""
    leader = min([first, *ranked], key=_order)
    lead = scores[leader.candidate.name]
    kept: list[Standing] = []
    for standing in ranked:
        own = scores[standing.candidate.name]
        others = [scores[other.candidate.name] for other in (first, *kept)]
        enough = len(own) >= max(TWIN_ROWS, 0.75 * total)
        perfect = len(own) >= PERFECT_ROWS and min(own.values()) == 1.0
        twin = (enough or perfect) and own in others
        lost = math.isinf(standing.gain) or _evidence(own, lead, rows, total) >= limit
        if not twin and not lost:
            kept.append(standing)
    return kept


def _evidence(own: Scores, lead: Scores, rows: Sequence[Row], total: int) -> float:
    """How strong the evidence is that a candidate is worse than the leader."""
    gaps = [own[row.id] - lead[row.id] for row in rows if row.id in own and row.id in lead]
    widest = max(1.0, *map(abs, gaps)) if gaps else 1.0
    return evidence_of_loss([gap / widest for gap in gaps], total)


def _announce(trials: Trials, standings: Iterable[Standing], dropped: Dropped = "") -> None:
    totals = trials.totals()
    for s in standings:
        name, parameters = s.candidate.name, s.candidate.parameters
        trials.report(CandidateScored(name, s.mean, s.rows, parameters, dropped, totals=totals))


def _standing(candidate: Candidate, scores: Scores, incumbent: Scores) -> Standing:
    """Compare with the incumbent. Rows that failed for one of the two count for neither."""
    gains = [score - incumbent[id] for id, score in scores.items() if id in incumbent]
    if 2 * len(gains) < len(incumbent) or not scores:
        return Standing(candidate, 0.0, float("-inf"), len(gains))
    mean = sum(scores.values()) / len(scores)
    return Standing(candidate, mean, sum(gains) / len(gains) if gains else 0.0, len(scores))


def _order(standing: Standing) -> tuple[float, float, str]:
    return -standing.gain, standing.candidate.size, standing.candidate.name
