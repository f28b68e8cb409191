"""Requests by a batch API: gathered, journaled, waited for, handed out, and paid for once."""

import asyncio
import json
import os
import subprocess
import sys
import time

import pytest

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure, Sampling
from lmc.models.batch_api import BatchApi
from lmc.models.batch_journal import BatchJournal
from lmc.models.dialect import forget_dialects
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.cache import Cache
from lmc.requests.pool import ModelPool
from tests.batch_server import BatchServer, ask, ask_for
from tests.loopback import Fault, last_user
from tests.test_cli.test_commands import run

QUICK = BatchApi(quiet_s=0.05, poll_s=0.01)
EXPIRED = {"error": {"code": "batch_expired", "message": "could not be executed in time"}}


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("LOOPBACK_KEY", "sk-of-the-test-0123456789")
    forget_dialects()
    yield
    forget_dialects()


@pytest.fixture
def server():
    with BatchServer(lambda p: f"re: {last_user(p)}") as running:
        yield running


@pytest.fixture
async def pooled(server):
    pools = []

    def make(options=QUICK, settings=None, **more):
        model = {
            "name": "openai/m", "base_url": server.url, "api_key_env": "LOOPBACK_KEY",
            "price": {"input": 2.0, "output": 10.0}, "temperature": 0.0,
        } | (settings or {})  # fmt: skip
        consent = Consent(hosts=("127.0.0.1",))
        pool = ModelPool({"m": model}, batch_api=options, consent=consent, **more)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        await pool.close()


async def until(holds):
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")


def journaled():
    return list(BatchJournal().folder.glob("*.json"))


async def test_waiting_requests_go_out_as_one_batch_and_cost_half(server, pooled):
    server.polls = 3
    pool = pooled()
    texts = [f"q{i}" for i in range(200)]  # more than an ordinary server gets at once
    assert await ask(pool, *texts) == [f"re: {text}" for text in texts]
    assert server.sizes == [200] and not server.payloads
    used = pool.usage
    full = (used.prompt_tokens * 2 + used.completion_tokens * 10) / 1e6
    # The server is of no known provider, so its share is not known either.
    assert used.cost_usd == pytest.approx(full) and used.calls == 200
    half = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, price=0.5))
    await ask(half, "q0")
    assert half.usage.cost_usd == pytest.approx(full / 200 / 2)


async def test_the_price_of_a_provider_that_is_known(server, pooled):
    pool = pooled(settings={"dialect": "openai"})
    await ask(pool, "q")
    assert pool.usage.cost_usd == pytest.approx((1 * 1.0 + 2 * 5.0) / 1e6)
    assert pool.bind("m").price.input == 1.0


async def test_a_count_closes_a_batch_and_samples_share_a_line(server, pooled):
    pool = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, most=3))
    server.script = lambda p: [f"{last_user(p)}{i}" for i in range(p.get("n", 1))]
    answers = await asyncio.gather(*(pool.ask("m", ask_for(f"q{i}", n=2)) for i in range(7)))
    assert [a.text for pair in answers for a in pair] == [
        f"q{i}{j}" for i in range(7) for j in range(2)
    ]
    assert server.sizes == [3, 3, 1]


async def test_no_timeout_strikes_while_a_batch_waits(server, pooled):
    server.polls = 4
    pool = pooled(settings={"timeout": 0.01, "deadline": 0.01, "concurrency": 1})
    assert await ask(pool, "a", "b", timeout_s=0.01) == ["re: a", "re: b"]
    assert server.sizes == [2]


async def test_each_line_fails_in_its_own_way(server, pooled):
    server.errors = {"late": EXPIRED, "odd": {"error": {"code": "x", "message": "y"}}}
    server.lost = {"gone"}

    def script(payload):
        words = last_user(payload)
        return Fault(400, "this prompt is too long") if words == "long" else f"re: {words}"

    server.script = script
    pool = pooled(settings={"retry": 0})
    found = await ask(pool, "good", "late", "odd", "gone", "long")
    assert found == ["re: good", "timeout", "server", "server", "context_length"]
    assert not server.payloads


async def test_what_may_pass_is_asked_in_the_next_batch(server, pooled):
    failed = iter([Fault(503, "busy")])
    server.script = lambda p: next(failed, f"re: {last_user(p)}")
    pool = pooled(settings={"retry": {"max": 1, "backoff": 0.01}})
    assert await ask(pool, "a") == ["re: a"]
    assert server.sizes == [1, 1] and not server.payloads


