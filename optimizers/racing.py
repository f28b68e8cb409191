"""Paired racing: candidates meet on the same few rows, the worse half goes, the rest gets more.

Source: successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943). The incumbent is never
dropped, so the winner is compared with it on all rows that were used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmc.optimizers.events import CandidateScored
from lmc.optimizers.trials import Trials
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.runtime.data import Row

FIRST_ROWS = 12  # rows of the first rung


@dataclass(frozen=True, slots=True)
class Candidate:
    """Parameters under a name; of equals the one with fewer demonstrations wins."""

    name: str
    parameters: Parameters
    demos: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a candidate did: its mean, and its mean gain on the incumbent over the rows both have."""

    candidate: Candidate
    mean: float
    gain: float
    rows: int


@dataclass(frozen=True, slots=True)
class Rung:
    """So many candidates, the incumbent not counted, on so many rows."""

    candidates: int
    rows: int


def plan_rungs(candidates: int, rows: int, runs: float) -> list[Rung]:
    """The largest race that so many runs of the program allow; empty where none is possible.

    First candidates are given up, down to two, then rows.
    """
    while candidates > 2 and race_runs(_halving(candidates, rows)) > runs:
        candidates -= 1
    while rows and race_runs(_halving(candidates, rows)) > runs:
        rows -= 1
    return _halving(candidates, rows) if rows and candidates else []


def race_runs(rungs: Sequence[Rung]) -> int:
    """Runs of the program that a race needs, the incumbent's included."""
    total, before = 0, 0
    for rung in rungs:
        total += (rung.candidates + 1) * (rung.rows - before)
        before = rung.rows
    return total


def _halving(candidates: int, rows: int) -> list[Rung]:
    rungs, on = [], min(rows, FIRST_ROWS)
    while on < rows and candidates > 2:
        rungs.append(Rung(candidates, on))
        candidates, on = (candidates + 1) // 2, min(rows, 2 * on)
    return [*rungs, Rung(candidates, rows)]


async def race(
    incumbent: Candidate,
    candidates: Sequence[Candidate],
    rows: Sequence[Row],
    trials: Trials,
) -> tuple[Standing, Standing]:
    """The best candidate (it may be the incumbent) and the incumbent, each with its figures.

    Candidates stand in order of preference: where the budget asks for fewer, the last ones go.
    Raises: BudgetExceeded.
    """
    rungs = plan_rungs(len(candidates), len(rows), trials.runs_left())
    alive = [incumbent, *candidates]
    standings = [Standing(incumbent, 0.0, 0.0, 0)]
    for rung in rungs:
        alive = alive[: rung.candidates + 1]
        stage = f"{len(alive)} candidates on {rung.rows} rows"
        scores = await trials.scores(stage, [c.parameters for c in alive], rows[: rung.rows])
        standings = [_standing(c, s, scores[0]) for c, s in zip(alive, scores)]
        ranked = sorted(standings[1:], key=_order)
        alive = [incumbent, *(standing.candidate for standing in ranked)]
        _announce(trials, standings[0], ranked, rung, rungs)
    return min(standings, key=_order), standings[0]


def _announce(
    trials: Trials, first: Standing, ranked: Sequence[Standing], rung: Rung, rungs: Sequence[Rung]
) -> None:
    following = rungs[rungs.index(rung) + 1 :]
    kept = following[0].candidates if following else len(ranked)
    for place, standing in enumerate([first, *ranked]):
        trials.report(
            CandidateScored(
                standing.candidate.name,
                standing.mean,
                standing.rows,
                standing.candidate.parameters,
                dropped=place > kept,
                totals=trials.totals(),
            )
        )


def _standing(
    candidate: Candidate, scores: Mapping[str, float], incumbent: Mapping[str, float]
) -> Standing:
    """Rows that the infrastructure lost for one of the two say nothing about either."""
    gains = [score - incumbent[id] for id, score in scores.items() if id in incumbent]
    if 2 * len(gains) < len(incumbent) or not scores:
        return Standing(candidate, 0.0, float("-inf"), len(gains))
    mean = sum(scores.values()) / len(scores)
    return Standing(candidate, mean, sum(gains) / len(gains) if gains else 0.0, len(scores))


def _order(standing: Standing) -> tuple[float, int, str]:
    return -standing.gain, standing.candidate.demos, standing.candidate.name
