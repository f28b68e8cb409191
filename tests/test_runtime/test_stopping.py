"""Rules that end a vote early: what they draw, and that it hangs on nothing but the votes."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.runtime.votes.ballot import Ballot
from lmc.runtime.votes.difficulty import BLOCK, EASY, PRESAMPLES, RUN, Batch, Voted
from lmc.runtime.votes.stopping import (
    RULES,
    Limits,
    asc,
    beta_confidence,
    dirichlet_confidence,
    doubt,
    esc,
    rule_named,
)


def drawn(rule: str, answers: str, **limits: float) -> int:
    """Samples that a rule draws from a row of answers."""
    ballot = Ballot(len(answers))
    while wave := rule_named(rule)(ballot, Limits(len(answers), **limits)):  # type: ignore[arg-type]
        ballot.keys += answers[len(ballot.keys) : len(ballot.keys) + wave]
    return len(ballot.keys)


def test_asc_stops_once_the_leader_is_certain() -> None:
    assert drawn("asc", "a" * 40) == 4
    assert drawn("asc", "a" * 20) == 3  # of fewer votes to come it is sooner certain
    assert drawn("asc", "ab" + "a" * 38) == 6
    assert drawn("asc", "a" * 40, confidence=0.99) == 6


def test_esc_stops_after_a_window_that_agrees() -> None:
    assert drawn("esc", "aaaaaaaaaa") == 5
    assert drawn("esc", "ababab" + "a" * 34) == 15
    assert drawn("esc", "aaaaaaaaaa", window=3) == 3


def test_abstentions_are_no_agreement() -> None:
    assert esc(Ballot(20, keys=[None] * 5), Limits(20)) > 0
    assert asc(Ballot(20, keys=[None] * 5), Limits(20)) > 0


@given(st.text("abc", min_size=1, max_size=40), st.sampled_from(sorted(RULES)))
def test_rules_end_and_stay_within_n(answers: str, rule: str) -> None:
    assert 1 <= drawn(rule, answers) <= len(answers)


@given(st.text("abc", min_size=1, max_size=24))
def test_waves_draw_no_more_than_one_by_one(answers: str) -> None:
    ballot = Ballot(len(answers))
    while asc(ballot, Limits(len(answers))):
        ballot.keys.append(answers[len(ballot.keys)])
    assert drawn("asc", answers) == len(ballot.keys)


@pytest.mark.parametrize("left", [1, 7, 30])
@pytest.mark.parametrize("counts", [(3,), (4, 1), (5, 3), (6, 5), (4, 2, 2, 1)])
def test_confidence_is_that_of_the_votes_to_come(counts: tuple[int, ...], left: int) -> None:
    """Against votes drawn with shares from the posterior."""
    rng = random.Random(f"{counts}/{left}")
    beta, dirichlet, times = 0.0, 0, 10_000
    for _ in range(times):
        shares = [rng.gammavariate(c + 1, 1) for c in (*counts, 0)]
        first, *others = _after(left, (*counts, 0), shares, rng)
        dirichlet += first > max(others)
        first, second = _after(left, (*counts, 0)[:2], shares[:2], rng)
        beta += (first > second) + (first == second) / 2
    assert beta_confidence(counts, left) == pytest.approx(beta / times, abs=0.02)
    assert dirichlet_confidence(counts, left) == pytest.approx(dirichlet / times, abs=0.02)


def _after(left: int, counts: tuple[int, ...], shares: list[float], rng: random.Random) -> Any:
    votes = Counter(rng.choices(range(len(counts)), shares, k=left))
    return [count + votes[i] for i, count in enumerate(counts)]


def test_of_many_votes_to_come_the_criterion_is_that_of_the_paper() -> None:
    assert beta_confidence((3,), 400) == pytest.approx(1 - 0.5**4, abs=0.002)
    assert beta_confidence((4,), 400) == pytest.approx(1 - 0.5**5, abs=0.002)


async def test_a_batch_goes_from_hard_to_easy() -> None:
    import asyncio

    hard, rows = 16, 16 + RUN + 8
    batch, starts, order = Batch(rows), {}, []

    async def row(number: int, difficulty: float) -> None:
        starts[number] = (await batch.turn(number, difficulty)).start
        order.append(number)
        batch.voted(number, Voted(20 if number < hard else 3, number >= hard, 0.0))
        batch.leave(number)

    numbers = list(range(rows))
    random.Random(1).shuffle(numbers)
    await asyncio.gather(*(row(number, rows - number) for number in numbers))
    assert order == sorted(order, key=lambda number: number // 8)
    assert all(starts[number] == PRESAMPLES for number in range(8))
    assert all(starts[number] == 20 for number in range(8, hard))  # as their harder neighbours took
    assert all(starts[number] == EASY for number in range(hard + RUN, rows))


async def test_rows_that_leave_hold_nobody_up() -> None:
    import asyncio

    batch = Batch(3)
    turn = asyncio.ensure_future(batch.turn(0, 1.0))
    batch.leave(1)
    await asyncio.sleep(0)
    assert not turn.done()
    batch.leave(2)
    assert (await turn).start == PRESAMPLES


async def test_doubt_that_rows_leave_is_for_those_after_them() -> None:
    import asyncio

    batch, spare = Batch(4 * BLOCK), {}

    async def row(number: int) -> None:
        spare[number] = (await batch.turn(number, -number)).spare
        left = 0.01 if number < BLOCK else -0.02
        batch.voted(number, Voted(5, agreed=False, spare=left))
        batch.leave(number)

    await asyncio.gather(*map(row, range(4 * BLOCK)))
    blocks = [spare[start] for start in range(0, 4 * BLOCK, BLOCK)]
    assert blocks == pytest.approx([0.0, 0.01, 0.0, 0.0])


def test_doubt_is_whether_the_winner_would_stay_the_winner() -> None:
    assert doubt(Ballot(40)) == 0 and doubt(Ballot(3, keys=["a", "b", "b"])) == 0
    assert doubt(Ballot(9, keys=["a"] * 5)) == 0
    assert doubt(Ballot(400, keys=["a"] * 4)) == pytest.approx(0.5**5, abs=0.002)
    assert doubt(Ballot(40, keys=["a", "b"])) == pytest.approx(0.5)