async def test_an_expired_request_is_asked_at_once_if_that_is_allowed(server, pooled):
    server.ending, server.lost = "expired", {"b"}
    assert await ask(pooled(), "a", "b") == ["re: a", "timeout"]
    assert not server.payloads
    allowed = BatchApi(quiet_s=0.05, poll_s=0.01, late="ask", price=0.5)
    pool = pooled(allowed)
    assert await ask(pool, "a", "b") == ["re: a", "re: b"]
    assert [last_user(p) for p in server.payloads] == ["b"]
    one = (1 * 2 + 2 * 10) / 1e6  # the tokens of each: half of it by the batch, all of it at once
    assert pool.usage.cost_usd == pytest.approx(1.5 * one)


async def test_a_refused_batch_says_why(server, pooled):
    server.ending, server.problem = "failed", "Enqueued token limit reached"
    with pytest.raises(ModelFailure) as caught:
        await pooled().ask("m", ask_for("a"))
    assert caught.value.kind == "bad_request" and "Enqueued token limit" in caught.value.message
    assert "lower `most`" in caught.value.hint


async def test_a_server_without_the_api_says_so(server, pooled):
    server.has_no_api = True
    with pytest.raises(ModelFailure) as caught:
        await pooled().ask("m", ask_for("a"))
    assert caught.value.kind == "not_found" and "batch API" in caught.value.hint
    assert not server.payloads and not journaled()


async def test_a_busy_server_is_sent_the_file_again(server, pooled):
    server.uploads_fail = 2
    assert await ask(pooled(), "a") == ["re: a"]
    assert server.sizes == [1]


async def test_a_refused_parameter_is_learnt_from_the_answers_of_a_batch(server, pooled):
    def script(payload):
        if "temperature" in payload:
            return Fault(400, "Unsupported parameter: 'temperature'")
        return "ok"

    server.script = script
    assert await ask(pooled(), "a", "b") == ["ok", "ok"]
    assert server.sizes == [2, 2]


async def test_a_batch_that_takes_too_long_is_asked_for_again_by_the_next_run(server, pooled):
    server.polls = 10**9
    pool = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, wait_s=0.05))
    assert await ask(pool, "a", "b") == ["timeout", "timeout"]
    await pool.close()
    assert len(journaled()) == 1
    server.polls = 0
    again = pooled()
    assert await ask(again, "a", "b", "c") == ["re: a", "re: b", "re: c"]
    assert server.answered == ["a", "b", "c"]  # nothing was paid for twice
    await again.close()
    assert not journaled()
    assert await ask(pooled(), "a") == ["re: a"]  # a new run without a cache pays anew
    assert server.answered == ["a", "b", "c", "a"]


@pytest.mark.parametrize("taken", [True, False])
async def test_a_run_that_was_killed_as_it_submitted_asks_whether_it_did(server, pooled, taken):
    server.polls = 10**9
    pool = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, wait_s=0.05))
    await ask(pool, "a")
    await pool.close()
    (path,) = journaled()
    path.write_text(path.read_text().replace('"batch_0"', "null"))  # it never learnt the id
    if not taken:
        server.batches.clear()
    server.polls = 0
    assert await ask(pooled(), "a") == ["re: a"]
    assert server.sizes == ([1] if taken else [1, 1])


async def test_a_run_that_goes_on_keeps_its_batches(server, pooled):
    server.polls = 10**9
    first = asyncio.create_task(ask(pooled(), "a"))
    await until(lambda: server.asked)
    second = asyncio.create_task(ask(pooled(), "a"))  # without a cache: a sample of its own
    await until(lambda: len(server.sizes) == 2)
    server.polls = 0
    assert await first == await second == ["re: a"]


async def test_a_batch_that_takes_too_long_is_cancelled_before_others_are_asked(server, pooled):
    server.polls, server.lost = 10**9, {"b"}
    pool = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, wait_s=0.05, late="ask"))
    assert await ask(pool, "a", "b") == ["re: a", "re: b"]
    assert server.cancelled == ["batch_0"]
    assert [last_user(p) for p in server.payloads] == ["b"]


async def test_a_reply_that_was_lost_on_its_way_pays_nothing_twice(server, pooled):
    server.drop_reply = True
    assert await ask(pooled(), "a", "b") == ["re: a", "re: b"]
    assert server.answered == ["a", "b"]


async def test_equal_requests_get_answers_of_their_own(server, pooled):
    numbers = iter(range(10))
    server.script = lambda p: f"answer {next(numbers)}"
    pool = pooled(settings={"cache": "off"})
    assert sorted(await ask(pool, "same", "same")) == ["answer 0", "answer 1"]
    assert server.sizes == [2]


async def test_a_batch_that_the_server_forgot_is_submitted_anew(server, pooled):
    server.polls = 10**9
    pool = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, wait_s=0.03))
    assert await ask(pool, "a") == ["timeout"]
    await pool.close()
    server.batches.clear()
    server.polls = 0
    assert await ask(pooled(), "a") == ["re: a"]
    assert len(server.answered) == 2


