"""Against a real server that goes wrong: what is kept, what is asked again, what it costs."""

import asyncio
import gzip
import logging
import pickle
import time

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.dialect import forget_dialects
from lmc.models.registry import open_backend
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.cache import Cache
from lmc.requests.pool import ModelPool
from tests.loopback import (
    Events,
    Fault,
    Late,
    Loopback,
    completion,
    disconnect,
    in_order,
    invalid_json,
    last_user,
    said,
)

FAST = {"max": 2, "backoff": 0.01}


@pytest.fixture(autouse=True)
def nothing_learnt():
    forget_dialects()


@pytest.fixture
async def pool_at(tmp_path):
    pools = []

    def make(server, *, budget=None, models=None, **settings):
        m = {"name": "openai/some-model", "base_url": server.url, "retry": FAST, **settings}
        cache = Cache(tmp_path / "responses.db")
        pools.append(ModelPool({"m": m, **(models or {})}, cache=cache, budget=budget))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


def ask_for(text="q", **more):
    return Request(model="", messages=({"role": "user", "content": text},), **more)


def piece(text, **more):
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


NO_ANSWERS = {
    "empty": said(""),
    "null": said(None),
    "length": said("The answer is", "length"),
    "content_filter": said("", "content_filter"),
    "tool_calls": said(None, "tool_calls", tool_calls=[{"id": "1"}]),
    "refusal": said(None, refusal="I cannot help."),
    "server: error with status 200": {"error": {"message": "overloaded", "code": 503}},
    "server: broken JSON": invalid_json(),
    "server: wrong types": {"choices": "none"},
    "server: nested too deep": Fault(200, body=b"[" * 100_000 + b"]" * 100_000),
    "server: a page": Fault(200, body=b"<html>", content_type="text/html"),
    "server: packed badly": Fault(200, body=b"zip", headers={"Content-Encoding": "gzip"}),
    "server: packed unknown": Fault(200, body=b"zip", headers={"Content-Encoding": "br"}),
    "connection: cut": Fault(cut=True),
    "connection: reset": disconnect(),
}


def kind_of(name):
    return {"null": "empty"}.get(name, name.partition(":")[0])


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_asked_for_again_and_not_kept(pool_at, name):
    with Loopback(in_order(NO_ANSWERS[name], "whole")) as server:
        pool = pool_at(server)
        for _ in range(2):
            (answer,) = await pool.ask("m", ask_for())
            assert answer.text == "whole"
        assert len(server.payloads) == 2 and pool.usage.retries == 1
    assert answer.cached and pool.cache.stats().entries == 1


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_stays_no_answer_is_a_failure_of_its_kind_or_the_fallbacks(pool_at, name):
    with Loopback("second") as second, Loopback("") as server:
        server.script = lambda payload: NO_ANSWERS[name]
        pool = pool_at(server, models={"other": {"name": "openai/b", "base_url": second.url}})
        with pytest.raises(ModelFailure) as failure:
            await pool.ask("m", ask_for())
        assert failure.value.kind == kind_of(name) and failure.value.retries == 2
        assert len(server.payloads) == 3 and pool.cache.stats().entries == 0
        (answer,) = await pool.ask("m", ask_for(), fallback=["other"])
        assert answer.text == "second"


