import asyncio
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.models.base import ModelFailure, Request
from lmc.models.http_failures import duration_s, limit_wait_s
from lmc.requests.budget import Budget
from lmc.requests.pacing import Gate, Window
from lmc.requests.pool import ModelPool
from lmc.requests.retry import Retries, RetryPolicy
from tests.loopback import Fault, Late, Loopback, disconnect, invalid_json, last_user, said


def ask_for(text="q", **more):
    return Request(model="", messages=({"role": "user", "content": text},), **more)


@pytest.fixture
async def pool_at():
    pools = []

    def make(server, *, budget=None, **settings):
        m = {"name": "openai/some-model", "base_url": server.url, **settings}
        pools.append(ModelPool({"m": m}, budget=budget))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 10)), max_size=40), st.integers(10, 30))
def test_no_minute_has_more_than_a_window_allows(asked, most):
    window, now_s, sent = Window(most), 0.0, []
    for pause_s, amount in asked:
        now_s += pause_s
        wait_s = window.wait_s(now_s, amount)
        assert wait_s >= 0
        now_s += wait_s
        assert window.wait_s(now_s + 1e-6, amount) == 0
        now_s += 1e-6
        window.add(now_s, amount)
        sent.append((now_s, amount))
    for start_s, _ in sent:
        assert sum(a for t, a in sent if start_s <= t < start_s + 60) <= most


async def test_a_gate_lets_so_many_through_at_once():
    gate = Gate(2)
    first, _ = await gate.enter(), await gate.enter()
    assert gate.full
    late = [asyncio.create_task(gate.enter()) for _ in range(2)]
    urgent = asyncio.create_task(_enter_first(gate))
    await asyncio.sleep(0)
    assert not any(task.done() for task in [*late, urgent])
    gate.leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert urgent.done() and not late[0].done()  # what is sent again goes before what begins
    late[0].cancel()
    gate.leave()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert late[1].done() and gate.in_flight == 2
    assert first.number == 0


async def _enter_first(gate):
    return await gate.enter(first=True)


async def test_a_turn_that_is_cancelled_as_it_comes_is_given_back():
    gate = Gate(1)
    await gate.enter()
    waits = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    gate.leave()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert gate.in_flight == 0 and not gate.full


async def test_requests_a_minute_are_bounded():
    now_s = 100.0
    gate = Gate(8, rpm=3, clock=lambda: now_s)
    for _ in range(3):
        await gate.enter()
        gate.leave()
    assert gate.full
    now_s += 60.0
    assert not gate.full


async def test_tokens_a_minute_are_corrected_when_they_are_known():
    gate = Gate(8, tpm=100, clock=lambda: 1.0)
    ticket = await gate.enter(90)
    gate.took(ticket, 20)
    assert not gate.full
    await gate.enter(70)
    assert gate._wait_s(20) > 0


async def test_one_wave_of_busy_answers_is_one_cut_and_room_comes_back():
    gate = Gate(64)
    tickets = [await gate.enter() for _ in range(64)]
    for ticket in tickets[8:]:
        gate.refused(ticket, None)
    assert gate.limit == 32
    for _ in tickets:
        gate.leave()
    for _ in range(3000):
        ticket = await gate.enter()
        gate.accepted(ticket)
        gate.leave()
        gate.took(ticket, 1)
    assert gate.limit == 64


async def test_rare_busy_answers_slow_nobody_else():
    gate = Gate(64)
    for number in range(640):
        ticket = await gate.enter()
        gate.leave()
        if number % 16 == 15:
            gate.refused(ticket, 5.0)
        else:
            gate.accepted(ticket)
            gate.took(ticket, 1)
    assert gate.limit == 64 and not gate.full


async def test_a_server_that_takes_eight_at_once_answers_all_rows(pool_at):
    def script(payload):
        if server.in_flight > 8:
            return Fault(429, "slow down", retry_after="0.1")
        return Late("fine", 0.02)

    with Loopback(script) as server:
        budget = Budget(calls=600)
        pool = pool_at(server, budget=budget)
        answers = await asyncio.gather(*(pool.ask("m", ask_for(f"q{i}")) for i in range(600)))
        assert len(answers) == 600 and len(server.payloads) < 600 * 1.3
    assert budget.spent.calls == 600


async def test_a_server_that_says_nothing_is_left_is_left_alone(pool_at):
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "300ms"}
    body = json.dumps(said("fine")).encode()
    with Loopback(lambda p: Fault(200, body=body, headers=headers)) as server:
        pool = pool_at(server)
        await pool.ask("m", ask_for("a"))
        assert pool.bind("m").gate.full
        await asyncio.wait_for(pool.ask("m", ask_for("b")), 20)
        assert len(server.payloads) == 2


