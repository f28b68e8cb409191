import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.models.base import Answer
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.usage import Usage


async def spend(budget, worst, used, wait_s=0.0):
    with await budget.reserve(worst) as reservation:
        await asyncio.sleep(wait_s)
        reservation.settle(used)


async def test_worst_case_is_reserved_and_what_was_used_is_spent():
    budget = Budget(tokens=100, usd=1.0)
    with await budget.reserve(Usage(1, 0, 30, 50, 0.5)) as reservation:
        assert budget.remaining().tokens == 20 and budget.remaining().usd == 0.5
        reservation.settle(Usage(1, 0, 30, 10, 0.1))
    assert budget.remaining().tokens == 60 and budget.spent.cost_usd == 0.1


async def test_request_that_cannot_fit_is_refused_with_the_limit():
    budget = Budget(tokens=100)
    with pytest.raises(BudgetExceeded, match="100 tokens") as refused:
        await budget.reserve(Usage(1, 0, 60, 60))
    assert refused.value.code == "budget-exceeded"
    await spend(budget, Usage(1, 0, 60, 40), Usage(1, 0, 60, 40))  # the limit itself may be met
    with pytest.raises(BudgetExceeded):
        await budget.reserve(Usage(1, 0, 0, 1))


async def test_request_waits_for_what_others_may_give_back():
    budget = Budget(tokens=130)
    used = Usage(1, 0, 10, 10)
    await asyncio.gather(*(spend(budget, Usage(1, 0, 10, 60), used, 0.001) for _ in range(4)))
    assert budget.spent.tokens == 80


async def test_waiting_request_is_refused_when_nothing_is_given_back():
    budget = Budget(tokens=100)
    worst = Usage(1, 0, 0, 60)
    results = await asyncio.gather(
        *(spend(budget, worst, worst, 0.001) for _ in range(3)), return_exceptions=True
    )
    assert [type(r) for r in results] == [type(None), BudgetExceeded, BudgetExceeded]


async def test_first_request_goes_alone_and_a_flood_is_expected_again():
    """A server that writes ten times what it was asked for passes a limit by one answer at most."""
    budget, open_now, most = Budget(tokens=1000), [0], [0]

    async def ask() -> None:
        with await budget.reserve(Usage(1, 0, 0, 20)) as reservation:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0]) if budget.spent.calls == 0 else most[0]
            await asyncio.sleep(0.001)
            open_now[0] -= 1
            reservation.settle(Usage(1, 0, 0, 200))

    results = await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True)
    assert most[0] == 1
    assert budget.spent.tokens == 1000
    assert [type(r) for r in results].count(type(None)) == 5


async def test_an_estimate_that_is_a_little_low_changes_nothing():
    budget = Budget(tokens=1000)
    await spend(budget, Usage(1, 0, 0, 100), Usage(1, 0, 0, 110))
    assert budget.remaining().tokens == 890
    await budget.reserve(Usage(8, 0, 0, 890))


async def test_failed_request_keeps_its_calls_and_gives_back_the_rest():
    budget = Budget(calls=2, tokens=100)
    with pytest.raises(RuntimeError), await budget.reserve(Usage(1, 0, 50, 50)):
        raise RuntimeError
    assert budget.remaining().calls == 1 and budget.remaining().tokens == 100


async def test_cancelled_waiter_leaves_no_trace():
    budget = Budget(tokens=100)
    first = await budget.reserve(Usage(1, 0, 0, 100))
    waiting = [asyncio.create_task(budget.reserve(Usage(1, 0, 0, 80))) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    first.settle(Usage(1))
    await asyncio.sleep(0)
    waiting[1].cancel()  # granted, and cancelled before it could run
    await asyncio.gather(*waiting, return_exceptions=True)
    assert budget.remaining().tokens == 100


async def test_minutes_end_the_run():
    now_s = 0.0
    budget = Budget(minutes=2, clock=lambda: now_s)
    await spend(budget, Usage(1), Usage(1))
    assert budget.fits(1) and budget.remaining().minutes == 2
    now_s = 120.0
    with pytest.raises(BudgetExceeded, match="2 minutes"):
        await budget.reserve(Usage(1))
    assert not budget.fits(1)


async def test_fits_counts_calls():
    budget = Budget(calls=3)
    await spend(budget, Usage(1), Usage(1))
    assert budget.fits(2) and not budget.fits(3)
    assert Budget().fits(10**9)


@given(
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 3)), max_size=25),
)
def test_no_limit_is_ever_passed(limit, requests):
    async def run():
        budget = Budget(tokens=limit)
        sent = 0

        async def one(worst, used, turns):
            nonlocal sent
            with await budget.reserve(Usage(1, 0, 0, worst)) as reservation:
                for _ in range(turns):
                    await asyncio.sleep(0)
                sent += min(used, worst)
                reservation.settle(Usage(1, 0, 0, min(used, worst)))

        await asyncio.gather(*(one(*r) for r in requests), return_exceptions=True)
        return sent, budget

    sent, budget = asyncio.run(run())
    assert sent == budget.spent.tokens <= limit
    assert budget.remaining().tokens == limit - sent


def test_usage_adds_up():
    answers = [Answer("a", 1, 2, 0.5), Answer("b", 3, 4, 0.25, cached=True)]
    assert Usage.of(answers) == Usage(2, 1, 4, 6, 0.75)
    assert Usage.of(answers) + Usage(1, 1, 1, 1, 1.0) == Usage(3, 2, 5, 7, 1.75)
    assert Usage.of([]) == Usage() and Usage.of(answers).tokens == 10
