"""Racing: the better candidate wins, losers cost little, lost rows count for nobody."""

import math
import random
from itertools import pairwise

import pytest

from lmc.optimizers.candidates.betting import evidence_of_loss
from lmc.optimizers.candidates.racing import (
    ALPHA,
    Candidate,
    affordable,
    affordable_rows,
    beyond_chance,
    halving_runs,
    race,
    rungs,
)
from lmc.optimizers.events import CandidateScored
from lmc.runtime.parameters import Parameters
from tests.test_optimizers.doubles import FakeTrials, marked, rows

START = Candidate("start", Parameters())


def rivals(*marks: str) -> list[Candidate]:
    return [Candidate(mark, marked(mark), size=1) for mark in marks]


@pytest.mark.parametrize("count", [1, 8, 9, 50, 100])
def test_the_last_rung_has_all_rows(count: int) -> None:
    planned = rungs(count)
    assert planned[-1] == count
    assert all(a < b for a, b in pairwise(planned))
    assert rungs(count, count) == []


@pytest.mark.parametrize("runs", [0, 1, 3, 10, 50, 100, 500, 5000])
def test_what_is_affordable_is(runs: int) -> None:
    rows = affordable_rows(50, [0] * 17, runs)
    assert halving_runs([0] * (affordable([0] * 17, rows, runs) + 1), rows) <= runs


def test_halving_costs_less_than_running_all_on_all() -> None:
    assert halving_runs([0] * 17, 100) < 17 * 100 / 2


async def test_the_better_candidate_wins() -> None:
    trials = FakeTrials(lambda mark, row: 1.0 if mark == "good" else 0.0)
    best, first = await race(START, rivals("bad", "good", "poor"), rows(40), trials)
    assert best.candidate.name == "good"
    assert (best.mean, best.gain, first.mean) == (1.0, 1.0, 0.0)
    assert best.rows < 40  # beyond doubt


@pytest.mark.parametrize(("lead", "winner"), [(1, "asked"), (6, "other")])
async def test_a_favourite_loses_only_to_what_is_better_by_more_than_chance(
    lead: int, winner: str
) -> None:
    right = {"asked": 20, "other": 20 + lead}
    trials = FakeTrials(lambda mark, row: float(int(row.id) < right.get(mark, 10)))
    asked, other = rivals("asked", "other")
    best, _ = await race(START, [asked, other], rows(40), trials, favourite=asked)
    assert best.candidate.name == winner
    plain, _ = await race(START, [asked, other], rows(40), trials)
    assert plain.candidate.name == "other"


async def test_a_favourite_that_is_no_better_than_the_incumbent_does_not_win() -> None:
    trials = FakeTrials(lambda mark, row: float(int(row.id) < {"other": 21}.get(mark, 20)))
    asked, other = rivals("asked", "other")
    best, _ = await race(START, [asked, other], rows(40), trials, favourite=asked)
    assert best.candidate is other


async def test_the_incumbent_stays_where_nothing_is_better() -> None:
    trials = FakeTrials(lambda mark, row: 0.5)
    best, _ = await race(START, rivals("a", "b", "c"), rows(40), trials)
    assert best.candidate is START


async def test_the_first_rows_do_not_decide_against_the_only_candidate() -> None:
    some = rows(32)
    late = {row.id for row in some[12:]}
    trials = FakeTrials(lambda mark, row: float(mark == "slow" and row.id in late))
    best, first = await race(START, rivals("slow"), some, trials)
    assert best.candidate.name == "slow"
    assert first.rows > 12


async def test_of_equals_the_smaller_wins() -> None:
    trials = FakeTrials(lambda mark, row: float(mark != ""))
    many, few = Candidate("many", marked("many", 4), 4), Candidate("few", marked("few", 1), 1)
    best, _ = await race(START, [many, few], rows(20), trials)
    assert best.candidate is few


