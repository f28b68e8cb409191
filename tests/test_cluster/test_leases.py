"""Leases: workers spend blocks of a budget, and share a cache, without a question for each call."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lmc.cluster.crew import Crew, Hand
from lmc.diagnostics import LmcError
from lmc.measure.evaluate import UNSCORED, evaluate
from lmc.measure.rows import Row
from lmc.program.program import load
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.leases import Grant, Lease, LeasedBudget, LeasedLimits, Report, Wish
from lmc.requests.usage import Usage
from lmc.tasks.loop import run_sync
from tests.far_workers import FarModel, loopback_crew

PROGRAM = """
model m { name: "far/m", concurrency: 1024, retry: {max: 2, backoff: 0.01}, SETTINGS }
default { model: m }
generate answer(question: str) -> str { \"\"\"Answer.\"\"\" }
generate judge(question: str, draft: str) -> str { \"\"\"Judge.\"\"\" }
pipeline main(question: str) -> str {
  let draft = answer(question)
  return judge(question, draft)
}
"""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What workers ask the driver, by kind."""
    kinds: Counter[str] = Counter()
    serve = Hand._serve

    async def counted(self: Hand, kind: str, content: Any) -> Any:
        kinds[kind] += 1
        return await serve(self, kind, content)

    monkeypatch.setattr(Hand, "_serve", counted)
    return kinds


async def measured(
    folder: Path, crew: Crew, budget: Budget, count: int, *, kept: bool = False, settings: str = ""
) -> Any:
    (folder / "p.lmp").write_text(PROGRAM.replace("SETTINGS", settings))
    program = load(folder / "p.lmp", cache=str(folder / "c.db") if kept else False)
    program.__dict__["crew"] = crew
    pool = program.open_pool(budget=budget)
    rows = [Row(f"{i}", {"question": f"question {i}"}) for i in range(count)]
    try:
        return await evaluate(program.open_executor(pool), "main", rows, UNSCORED)
    finally:
        await crew.close()


def test_the_driver_is_asked_once_a_block(
    tmp_path: Path, model: FarModel, served: Counter[str]
) -> None:
    crew, _ = loopback_crew(3)
    budget = Budget(calls=5_000)
    model.wait = lambda prompt: asyncio.sleep(0.02)
    found = run_sync(measured(tmp_path, crew, budget, 300))
    assert not found.failed and sum(model.asked.values()) == 600
    assert served["ask"] == served["find"] == 0 and served["lease"] <= 60
    assert budget.spent.calls == 600 and budget.spent.tokens == 600 * 12
    assert budget.remaining().calls == 4_400  # all that was not needed came back


@pytest.mark.parametrize("limits", [{"calls": 101}, {"tokens": 6_000}, {"usd": 0.05}])
def test_no_limit_is_passed(tmp_path: Path, model: FarModel, limits: dict[str, Any]) -> None:
    crew, _ = loopback_crew(3)
    budget = Budget(**limits)
    model.wait = lambda prompt: asyncio.sleep(0.002)
    settings = "max_tokens: 20, price: {input: 10, output: 100}"
    with pytest.raises(LmcError, match="leaves no room"):
        run_sync(measured(tmp_path, crew, budget, 400, settings=settings))
    asked = sum(model.asked.values())
    assert budget.spent.calls >= asked and asked >= 100
    left = budget.remaining()
    assert budget.spent.calls <= (limits.get("calls") or 10**9)
    assert budget.spent.tokens <= (limits.get("tokens") or 10**9)
    assert budget.spent.cost_usd <= (limits.get("usd") or 10**9)
    assert min(left.calls or 1, left.tokens or 1, left.usd or 1) > 0 or budget.used_up


def test_a_lost_lease_counts_as_spent(tmp_path: Path, model: FarModel) -> None:
    crew, started = loopback_crew(3)
    budget = Budget(calls=1_000)

    def wait(prompt: str) -> Any:
        if sum(model.asked.values()) == 100:
            return asyncio.ensure_future(started[0].kill())
        return asyncio.sleep(0.01)

    model.wait = wait
    found = run_sync(measured(tmp_path, crew, budget, 120))
    assert not found.failed and crew.lost == 1
    asked = sum(model.asked.values())
    assert asked > 240  # what was in flight was asked again
    assert asked <= budget.spent.calls <= asked + 256  # and the rest of one block at most
    assert budget.remaining().calls == 1_000 - budget.spent.calls  # nothing is held any more


def test_workers_share_one_cache(tmp_path: Path, model: FarModel, served: Counter[str]) -> None:
    crew, _ = loopback_crew(3)
    first = run_sync(measured(tmp_path, crew, Budget(), 60, kept=True))
    assert sum(model.asked.values()) == 120 and served["ask"] == 0
    again = run_sync(measured(tmp_path, loopback_crew(2)[0], Budget(), 60, kept=True))
    assert sum(model.asked.values()) == 120
    assert [r.value for r in again.results] == [r.value for r in first.results]
    assert all(row.usage.cached_calls == 2 for row in again.results)


def test_equal_calls_of_workers_are_paid_once(
    tmp_path: Path, model: FarModel, served: Counter[str]
) -> None:
    async def work(crew: Crew) -> Any:
        (tmp_path / "p.lmp").write_text(PROGRAM.replace("SETTINGS", ""))
        program = load(tmp_path / "p.lmp", cache=str(tmp_path / "c.db"))
        program.__dict__["crew"] = crew
        executor = program.open_executor(program.open_pool())
        rows = [Row(f"{i}", {"question": f"question {i % 3}"}) for i in range(60)]
        try:
            return await evaluate(executor, "main", rows, UNSCORED)
        finally:
            await crew.close()

    crew, started = loopback_crew(3)

    def wait(prompt: str) -> Any:
        if sum(model.asked.values()) == 2:  # it dies with what it claimed, and others go on
            asyncio.get_running_loop().call_later(0.02, lambda: hold(started[0].kill()))
        return asyncio.sleep(0.05)

    def hold(kill: Any) -> None:
        kills.append(asyncio.ensure_future(kill))

    kills: list[Any] = []
    model.wait = wait
    found = run_sync(work(crew))
    assert not found.failed and crew.lost == 1 and served["await"]
    assert 6 <= sum(model.asked.values()) <= 6 + 3
    assert found.usage.calls == 120


def test_a_failed_call_is_left_to_others(tmp_path: Path, model: FarModel) -> None:
    crew, _ = loopback_crew(2)
    found = run_sync(measured(tmp_path, crew, Budget(calls=100), 1, kept=True))
    assert not found.failed
    (tmp_path / "p.lmp").write_text(PROGRAM.replace("SETTINGS", ""))
    program = load(tmp_path / "p.lmp", cache=str(tmp_path / "c.db"))
    program.__dict__["crew"], _ = loopback_crew(2)
    rows = [Row(f"{i}", {"question": "this fails"}) for i in range(6)]
    executor = program.open_executor(program.open_pool())
    failed = run_sync(evaluate(executor, "main", rows, UNSCORED))
    assert failed.failed == 6  # and none waits for a worker that gave up
    run_sync(program.__dict__["crew"].close())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["calls", "tokens", "usd"])
def test_borrowers_never_pass_a_limit(seed: int, kind: str) -> None:
    """Many borrowers with requests of all sizes; some are lost in the middle."""
    draw = random.Random(f"{seed} {kind}")
    given: dict[str, Any] = {"calls": 300, "tokens": 40_000, "usd": 1.5}
    budget = Budget(**{kind: given[kind]})
    leases: list[Lease] = []
    real = Counter[str]()

    def check() -> None:
        spent, held = budget.spent, budget._reserved
        assert spent.calls + held.calls <= (budget.calls or 10**9)
        assert spent.tokens + held.tokens <= (budget.tokens or 10**9)
        assert spent.cost_usd + held.usd <= (budget.usd or 10**9) + 1e-6
        assert min(held.calls, held.tokens) >= 0 and held.usd > -1e-6

    async def borrower(sends: int, dies: bool) -> None:
        lease = Lease(budget)
        leases.append(lease)
        gone = False
        serving: list[asyncio.Task[Grant]] = []

        def recall() -> None:
            for other in borrowers:
                other.scarce = True
                tell_of(other)()

        async def serve(report: Report, wish: Wish) -> Grant:
            lease.hear(report)
            grant = await lease.grant(wish, 8, recall)
            check()
            return grant

        async def ask(report: Report, wish: Wish) -> Grant:
            await asyncio.sleep(0)
            if gone:  # the driver does not hear of it any more
                raise ConnectionError
            serving.append(asyncio.ensure_future(serve(report, wish)))
            return await serving[-1]

        def tell_of(one: LeasedBudget) -> Any:
            def tell() -> None:
                if not gone and (news := one.report()) is not None:
                    owner[one].hear(news)

            return tell

        own = LeasedBudget(LeasedLimits.of(budget), ask, lambda: tell_of(own)())
        borrowers.append(own)
        owner[own] = lease

        async def send() -> None:
            tokens = draw.randint(50, 400)
            worst = Usage(1, 0, tokens, 0, tokens / 50_000)
            try:
                held = await own.reserve(worst)
            except BudgetExceeded:
                return
            with held:
                await asyncio.sleep(draw.random() * 0.003)
                used = draw.randint(1, tokens)
                real.update(calls=1, tokens=used)
                held.settle(Usage(1, 0, used, 0, used / 50_000))
                check()

        sending = [asyncio.ensure_future(send()) for _ in range(sends)]
        if dies:
            await asyncio.sleep(0.01)
            gone = True
            for one in [*sending, *serving]:  # as the driver does when a worker is lost
                one.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            borrowers.remove(own)
            lease.lose()
        else:
            await asyncio.gather(*sending)
            if (news := own.report(all=True)) is not None:
                lease.hear(news)
        check()

    borrowers: list[LeasedBudget] = []
    owner: dict[LeasedBudget, Lease] = {}

    async def work() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(borrower(100, dies=i == 3) for i in range(4)))

    asyncio.run(work())
    held = budget._reserved
    assert held.calls == held.tokens == 0 and abs(held.usd) < 1e-6
    of_kind = {"calls": budget.spent.calls, "tokens": budget.spent.tokens}
    if kind in of_kind:  # of what is not limited, nobody knows what a lost borrower spent
        assert of_kind[kind] >= real[kind]