STREAMS = {
    "an error": Events([piece("one "), {"error": {"message": "overloaded", "code": 529}}]),
    "no end": Events([piece("one "), piece("two")], "close"),
    "a reset": Events([piece("one "), piece("two")], "abort"),
    "an event that is none": Events([piece("one "), 'data: {"choices": [{"del\n\n', piece("two")]),
    "wrong types": Events([piece("one "), piece({"text": "two"})]),
    "wrong types at the end": Events(
        [piece("one "), piece("two", finish_reason="stop", logprobs={"content": 5})]
    ),
    "an error in a choice": Events([piece("one "), piece("", error={"message": "lost"})]),
    "an error without a name": Events([piece("one "), {"type": "error", "message": "lost"}]),
    "cut": Events([piece("one "), piece("", finish_reason="length")]),
    "filtered": Events([piece("one "), piece("", finish_reason="content_filter")]),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_that_was_heard_and_is_not_whole_is_said_once_and_fails(pool_at, name):
    heard = []
    with Loopback("second") as second, Loopback(in_order(STREAMS[name], "whole")) as server:
        other = {"name": "openai/b", "base_url": second.url}
        pool = pool_at(server, models={"other": other}, fallback=["other"])
        with pytest.raises(ModelFailure) as failure:
            await pool.ask("m", ask_for(on_text=heard.append))
        kinds = {"cut": "length", "filtered": "content_filter"}
        assert failure.value.kind == kinds.get(name, "broken_stream") and failure.value.heard
        assert len(server.payloads) == 1 and not second.payloads
    assert heard[0] == "one " and pool.cache.stats().entries == 0


async def test_a_refusal_in_a_stream_may_have_a_wrong_type(pool_at):
    wrong = Events([{"choices": [{"delta": {"refusal": {"why": 1}}}]}])
    with Loopback(in_order(wrong, "whole")) as server:
        (answer,) = await pool_at(server).ask("m", ask_for(on_text=lambda piece: None))
    assert answer.text == "whole"


@pytest.mark.parametrize("end", ["close", "abort", "done"])
async def test_a_stream_that_broke_before_a_word_is_asked_for_again(pool_at, end):
    heard = []
    broken = Events([{"error": {"message": "overloaded"}}] if end == "done" else [], end)
    with Loopback(in_order(broken, "whole")) as server:
        (answer,) = await pool_at(server).ask("m", ask_for(on_text=heard.append))
    assert answer.text == "whole" == "".join(heard)


@pytest.mark.parametrize(
    "events",
    [
        Events([piece("who"), piece("le", finish_reason="stop")], "close"),
        Events([piece("who"), piece("le")], "done"),
        Events([": ping\n\n", "event: x\n", piece("whole", finish_reason="stop"), "data: x\n\n"]),
    ],
)
async def test_a_stream_is_whole_by_its_reason_to_end_or_its_last_event(pool_at, events):
    with Loopback("") as server:
        server.script = lambda payload: events
        (answer,) = await pool_at(server).ask("m", ask_for(on_text=lambda piece: None))
    assert answer.text == "whole"


async def test_half_characters_in_a_stream_are_joined(pool_at):
    heard = []
    events = Events([piece("a \ud83d"), piece("\ude00 b"), piece(" \ud83d", finish_reason="stop")])
    with Loopback("") as server:
        server.script = lambda payload: events
        (answer,) = await pool_at(server).ask("m", ask_for(on_text=heard.append))
    assert answer.text == "a \U0001f600 b \ufffd" and "".join(heard).encode()


async def test_an_answer_that_was_cut_may_be_longer_the_next_time(pool_at):
    def script(payload):
        words = [f"word{i}" for i in range(10)]
        most = payload["max_tokens"]
        return said(" ".join(words[:most]), "stop" if most > len(words) else "length")

    with Loopback(script) as server:
        pool = pool_at(server)
        request = ask_for(sampling=Sampling(max_tokens=3))
        (answer,) = await pool.ask("m", request)
        assert answer.text.endswith("word9") and answer.retries == 1
        assert (await pool.ask("m", request))[0].cached
        assert [p["max_tokens"] for p in server.payloads] == [3, 12]
        with pytest.raises(ModelFailure, match="cut"):
            await pool.ask("m", ask_for("r", sampling=Sampling(max_tokens=1)), retry=1)
        assert [p["max_tokens"] for p in server.payloads[2:]] == [1, 4]


async def test_an_answer_that_repeats_itself_gets_no_more_room(pool_at):
    with Loopback(lambda payload: said("I do. " * 40, "length")) as server:
        request = ask_for(sampling=Sampling(max_tokens=9, seed=5))
        with pytest.raises(ModelFailure, match="repeats itself"):
            await pool_at(server).ask("m", request, retry=1)
        assert [p["max_tokens"] for p in server.payloads] == [9, 9]
        assert server.payloads[0]["seed"] != server.payloads[1]["seed"]


async def test_a_server_that_allows_no_longer_answer_fails_with_the_cut_one(pool_at):
    def script(payload):
        long = payload["max_tokens"] > 3
        return Fault(400, "max_tokens is too large") if long else said("one two", "length")

    with Loopback(script) as server, pytest.raises(ModelFailure) as failure:
        await pool_at(server).ask("m", ask_for(sampling=Sampling(max_tokens=3)))
    assert failure.value.kind == "length"


async def test_one_sample_that_is_none_costs_that_sample(pool_at):
    def script(payload):
        if payload.get("n", 1) == 1:
            return "late"
        return completion(payload, ["a", "", "c"])

    with Loopback(script) as server:
        budget = Budget(calls=4)
        answers = await pool_at(server, budget=budget).ask("m", ask_for(n=3))
    assert [a.text for a in answers] == ["a", "late", "c"]
    assert budget.spent.calls == 4 and len(server.payloads) == 2


async def test_whole_samples_are_kept_where_another_one_fails(pool_at):
    def script(payload):
        return completion(
            payload, ["a", "", "c"][: payload.get("n", 1)][-3:] if "n" in payload else [""]
        )

    with Loopback(script) as server:
        pool = pool_at(server)
        with pytest.raises(ModelFailure) as failure:
            await pool.ask("m", ask_for(n=3))
        assert [getattr(o, "text", o) for o in failure.value.outcomes][::2] == ["a", "c"]
        assert pool.cache.stats().entries == 2


async def test_what_an_earlier_version_kept_is_not_given_out(pool_at):
    from lmc.models.base import Answer
    from lmc.requests.cache import sample_keys

    with Loopback("whole") as server:
        pool = pool_at(server)
        bound = pool.bind("m")
        request = pool._complete(bound, ask_for())
        (key,) = sample_keys(bound.backend.endpoint, request)
        for old in (Answer(""), Answer("half", finish_reason="length")):
            pool.cache.write({key: old})
            assert (await pool.ask("m", ask_for()))[0].text == "whole"


# --- budgets ---


CHARGED = {
    "n ignored": (lambda p: ["one"], 3),
    "n refused": (lambda p: Fault(400, "n > 1 is not supported") if "n" in p else "one", 3),
    "more than n": (lambda p: ["x"] * (p.get("n", 1) + 2), 3),
    "fewer than n": (lambda p: ["x"] * max(1, p.get("n", 1) - 1), 4),
    "errs after charging": (lambda p: Fault(500), 1),
    "resets": (lambda p: disconnect(), 1),
    "empty": (lambda p: said(""), 1),
    "refuses a setting": (lambda p: Fault(400, "seed is not supported") if "seed" in p else "x", 1),
}


async def test_what_a_failed_request_cost_is_reported(pool_at):
    with Loopback(NO_ANSWERS["length"]) as server:
        budget = Budget(calls=25)
        pool = pool_at(server, budget=budget)
        with pytest.raises(ModelFailure):
            await pool.ask("m", ask_for())
        spent, reported = budget.spent, pool.usage
        assert (reported.calls, reported.retries) == (1, 2) and len(server.payloads) == 3
        assert reported.tokens == spent.tokens > 0


@pytest.mark.parametrize("name", CHARGED)
async def test_the_server_sees_no_more_requests_than_the_budget_has_calls(pool_at, name):
    script, n = CHARGED[name]
    budget = Budget(calls=25)
    with Loopback(script) as server:
        pool = pool_at(server, budget=budget, concurrency=8)
        asked = (
            pool.ask("m", ask_for(f"q{i}", n=n, sampling=Sampling(seed=1)), cache=False)
            for i in range(40)
        )
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert len(server.payloads) <= 25
    assert budget.spent.calls <= 25 and budget.remaining().calls >= 0
    assert any(isinstance(r, BudgetExceeded) for r in results)
    assert all(isinstance(r, list | BudgetExceeded | ModelFailure) for r in results)


@pytest.mark.parametrize(
    "figure", [None, -(10**6), float("nan"), 1e308, "12", True, 10**30, 0], ids=repr
)
async def test_tokens_are_charged_whatever_the_server_says(pool_at, figure, caplog):
    usage = {"usage": {"prompt_tokens": figure, "completion_tokens": figure}}
    budget = Budget(tokens=2000)
    with Loopback(lambda p: said("some words") | usage) as server:
        pool = pool_at(server, budget=budget, max_tokens=100)
        for i in range(50):
            try:
                await pool.ask("m", ask_for(f"words {i} " * 10))
            except BudgetExceeded:
                break
        else:
            pytest.fail("the budget never ended")
        assert 5 < len(server.payloads) < 50
    assert 1000 < budget.spent.tokens <= 2000
    assert caplog.text.count("tokens are estimated") == 1


@pytest.mark.parametrize("calls", [10, 25, 40])
async def test_samples_that_are_asked_for_again_never_wait_for_each_other(pool_at, calls):
    def script(payload):
        texts = ["a", "", "c"] if "n" in payload else ["late"]
        return completion(payload, texts)

    budget = Budget(calls=calls)
    with Loopback(script, latency_s=0.01) as server:
        pool = pool_at(server, budget=budget)
        asked = (pool.ask("m", ask_for(f"q{i}", n=3)) for i in range(20))
        everything = asyncio.gather(*asked, return_exceptions=True)
        await asyncio.wait_for(everything, 60)
        assert len(server.payloads) <= calls
    assert budget.spent.calls <= calls and budget._reserved.calls == 0


async def test_costs_that_are_none_are_not_believed(pool_at):
    from lmc.models.base import Answer
    from lmc.models.scripted import Scripted

    for cost in (-5.0, float("nan"), 1e308):
        budget = Budget(usd=1.0)
        backend = Scripted(lambda request, cost=cost: Answer("yes", 1, 1, cost))
        await ModelPool(backends={"m": backend}, budget=budget).ask("m", ask_for())
        assert budget.spent.cost_usd == 0.0


async def test_one_retry_does_not_end_a_run_that_has_budget_left(pool_at):
    asked = []

    def script(payload):
        asked.append(last_user(payload))
        return Fault(500) if asked.count("q3") == 1 and asked[-1] == "q3" else "fine"

    with Loopback(script) as server:
        budget = Budget(calls=12)
        pool = pool_at(server, budget=budget)
        answers = await asyncio.gather(*(pool.ask("m", ask_for(f"q{i}")) for i in range(10)))
    assert len(answers) == 10 and budget.spent.calls == 11 and budget.spent.retries == 1


async def test_busy_answers_cost_no_call(pool_at):
    with Loopback(in_order(Fault(429, retry_after="0.01"), Fault(429), "fine")) as server:
        budget = Budget(calls=1)
        (answer,) = await pool_at(server, budget=budget).ask("m", ask_for())
        assert answer.text == "fine" and len(server.payloads) == 3
    assert budget.spent.calls == 1 and answer.retries == 2


# --- time ---


async def test_a_server_that_asks_for_an_hour_is_not_waited_for(pool_at):
    with Loopback("second") as second, Loopback("") as server:
        server.script = lambda payload: Fault(429, "daily limit", retry_after="3600")
        pool = pool_at(server, models={"other": {"name": "openai/b", "base_url": second.url}})
        start_s = time.perf_counter()
        results = await asyncio.gather(
            *(pool.ask("m", ask_for(f"q{i}")) for i in range(5)), return_exceptions=True
        )
        assert {r.kind for r in results} == {"rate_limit"}
        (answer,) = await pool.ask("m", ask_for("r"), fallback=["other"])
    assert answer.text == "second" and time.perf_counter() - start_s < 20


@pytest.mark.parametrize(
    "reply", [Fault(429, retry_after="200"), Late("late", 60.0)], ids=["busy", "slow"]
)
async def test_a_budget_in_minutes_holds_while_a_request_waits(pool_at, reply):
    with Loopback("") as server:
        server.script = lambda payload: reply
        pool = pool_at(server, budget=Budget(minutes=0.01))
        start_s = time.perf_counter()
        with pytest.raises(BudgetExceeded, match="minutes"):
            await pool.ask("m", ask_for())
    assert time.perf_counter() - start_s < 20


async def test_a_deadline_bounds_all_attempts(pool_at):
    with Loopback("") as server:
        server.script = lambda payload: Fault(500)
        pool = pool_at(server, deadline=0.5, retry={"max": 50, "backoff": 0.2})
        start_s = time.perf_counter()
        with pytest.raises(ModelFailure):
            await pool.ask("m", ask_for())
        assert 1 < len(server.payloads) < 20
    assert time.perf_counter() - start_s < 20


async def test_a_timeout_bounds_body_and_stream(pool_at):
    slowly = Events([piece("one "), *[piece("more ")] * 500], "done")
    with Loopback("") as server:
        server.script, server.pause_s = lambda payload: slowly, 0.1
        pool = pool_at(server, timeout=0.4, retry=0)
        with pytest.raises(ModelFailure) as failure:
            await pool.ask("m", ask_for(on_text=lambda piece: None))
    assert failure.value.kind == "timeout"


# --- the border of the protocol ---


async def test_redirects_are_not_followed(pool_at):
    with Loopback("elsewhere") as other, Loopback("") as server:
        target = {"Location": other.url + "/chat/completions"}
        server.script = lambda payload: Fault(307, headers=target)
        with pytest.raises(ModelFailure, match="a redirect, which lmc does not follow") as failure:
            await pool_at(server).ask("m", ask_for())
        assert not other.payloads and not failure.value.retryable


async def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(pool_at):
    bomb = gzip.compress(b" " * (40 << 20))
    with Loopback("") as server:
        server.script = lambda p: Fault(200, body=bomb, headers={"Content-Encoding": "gzip"})
        with pytest.raises(ModelFailure, match="more than 32 MiB"):
            await pool_at(server).ask("m", ask_for())


async def test_a_body_that_is_too_large_is_refused(pool_at):
    body = b'{"choices": [{"message": {"content": "' + b"x" * (33 << 20) + b'"}}]}'
    with Loopback("") as server:
        server.script = lambda payload: Fault(200, body=body)
        with pytest.raises(ModelFailure, match="more than 32 MiB"):
            await pool_at(server).ask("m", ask_for())


async def test_packed_bodies_are_read(pool_at):
    import json

    body = gzip.compress(json.dumps(said("packed")).encode())
    with Loopback("") as server:
        server.script = lambda p: Fault(200, body=body, headers={"Content-Encoding": "gzip"})
        assert (await pool_at(server).ask("m", ask_for()))[0].text == "packed"


async def test_the_providers_words_are_shown_where_an_error_has_a_good_status(pool_at):
    body = {"error": {"message": "free-models-per-min exceeded", "code": 429}}
    with Loopback("") as server:
        server.script = lambda payload: body
        with pytest.raises(ModelFailure, match="free-models-per-min") as failure:
            await pool_at(server).ask("m", ask_for())
    assert failure.value.kind == "rate_limit"


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pass@host/v1",
        "http://token@host/v1",
        "http://host/v1?key=abc",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "nonsense",
        "http://[::1",
    ],
)
def test_addresses_that_hold_secrets_or_are_none(url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    for name in ("openai/m", "hosted_vllm/m", "ollama/m"):
        with pytest.raises(LmcError) as failure:
            open_backend(name, {"base_url": url})
        assert failure.value.code == "bad-base-url" and ":pass@" not in str(failure.value)


async def test_retries_are_logged(pool_at, caplog):
    """What a server wrote may repeat a prompt, so that it is told to who debugs only."""
    caplog.set_level(logging.DEBUG, "lmc")
    with Loopback(in_order(Fault(500, "out of memory"), "fine")) as server:
        await pool_at(server).ask("m", ask_for())
    (record,) = [r for r in caplog.records if "again in" in r.message]
    assert record.levelno == logging.INFO
    assert "`m`: server" in record.message and "out of memory" not in record.message
    told = [r for r in caplog.records if "out of memory" in r.message]
    assert told and all(r.levelno == logging.DEBUG for r in told)


def test_failures_and_results_travel_between_processes():
    from lmc.diagnostics import error
    from lmc.measure.evaluate import RowResult
    from lmc.runtime.failures import Attempts, CallFailure, is_infrastructure
    from lmc.source import Source

    span = Source("a.lmp", "generate").span(0, 3) if hasattr(Source, "span") else None
    failure = CallFailure(
        "m", span, "no answer", Attempts([{"role": "user", "content": "q"}], ["raw"], 2),
        infrastructure=True, help="wait", kind="rate_limit",
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(failure))
    assert vars(again).keys() == vars(failure).keys() and is_infrastructure(again)
    assert str(again) == str(failure) and again.raw == ["raw"] and again.kind == "rate_limit"
    spent = BudgetExceeded(error("budget-exceeded", "no room"))
    assert pickle.loads(pickle.dumps(spent)).code == "budget-exceeded"
    result = RowResult("1", 0.5, {"a": 1}, error="x", failed="model")
    assert pickle.loads(pickle.dumps(result)) == result
