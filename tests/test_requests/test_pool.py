import asyncio
import time

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Capabilities, ModelFailure, Request, Sampling
from lmc.models.registry import register, unregister
from lmc.models.scripted import Scripted
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.cache import Cache
from lmc.requests.pool import ModelPool, _runs
from tests.loopback import Fault, Loopback, disconnect, in_order, invalid_json

FAST = {"max": 3, "backoff": 0.01}


def ask_for(text, **more):
    return Request(model="", messages=({"role": "user", "content": text},), **more)


@pytest.fixture
async def pool_at():
    """Pools for one model `m` at a server, closed after the test."""
    pools = []

    def make(server, *, cache=None, budget=None, budget_=None, models=None, **settings):
        m = {"name": "openai/some-model", "base_url": server.url, "retry": FAST, **settings}
        m |= {"budget": budget_} if budget_ else {}
        pools.append(ModelPool({"m": m, **(models or {})}, cache=cache, budget=budget))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "responses.db")
    yield cache
    cache.close()


class Singles(Scripted):
    """A scripted backend that takes one sample a request."""

    def __init__(self, script, **more):
        super().__init__(script, **more)
        self.capabilities = Capabilities(multiple_samples=False, cacheable=True)


async def test_settings_fill_in_what_the_request_leaves_open(pool_at):
    with Loopback("hello") as server:
        pool = pool_at(server, temperature=0.5, max_tokens=7, stop="END", seed=3)
        (answer,) = await pool.ask("m", ask_for("hi", sampling=Sampling(temperature=0.0)))
    assert answer.text == "hello" and not answer.cached and answer.latency_ms > 0
    sent = server.payloads[0]
    assert sent["model"] == "some-model" and sent["temperature"] == 0.0
    assert (sent["max_tokens"], sent["stop"], sent["seed"]) == (7, ["END"], 3)


async def test_model_settings_go_before_those_of_the_program():
    model, default = {"name": "x/y", "temperature": 0.1}, {"temperature": 0.9, "seed": 1}
    backend = Scripted(lambda request: "a")
    await ModelPool({"m": model}, default, backends={"*": backend}).ask("m", ask_for("q"))
    assert backend.requests[0].sampling == Sampling(temperature=0.1, seed=1)
    assert backend.requests[0].model == "y"


async def test_second_ask_comes_from_the_cache_and_costs_no_request(pool_at, cache):
    with Loopback("hello") as server:
        pool = pool_at(server, cache=cache, price={"input": 1e6, "output": 2e6})
        (first,) = await pool.ask("m", ask_for("one two"))
        (second,) = await pool.ask("m", ask_for("one two"))
        assert len(server.payloads) == 1
    assert (first.cached, second.cached) == (False, True) and first == second
    assert first.cost_usd == 2 * 1.0 + 1 * 2.0
    assert pool.usage.calls == 2 and pool.usage.cached_calls == 1


async def test_only_missing_samples_are_requested(pool_at, cache):
    with Loopback(lambda p: [f"s{i}" for i in range(p.get("n", 1))]) as server:
        pool = pool_at(server, cache=cache)
        await pool.ask("m", ask_for("q", index=1, n=1))
        answers = await pool.ask("m", ask_for("q", n=4))
        assert sorted(p.get("n", 1) for p in server.payloads) == [1, 1, 2]
    assert [a.cached for a in answers] == [False, True, False, False]
    assert [a.text for a in answers] == ["s0", "s0", "s0", "s1"]


def test_runs():
    assert _runs([3, 0, 1, 5]) == [range(0, 2), range(3, 4), range(5, 6)]


async def test_identical_requests_in_flight_are_sent_once(pool_at):
    with Loopback("hello", latency_s=0.05) as server:
        pool = pool_at(server)
        same = await asyncio.gather(*(pool.ask("m", ask_for("q")) for _ in range(50)))
        await asyncio.gather(*(pool.ask("m", ask_for(f"q{i}")) for i in range(3)))
        assert server.counts == {"q": 1, "q0": 1, "q1": 1, "q2": 1}
    assert sum(a.cached for (a,) in same) == 49 and {a.text for (a,) in same} == {"hello"}