async def test_the_journal_holds_no_words_and_survives_damage(server, pooled):
    server.polls = 10**9
    pool = pooled(BatchApi(quiet_s=0.05, poll_s=0.01, wait_s=0.03))
    await ask(pool, "a secret of somebody")
    (path,) = journaled()
    text = path.read_text()
    assert "secret" not in text and "sk-of" not in text and path.stat().st_mode & 0o077 == 0
    bad_path = path.with_name(f"{'0' * 24}-1.json")
    for bad in ("", "[]", '{"endpoint": 1}', text.replace("batch_0", "../../files"), "[" * 9999):
        bad_path.write_text(bad)
        assert len(BatchJournal().batches(pool.bind("m").backend.endpoint)) == 1


async def test_a_budget_reserves_all_of_a_batch_before_it_is_sent(server, pooled):
    pool = pooled(budget=Budget(usd=1.0))
    await ask(pool, *(f"q{i}" for i in range(5)), sampling=Sampling(max_tokens=10))
    assert server.sizes == [5]  # none waits for a first one
    worst = pool.bind("m").worst_case(ask_for("q0", sampling=Sampling(0.0, max_tokens=10)))
    few = pooled(budget=Budget(usd=3.5 * worst.cost_usd), settings={"retry": 0})
    found = await asyncio.gather(
        *(few.ask("m", ask_for(f"x{i}", sampling=Sampling(max_tokens=10))) for i in range(5)),
        return_exceptions=True,
    )
    assert server.sizes[1] == 3
    assert all(not isinstance(one, Exception) or isinstance(one, BudgetExceeded) for one in found)
    assert few.budget.spent.cost_usd <= 3.5 * worst.cost_usd


async def test_cached_answers_go_into_no_batch(server, pooled, tmp_path):
    assert await ask(pooled(cache=Cache(tmp_path / "answers.db")), "a") == ["re: a"]
    assert await ask(pooled(cache=Cache(tmp_path / "answers.db")), "a", "b") == ["re: a", "re: b"]
    assert server.answered == ["a", "b"]


async def test_a_server_that_is_known_to_have_no_batches_is_asked_at_once(server, pooled, caplog):
    pool = pooled(settings={"dialect": "vllm"})
    assert await ask(pool, "a") == ["re: a"] and len(server.payloads) == 1
    assert "no batch API" in caplog.text


async def test_headers_cannot_go_with_a_batch(pooled):
    with pytest.raises(LmcError) as caught:
        pooled(settings={"headers": {"x-team": "a"}}).bind("m")
    assert caught.value.code == "headers-in-batch"


@pytest.mark.parametrize(
    "wrong", [{"wait_s": 0}, {"late": "never"}, {"price": 2}, {"most": 10**6}, {"quiet_s": -1}]
)
def test_wrong_options(wrong):
    with pytest.raises(LmcError) as caught:
        BatchApi(**wrong)
    assert caught.value.code == "bad-batch-api"


PROGRAM = """
model m {{
  name: "openai/m" base_url: "{url}" api_key_env: "LOOPBACK_KEY" temperature: 0
  price: {{input: 2, output: 10}}
}}

generate answer(q: str) -> str {{
  "Answer."
  model: m
}}
"""


def test_a_killed_evaluation_asks_for_its_batch_again(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.lmp").write_text(PROGRAM.format(url=server.url))
    rows = "".join(f'{{"q": "q{i}", "answer": "re: q{i}"}}\n' for i in range(3))
    (tmp_path / "rows.jsonl").write_text(rows)
    server.script, server.polls = lambda p: "re: q1", 10**9
    arguments = [
        *("eval", "p.lmp", "--data", "rows.jsonl", "--metric", "accuracy", "--no-cache", "--json"),
        *("--batch-api", "--batch-price", "0.5", "--allow-host", "127.0.0.1"),
    ]
    process = subprocess.Popen([sys.executable, "-m", "lmc", *arguments], env=os.environ)
    end_s = time.monotonic() + 60
    while not server.asked and time.monotonic() < end_s and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert server.sizes == [3] and len(journaled()) == 1
    server.polls = 0
    told = json.loads(run(*arguments).stdout)
    assert told["score"] == pytest.approx(1 / 3) and server.sizes == [3]
    full = (told["tokens"] - 3 * 2) * 2 + 3 * 2 * 10  # each answer has two words
    assert told["cost_usd"] == pytest.approx(full / 1e6 / 2)
    assert not journaled() and not server.payloads


def test_options_of_batches_need_the_batch_api():
    assert "need --batch-api" in run("eval", "p.lmp", "--batch-wait", "2", code=2).stderr