async def test_a_server_that_asks_to_wait_for_a_day_is_asked_again(pool_at):
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "86400"}
    body = json.dumps(said("a")).encode()
    with Loopback(lambda p: Fault(200, body=body, headers=headers)) as server:
        pool = pool_at(server)
        for text in "ab":
            await asyncio.wait_for(pool.ask("m", ask_for(text)), 60)
        assert len(server.payloads) == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2), ("1.5s", 1.5), ("6m0s", 360), ("1h2m", 3720), ("20ms", 0.02), ("soon", 0), ("", 0)],
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds
    left = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": text}
    assert limit_wait_s(left) == seconds
    assert limit_wait_s(left | {"x-ratelimit-remaining-tokens": "7"}) == 0


def failed(kind, **more):
    return ModelFailure(kind, "x", retryable=True, **more)


def attempts(retries, kind, *, lively, moved):
    count = 0
    while retries.wait_s(failed(kind), lively=lively, moved=moved) is not None:
        count += 1
        if count == 100:
            break
    return count


@pytest.mark.parametrize(
    ("kind", "alone", "lively"),
    [
        ("server", 3, 24),
        ("connection", 3, 24),
        ("timeout", 3, 3),
        ("empty", 3, 12),
        ("refusal", 3, 6),
        ("length", 3, 6),
        ("rate_limit", 8, 100),
    ],
)
def test_how_often_a_request_is_sent_again(kind, alone, lively):
    assert attempts(Retries(RetryPolicy()), kind, lively=False, moved=False) == alone
    assert attempts(Retries(RetryPolicy()), kind, lively=True, moved=True) == lively
    two = RetryPolicy.from_settings(2)
    assert attempts(Retries(two), kind, lively=False, moved=False) == 2
    none = RetryPolicy.from_settings({"max": 0})
    assert attempts(Retries(none), kind, lively=True, moved=True) == 0


def test_a_model_that_runs_here_repeats_itself_again():
    looped = failed("length")
    looped.looped = True
    for local, again in ((True, False), (False, True)):
        retries = Retries(RetryPolicy(), local=local)
        wait_s = retries.wait_s(looped, lively=True, moved=True)
        assert (wait_s is not None) is again


def test_waits_grow_only_where_nobody_is_answered():
    def waits(**how):
        retries = Retries(RetryPolicy())
        return [retries.wait_s(failed("server"), **how) for _ in range(3)]

    alone = waits(lively=False, moved=False)
    assert all(0.5 * 2**i <= w <= 1.5 * 2**i for i, w in enumerate(alone))
    assert max(waits(lively=True, moved=True)) <= 0.75
    asked = Retries(RetryPolicy()).wait_s(
        failed("rate_limit", retry_after_s=7.0), lively=False, moved=False
    )
    assert 7.0 <= asked <= 7.1
    hour = failed("rate_limit", retry_after_s=3600.0)
    assert Retries(RetryPolicy()).wait_s(hour, lively=True, moved=True) is None


# --- everything at once ---

CHAOS = [
    lambda text: Fault(429, "slow down", retry_after="0.05"),
    lambda text: Fault(500),
    lambda text: disconnect(),
    lambda text: Fault(cut=True),
    lambda text: invalid_json(),
    lambda text: said(""),
    lambda text: Late(text, 0.2),
]


async def run_chaos(pool_at, rows):
    """Rows through a server of which seven in ten answers go wrong in some way."""
    chance, busy = random.Random(3), 0

    def right(text):
        return str(zlib.crc32(text.encode()) % 3)

    def script(payload):
        nonlocal busy
        text, place = right(last_user(payload)), int(chance.random() * 10)
        busy += place == 0
        return CHAOS[place](text) if place < len(CHAOS) else text

    with Loopback(script) as server:
        budget = Budget(calls=rows * 20)
        pool = pool_at(server, budget=budget, retry={"max": 40, "backoff": 0.02}, timeout=20)
        limit = asyncio.Semaphore(256)

        async def one(text):
            async with limit:
                return (await pool.ask("m", ask_for(text)))[0]

        texts = [f"row {i}" for i in range(rows)]
        answers = await asyncio.gather(*map(one, texts))
        assert [a.text for a in answers] == [right(text) for text in texts]
        assert budget.spent.calls == len(server.payloads) - busy
        assert budget.spent.retries == len(server.payloads) - rows == pool.usage.retries


async def test_nothing_is_lost_where_most_goes_wrong(pool_at):
    await run_chaos(pool_at, 300)


@pytest.mark.slow
async def test_nothing_is_lost_in_thousands_of_calls(pool_at):
    await run_chaos(pool_at, 4000)


async def test_a_request_that_is_cancelled_while_it_waits_leaves_the_gate_in_order() -> None:
    """A request that ends may pass the cancelled one over before that one notices it."""
    gate = Gate(1)
    await gate.enter()
    cancelled, next_one = (asyncio.ensure_future(gate.enter()) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    gate.leave()  # before the cancelled one runs again
    done, _ = await asyncio.wait({cancelled, next_one}, timeout=5)
    assert done == {cancelled, next_one}
    assert cancelled.cancelled()
    await next_one
    assert gate.in_flight == 1