async def test_overlapping_samples_in_flight_are_sent_once(pool_at):
    with Loopback("hello", latency_s=0.05) as server:
        pool = pool_at(server)
        asked = (pool.ask("m", ask_for("q", n=n)) for n in (3, 5))
        a, b = await asyncio.gather(*asked)
        assert [p.get("n", 1) for p in server.payloads] == [3, 2]
    assert len(a) == 3 and len(b) == 5


async def test_without_caching_each_call_is_sent(pool_at, cache):
    with Loopback("hello") as server:
        pool = pool_at(server, cache=cache)
        await asyncio.gather(*(pool.ask("m", ask_for("q"), cache=False) for _ in range(3)))
        assert server.counts == {"q": 3}
    assert cache.stats().entries == 0


async def test_a_cache_in_memory_leaves_nothing_behind(pool_at, cache, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with Loopback("hello") as server:
        pool = pool_at(server, cache=cache)
        for _ in range(3):
            await pool.ask("m", ask_for("q"), cache="memory")
        assert server.counts == {"q": 1}
        await pool.close()
        await pool_at(server, cache=cache).ask("m", ask_for("q"), cache="memory")
        assert server.counts == {"q": 2}
    assert cache.stats().entries == 0
    assert list(here.iterdir()) == []


async def test_follower_takes_over_when_the_leader_is_cancelled(pool_at):
    with Loopback("hello", latency_s=0.1) as server:
        pool = pool_at(server)
        leader = asyncio.create_task(pool.ask("m", ask_for("q")))
        follower = asyncio.create_task(pool.ask("m", ask_for("q")))
        await asyncio.sleep(0.03)
        leader.cancel()
        assert [a.text for a in await follower] == ["hello"]
        assert server.counts == {"q": 2}
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_followers_share_the_failure_of_the_leader(pool_at):
    with Loopback(Fault(400, "no such thing"), latency_s=0.02) as server:
        server.script = lambda p: Fault(400, "no such thing")
        pool = pool_at(server)
        results = await asyncio.gather(
            *(pool.ask("m", ask_for("q")) for _ in range(5)), return_exceptions=True
        )
        assert server.counts == {"q": 1}
    assert {type(r) for r in results} == {ModelFailure}


@pytest.mark.parametrize(
    "fault", [Fault(429), Fault(500), Fault(503), disconnect(), invalid_json()], ids=str
)
async def test_passing_faults_are_retried(pool_at, fault):
    with Loopback(in_order(fault, fault, "fine")) as server:
        (answer,) = await pool_at(server).ask("m", ask_for("q"))
        assert answer.text == "fine" and len(server.payloads) == 3


async def test_retry_after_is_waited_for(pool_at):
    with Loopback(in_order(Fault(429, retry_after="0.3"), "fine")) as server:
        start_s = time.perf_counter()
        await pool_at(server).ask("m", ask_for("q"))
    assert 0.3 <= time.perf_counter() - start_s < 2


async def test_attempts_end(pool_at):
    with Loopback(in_order(Fault(500, "broken"))) as server:
        with pytest.raises(ModelFailure, match="broken") as failure:
            await pool_at(server).ask("m", ask_for("q"))
        assert len(server.payloads) == 4 and failure.value.kind == "server"


async def test_retry_on_names_the_kinds(pool_at):
    with Loopback(in_order(Fault(500), "fine")) as server:
        pool = pool_at(server)
        with pytest.raises(ModelFailure):
            await pool.ask("m", ask_for("q"), retry={"max": 3, "backoff": 0.01, "on": ["timeout"]})
        assert len(server.payloads) == 1


async def test_final_faults_are_not_retried_and_go_to_the_fallback(pool_at):
    with Loopback(in_order(Fault(401))) as server, Loopback("from the second") as second:
        other = {"name": "openai/b", "base_url": second.url}
        pool = pool_at(server, models={"other": other}, fallback=["other"])
        (answer,) = await pool.ask("m", ask_for("q"))
        assert answer.text == "from the second"
        assert len(server.payloads) == 1 and second.payloads[0]["model"] == "b"


async def test_a_model_that_used_up_its_own_budget_hands_on(pool_at):
    with Loopback("dear") as server, Loopback("cheap") as second:
        other = {"name": "openai/b", "base_url": second.url}
        whole = Budget(calls=6)
        pool = pool_at(
            server, models={"other": other}, budget=whole, fallback=["other"], budget_={"calls": 2}
        )
        asked = [pool.ask("m", ask_for(f"q{i}")) for i in range(5)]
        texts = [answers[0].text for answers in await asyncio.gather(*asked)]
        assert sorted(texts) == ["cheap"] * 3 + ["dear"] * 2
        assert len(server.payloads) == 2 and whole.spent.calls == 5
        with pytest.raises(BudgetExceeded, match="has used up its own budget"):
            await pool.ask("m", ask_for("q"), fallback=[])
        assert whole.remaining().calls == 1  # what was not sent holds nothing
        await pool.ask("other", ask_for("last"))
        with pytest.raises(BudgetExceeded, match="6 calls"):
            await pool.ask("other", ask_for("one more"))


async def test_a_retry_that_passes_the_models_own_budget_hands_on(pool_at):
    with Loopback(in_order(Fault(500))) as server, Loopback("cheap") as second:
        spare, other = ({"name": "openai/b", "base_url": second.url} for _ in range(2))
        spare["budget"] = {"calls": 1}
        pool = pool_at(
            server,
            models={"spare": spare, "other": other},
            budget=Budget(calls=9),
            budget_={"calls": 2},
        )
        for _ in range(2):  # the second time no budget is left but that of the last
            (answer,) = await pool.ask("m", ask_for("q"), fallback=["spare", "other"])
            assert answer.text == "cheap"
        assert len(server.payloads) == 2 and len(second.payloads) == 2
        with pytest.raises(BudgetExceeded, match="has used up its own budget") as failure:
            await pool.ask("m", ask_for("q"), fallback=["spare"])
        assert "`spare` failed too" in failure.value.__notes__[0]


async def test_first_failure_is_raised_when_all_fallbacks_fail(pool_at):
    with Loopback(in_order(Fault(401))) as server, Loopback(in_order(Fault(400))) as second:
        other = {"name": "openai/b", "base_url": second.url}
        pool = pool_at(server, models={"other": other})
        with pytest.raises(ModelFailure) as failure:
            await pool.ask("m", ask_for("q"), fallback="other")
    assert failure.value.kind == "auth" and "`other` failed too" in failure.value.__notes__[0]


async def test_slow_server_is_a_timeout(pool_at):
    with Loopback("late", latency_s=1.0) as server:
        pool = pool_at(server, timeout=0.05, retry=0)
        with pytest.raises(ModelFailure) as failure:
            await pool.ask("m", ask_for("q"))
    assert failure.value.kind == "timeout" and failure.value.retryable


async def test_concurrency_is_kept(pool_at):
    with Loopback("ok", latency_s=0.02) as server:
        pool = pool_at(server, concurrency=5)
        await asyncio.gather(*(pool.ask("m", ask_for(str(i))) for i in range(30)))
        assert server.most_in_flight == 5


async def test_budget_is_never_passed_under_concurrency(pool_at, cache):
    budget = Budget(calls=20)
    with Loopback("ok", latency_s=0.01) as server:
        pool = pool_at(server, budget=budget, cache=cache)
        asked = (pool.ask("m", ask_for(str(i))) for i in range(50))
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert len(server.payloads) == 20
    assert sum(isinstance(r, BudgetExceeded) for r in results) == 30
    assert budget.spent.calls == 20


async def test_cached_calls_count_so_that_a_second_run_decides_alike(pool_at, cache):
    async def run(server):
        pool = pool_at(server, budget=Budget(calls=3), cache=cache)
        results = [
            await asyncio.gather(pool.ask("m", ask_for(str(i))), return_exceptions=True)
            for i in range(5)
        ]
        return [isinstance(r[0], BudgetExceeded) for r in results]

    with Loopback("ok") as server:
        assert await run(server) == await run(server) == [False] * 3 + [True] * 2
        assert len(server.payloads) == 3


async def test_token_budget_bounds_the_answer(pool_at):
    with Loopback("ok") as server:
        await pool_at(server, budget=Budget(tokens=10_000)).ask("m", ask_for("q"))
        assert server.payloads[0]["max_tokens"] == 4096


async def test_samples_go_singly_where_the_backend_takes_one():
    backend = Singles(lambda r: f"sample {r.index}", name="singles")
    pool = ModelPool(backends={"m": backend})
    answers = await pool.ask("m", ask_for("q", index=2, n=3))
    assert [a.text for a in answers] == ["sample 2", "sample 3", "sample 4"]
    assert [r.n for r in backend.requests] == [1, 1, 1]


async def test_answers_are_kept_although_another_part_fails(cache):
    def respond(request):
        if request.index == 1:
            return ModelFailure("bad_request", "not this one", retryable=False)
        return "fine"

    backend = Singles(respond, name="parts")
    pool = ModelPool(cache=cache, backends={"m": backend})
    await pool.ask("m", ask_for("q", n=1))
    with pytest.raises(ModelFailure):
        await pool.ask("m", ask_for("q", n=2))
    assert len(backend.requests) == 2


async def test_preflight_reports_all_at_once(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("HOSTED_VLLM_API_BASE", raising=False)
    models = {
        "small": {"name": "openai/gpt", "fallback": ["large"]},
        "large": {"name": "vllm/big"},
        "good": {"name": "openai/x", "base_url": "http://localhost:1/v1"},
    }
    with pytest.raises(LmcError) as failure:
        ModelPool(models).preflight(["small", "good", "smal", "scripted/nothing.json"])
    codes = [d.code for d in failure.value.diagnostics]
    assert codes == ["missing-key", "unknown-model", "unknown-model", "missing-base-url"]
    assert failure.value.diagnostics[1].help == "did you mean `small`?"


PRICED = {"price": {"input": 1, "output": 1}}


async def test_preflight_refuses_unknown_prices(pool_at):
    with Loopback() as server:
        with pytest.raises(LmcError, match="unknown-price"):
            pool_at(server, budget=Budget(usd=1.0)).preflight(["m"])
        priced = pool_at(server, budget=Budget(usd=1.0), price={"input": 1, "output": 1})
        assert priced.preflight(["m"]) == []


@pytest.mark.parametrize(
    ("budget", "price", "refused"),
    [
        ({"usd": 1}, {}, True),
        ({"usd": 1}, {"price": {"input": 1, "output": 1}}, False),
        ({"calls": 9}, {}, False),
    ],
)
async def test_a_model_whose_budget_no_price_holds_is_not_asked(pool_at, budget, price, refused):
    with Loopback("ok") as server:
        pool = pool_at(server, budget_=budget, **price)
        if refused:
            with pytest.raises(LmcError, match="unknown-price"):
                await pool.ask("m", ask_for("one"))
        else:
            await pool.ask("m", ask_for("one"))
        assert len(server.payloads) == (not refused)


@pytest.mark.parametrize(("settings", "told"), [({}, 1), ({"temperature": 0.7}, 0)])
async def test_a_server_that_chooses_the_temperature_is_told_once(pool_at, caplog, settings, told):
    with Loopback("ok") as server:
        pool = pool_at(server, **settings)
        await pool.ask("m", ask_for("one"))
        await pool.ask("m", ask_for("two"))
    assert caplog.text.count("`m` has no `temperature:`") == told


async def test_applications_add_their_own_backends():
    register("mine/", lambda model, settings: Scripted(lambda request: [request.model]))
    try:
        assert (await ModelPool().ask("mine/it", ask_for("q")))[0] == Answer("it", 1, 1)
    finally:
        unregister("mine/")


async def test_cached_ask_is_quick(pool_at, cache):
    with Loopback("ok") as server:
        pool = pool_at(server, cache=cache)
        request = ask_for("some prompt " * 50)
        await pool.ask("m", request)
        times_s = []
        for _ in range(300):
            start_s = time.perf_counter()
            await pool.ask("m", request)
            times_s.append(time.perf_counter() - start_s)
    assert sorted(times_s)[150] < 500e-6  # measured below 100 µs on a quiet machine


async def test_cache_setting_of_the_model(pool_at, cache):
    with Loopback("ok") as server:
        pool = pool_at(server, cache=cache, **{"max_tokens": 3})
        pool.models["m"]["cache"] = "off"
        for _ in range(2):
            await pool.ask("m", ask_for("q"))
        assert server.counts == {"q": 2}


async def test_attempts_that_are_sent_again_count_against_the_budget(pool_at):
    with Loopback(Fault(503)) as server:
        pool = pool_at(server, budget=Budget(calls=3), retry={"max": 9, "backoff": 0.001})
        with pytest.raises(BudgetExceeded):
            await pool.ask("m", ask_for("q"))
        assert len(server.payloads) == 3