async def test_what_the_budget_does_not_reach_for_is_marked() -> None:
    trials = FakeTrials(lambda mark, row: float(mark == "g" or row.id[-1] in "02468"), calls=100)
    await race(START, rivals(*"gabcdef"), rows(48), trials)
    marks = {e.name: e.dropped for e in trials.events if isinstance(e, CandidateScored)}
    assert "budget" in marks.values()
    assert marks["g"] == ""


async def test_losers_are_dropped_early_and_no_row_is_run_twice() -> None:
    good = {"", "g1", "g2", "g3"}
    trials = FakeTrials(lambda mark, row: float(mark in good))
    await race(START, rivals("g1", "b1", "g2", "b2", "g3", "b3", "b4", "b5"), rows(48), trials)
    assert len(set(trials.runs)) == len(trials.runs)
    assert sum(mark == "b5" for mark, _ in trials.runs) <= 12
    assert any(isinstance(e, CandidateScored) and e.dropped for e in trials.events)


async def test_lost_rows_count_neither_for_nor_against() -> None:
    """`good` loses half its rows to the infrastructure; the rest says enough."""

    def score(mark: str, row: object) -> float | None:
        if mark == "good":
            return None if int(row.id) % 2 else 1.0  # type: ignore[attr-defined]
        return 0.6 if mark else 0.5

    best, _ = await race(START, rivals("good", "fair"), rows(40), FakeTrials(score))
    assert best.candidate.name == "good"


async def test_a_candidate_with_hardly_any_score_loses() -> None:
    def score(mark: str, row: object) -> float | None:
        return (1.0 if row.id == "0" else None) if mark == "lost" else 0.5  # type: ignore[attr-defined]

    best, _ = await race(START, rivals("lost"), rows(20), FakeTrials(score))
    assert best.candidate is START


@pytest.mark.parametrize("calls", [0, 1, 5, 30, 100, 300])
async def test_the_calls_are_never_passed(calls: int) -> None:
    trials = FakeTrials(lambda mark, row: float(mark == "g"), calls=calls)
    best, _ = await race(START, rivals("g", *"abcdefh"), rows(48), trials)
    assert len(trials.runs) <= calls
    assert best.candidate.name == ("g" if calls >= 30 else "start")


async def test_equal_scores_on_many_rows_make_two_candidates_one() -> None:
    trials = FakeTrials(lambda mark, row: float(mark != "" and int(row.id) % 2))
    await race(START, rivals(*"abcdefgh"), rows(100), trials)
    assert len(trials.runs) < 850  # of 900


def test_evidence_is_rarely_wrong_however_often_one_looks() -> None:
    """Candidates as good as the leader, looked at after every row: few are ever dropped."""
    wrong = 0
    for seed in range(400):
        rng = random.Random(seed)
        gaps = [rng.choice([-1, 0, 0, 1]) for _ in range(80)]
        gaps += [-gap for gap in gaps]
        rng.shuffle(gaps)  # their mean is 0
        wrong += evidence_of_loss(gaps, len(gaps)) >= math.log(1 / ALPHA)
    assert wrong / 400 <= ALPHA


def test_evidence_finds_what_is_worse() -> None:
    rng = random.Random(1)
    gaps = [rng.choice([-1, -1, 0, 0, 1]) for _ in range(200)]
    assert evidence_of_loss(gaps, 200) >= math.log(1 / ALPHA)
    assert evidence_of_loss([1.0] * 50, 200) == 0


@pytest.mark.parametrize(
    ("better", "worse", "equal", "sure"),
    [
        (0, 0, 9, False),
        (1, 0, 9, False),
        (2, 0, 0, True),
        (3, 1, 5, False),
        (4, 1, 0, True),
        (1, 4, 0, False),
    ],
)
def test_a_gain_is_beyond_chance_by_the_rows_that_differ(
    better: int, worse: int, equal: int, sure: bool
) -> None:
    pairs = [(0.0, 1.0)] * better + [(1.0, 0.0)] * worse + [(1.0, 1.0)] * equal
    before = {str(i): first for i, (first, _) in enumerate(pairs)} | {"lost": 0.0}
    after = {str(i): second for i, (_, second) in enumerate(pairs)}
    assert beyond_chance(before, after) is sure
