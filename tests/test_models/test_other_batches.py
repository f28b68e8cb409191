"""Batches of other forms: Anthropic's, Mistral's, and those that vLLM's own command runs."""

import asyncio
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

import lmc
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.models import litellm_provider, quick_json
from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.batch_api import BatchApi
from lmc.models.batch_journal import BatchJournal
from lmc.models.dialect import forget_dialects
from lmc.models.litellm_batches import MessageBatches, carrying
from lmc.models.vllm_batches import CommandBatches
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.pool import ModelPool
from tests.batch_server import BatchServer, ask
from tests.loopback import last_user
from tests.message_batches import MessageBatchServer
from tests.test_cli.test_commands import run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
]
ROOT = Path(__file__).parents[2]
COMMAND = f"{shlex.quote(sys.executable)} -m tests.message_batches"
HAIKU = "claude-haiku-4-5"


def error(kind, message):
    told = {"type": "error", "error": {"type": kind, "message": message}}
    return {"type": "errored", "error": told}


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LOOPBACK_KEY", "sk-of-the-test-0123456789")
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    forget_dialects()
    yield
    forget_dialects()


@pytest.fixture
async def pooled():
    pools = []

    def make(model, *, most_s=25 * 3600, late="fail", command="", quiet_s=0.1, most=50, **more):
        options = BatchApi(most_s, quiet_s, most, late, poll_s=0.01, command=command)
        consent = Consent(hosts=("127.0.0.1",))
        pool = ModelPool({"m": model}, batch_api=options, consent=consent, **more)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        await pool.close()


def journaled():
    return list(BatchJournal().folder.glob("*.json"))


# --- Anthropic ---


@pytest.fixture
def claude():
    pytest.importorskip("litellm")
    litellm_provider._imported()
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    with MessageBatchServer() as running:
        yield running


def haiku(server, **more):
    base = server.url.removesuffix("/v1")
    settings = {"name": f"anthropic/{HAIKU}", "base_url": base, "api_key_env": "LOOPBACK_KEY"}
    return settings | {"temperature": 0.0, "price": {"input": 2.0, "output": 10.0}} | more


async def test_messages_go_out_as_one_batch_at_half_the_price(claude, pooled):
    claude.polls = 3
    pool = pooled(haiku(claude), most=12, quiet_s=30)
    texts = [f"q{i}" for i in range(12)]
    assert await ask(pool, *texts) == [f"re: {text}" for text in texts]
    assert claude.sizes == [12] and not claude.payloads
    assert claude.batch_keys == ["sk-of-the-test-0123456789"]
    assert all(params["model"] == HAIKU and params["max_tokens"] for params in claude.params)
    assert pool.usage.cost_usd == pytest.approx(12 * (10 * 2 + 4 * 10) / 1e6 / 2)
    assert pool.bind("m").price.input == 1.0


async def test_a_second_try_that_goes_at_once_has_the_ordinary_price(monkeypatch):
    refused = (400, {}, quick_json.encode(error("invalid_request_error", "no choice")["error"]))
    replies = iter([refused, None])

    async def ask(body, index):
        return next(replies)

    batches = MessageBatches({"batch_api": BatchApi(late="ask")}, "LOOPBACK_KEY", None)
    monkeypatch.setattr(batches.chats, "ask", ask)
    with carrying(0) as carried:
        with pytest.raises(ModelFailure):
            await batches.reply("http://x/v1/messages", {}, {})
        assert carried.late
        assert await batches.reply("http://x/v1/messages", {}, {}) is None
        assert not carried.late


async def test_prompt_caches_and_tools_go_in_a_batch_as_they_would_at_once(claude, pooled):
    shared = {"role": "system", "content": "A long beginning that all share."}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    sampling = Sampling(0.0, max_tokens=20, cache_prompt="head")
    asked = Request("", (shared, {"role": "user", "content": "a"}), sampling, tools=(tool,))
    await pooled(haiku(claude)).ask("m", asked)
    (params,) = claude.params
    assert params["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert params["tools"][0]["name"] == "f" and params["tool_choice"] == {"type": "any"}


async def test_each_result_fails_in_its_own_way(claude, pooled):
    claude.outcomes = {
        "old": {"type": "expired"},
        "off": {"type": "canceled"},
        "long": error("invalid_request_error", "prompt is too long: 300000 > 200000 tokens"),
        "busy": error("overloaded_error", "Overloaded"),
    }
    found = await ask(pooled(haiku(claude, retry=0)), "good", "old", "off", "long", "busy")
    assert found == ["re: good", "timeout", "timeout", "context_length", "server"]
    assert not claude.payloads


async def test_what_expired_is_asked_at_once_if_that_is_allowed(claude, pooled):
    claude.outcomes = {"b": {"type": "expired"}}
    pool = pooled(haiku(claude), late="ask")
    assert await ask(pool, "a", "b") == ["re: a", "re: b"]
    assert [last_user(p) for p in claude.payloads] == ["b"]
    one = (10 * 2 + 4 * 10) / 1e6
    assert pool.usage.cost_usd == pytest.approx(1.5 * one)


async def test_a_batch_that_takes_too_long_is_asked_for_by_the_next_run(claude, pooled):
    claude.polls = 10**9
    pool = pooled(haiku(claude), most_s=0.05)
    assert await ask(pool, "a", "b") == ["timeout", "timeout"]
    await pool.close()
    claude.polls = 0
    again = pooled(haiku(claude))
    assert await ask(again, "a", "b") == ["re: a", "re: b"]
    assert sorted(claude.answered) == ["a", "b"]
    await again.close()
    assert not journaled()


@pytest.mark.parametrize("taken", [True, False])
async def test_a_run_killed_as_it_submitted_finds_its_batch_by_its_requests(claude, pooled, taken):
    claude.polls = 10**9
    pool = pooled(haiku(claude), most_s=0.05)
    await ask(pool, "a")
    await pool.close()
    (path,) = journaled()
    path.write_text(path.read_text().replace('"msgbatch_0"', "null"))  # it never learnt the id
    claude.polls = -1  # what is listed is over
    if not taken:  # somebody else's batch of the same size and time
        claude.batches["msgbatch_0"]["requests"][0]["custom_id"] = "of-somebody-else-0"
    assert await ask(pooled(haiku(claude)), "a") == ["re: a"]
    assert claude.sizes == ([1] if taken else [1, 1])


async def test_a_batch_that_goes_on_is_looked_for_no_longer_than_batches_may_take(claude, pooled):
    claude.polls = 10**9
    pool = pooled(haiku(claude), most_s=0.05)
    await ask(pool, "a")
    await pool.close()
    (path,) = journaled()
    path.write_text(path.read_text().replace('"msgbatch_0"', "null"))
    again = pooled(haiku(claude, retry=0), most_s=0.3)
    assert await asyncio.wait_for(ask(again, "a"), 20) == ["timeout"]
    assert claude.sizes == [1] and journaled()  # the next run looks for it again


async def test_a_reply_that_was_lost_pays_nothing_twice(claude, pooled):
    claude.drop_reply, claude.polls = True, -1
    assert await ask(pooled(haiku(claude)), "a", "b") == ["re: a", "re: b"]
    assert sorted(claude.answered) == ["a", "b"]


async def test_a_lost_reply_waits_for_no_batch_that_this_run_made(claude, pooled):
    claude.polls = 10**9
    pool = pooled(haiku(claude, retry=0))
    first = asyncio.create_task(ask(pool, "a"))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if claude.asked:  # its id is known by now
            break
    claude.refuses = True
    assert await asyncio.wait_for(ask(pool, "b"), 5) == ["server"]
    claude.polls = 0
    assert await first == ["re: a"]


async def test_a_budget_reserves_a_batch_of_messages_before_it_is_sent(claude, pooled):
    sampling = Sampling(0.0, max_tokens=10)
    pool = pooled(haiku(claude))
    worst = pool.bind("m").worst_case(Request("", ({"role": "user", "content": "q0"},), sampling))
    few = pooled(haiku(claude, retry=0), budget=Budget(usd=3.5 * worst.cost_usd), most=3)
    requests = [Request("", ({"role": "user", "content": f"x{i}"},), sampling) for i in range(5)]
    found = await asyncio.gather(*(few.ask("m", r) for r in requests), return_exceptions=True)
    assert claude.sizes[0] == 3
    assert all(not isinstance(one, Exception) or isinstance(one, BudgetExceeded) for one in found)
    assert few.budget.spent.cost_usd <= 3.5 * worst.cost_usd


# --- Mistral ---


MISTRALS = {"completed": "SUCCESS", "in_progress": "RUNNING", "expired": "TIMEOUT_EXCEEDED"}


class MistralServer(BatchServer):
    """Its jobs say the same in other words."""

    def routes(self, app):
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batch/jobs", self._job)
        app.router.add_get("/v1/batch/jobs", self._listed)
        app.router.add_get("/v1/batch/jobs/{id}", self._job_state)

    async def _job(self, request):
        asked = await request.json()
        assert asked["model"] == "mistral-small-latest" and asked["timeout_hours"] == 24
        (file,) = asked["input_files"]
        lines = [json.loads(line) for line in self.files[file].splitlines()]
        assert all(set(line) == {"custom_id", "body"} for line in lines)
        self.sizes.append(len(lines))
        id = f"job-{len(self.batches)}"
        self.batches[id] = {"id": id, "lines": lines, "metadata": asked["metadata"]}
        return web.json_response({"id": id, "status": "QUEUED"})

    async def _job_state(self, request):
        told = json.loads((await self._state(request)).body)
        told["status"] = MISTRALS[told["status"]]
        for name in ("output_file", "error_file"):
            told[name] = told.pop(f"{name}_id", None)
        return web.json_response(told)


@pytest.mark.parametrize("ending", ["completed", "expired"])
async def test_mistrals_jobs(pooled, ending):
    with MistralServer(lambda p: f"re: {last_user(p)}") as server:
        server.ending, server.lost = ending, {"c"} if ending == "expired" else set()
        settings = {"name": "mistral/mistral-small-latest", "base_url": server.url}
        priced = {"price": {"input": 2.0, "output": 10.0}, "api_key_env": "LOOPBACK_KEY"}
        pool = pooled({**settings, **priced, "temperature": 0.0, "dialect": "mistral", "retry": 0})
        found = await ask(pool, "a", "b", "c")
        assert found == ["re: a", "re: b", "timeout" if server.lost else "re: c"]
        assert server.sizes == [3] and not server.payloads
        assert pool.bind("m").price.input == 1.0


# --- vLLM's own command ---


@pytest.fixture
def qwen(tmp_path):
    if os.name == "nt":
        pytest.skip("vLLM is not for Windows")
    return {"name": "vllm/Qwen/Qwen3-0.6B", "temperature": 0.0, "retry": 0}


def runs(folder):
    file = folder / "runs"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_a_command_answers_a_file(qwen, pooled, tmp_path):
    pool = pooled(qwen, command=COMMAND, budget=Budget(usd=1.0))
    assert await ask(pool, "a", "b", "bad") == ["re: a", "re: b", "bad_request"]
    assert runs(tmp_path) == [["a", "b", "bad"]]
    assert pool.usage.calls == 3 and pool.usage.cost_usd == 0
    (folder,) = (d for d in CommandBatches("x", "y").folder.iterdir() if d.is_dir())
    assert folder.stat().st_mode & 0o077 == 0
    await pool.close()
    assert not folder.exists() and not journaled()


async def test_what_a_command_wrote_before_it_failed_counts(qwen, pooled, tmp_path):
    (tmp_path / "die").write_text("1")
    pool = pooled(qwen, command=COMMAND)
    requests = [Request("", ({"role": "user", "content": text},)) for text in "ab"]
    found = await asyncio.gather(*(pool.ask("m", r) for r in requests), return_exceptions=True)
    assert found[0][0].text == "re: a"
    assert "ended with 1" in found[1].message and "CUDA out of memory" in found[1].message


async def test_a_command_that_goes_on_is_waited_for_by_the_next_run(qwen, pooled, tmp_path):
    (tmp_path / "wait").touch()
    pool = pooled(qwen, command=COMMAND, most_s=0.3)
    assert await ask(pool, "a", "b") == ["timeout", "timeout"]
    await pool.close()
    (tmp_path / "wait").unlink()
    again = pooled(qwen, command=COMMAND)
    assert await ask(again, "a", "b") == ["re: a", "re: b"]
    assert runs(tmp_path) == [["a", "b"]]


async def test_a_cancelled_command_ends(qwen, pooled, tmp_path):
    (tmp_path / "wait").touch()
    pool = pooled(qwen, command=COMMAND, most_s=0.3)
    await ask(pool, "a")
    service, (path,) = CommandBatches(COMMAND, "m"), journaled()
    assert (await service.state(path.stem)).status == "in_progress"
    await service.cancel(path.stem)
    for _ in range(500):
        if (state := await service.state(path.stem)).over:
            break
        await asyncio.sleep(0.01)
    assert state.status == "failed"


async def test_a_command_that_is_not_there(qwen, pooled):
    with pytest.raises(ModelFailure) as caught:
        await pooled(qwen, command="no-such-vllm run-batch").ask("m", Request("", ()))
    assert caught.value.kind == "not_found" and "--batch-command" in caught.value.hint


def test_an_offline_model_cannot_be_asked_at_once(qwen):
    options = BatchApi(late="ask", command=COMMAND)
    with pytest.raises(LmcError) as caught:
        ModelPool({"m": qwen}, batch_api=options).bind("m")
    assert caught.value.code == "bad-batch-api"


def test_an_unclosed_quote_is_no_command():
    with pytest.raises(LmcError) as caught:
        lmc.BatchApi(command="vllm 'run-batch")
    assert caught.value.code == "bad-batch-api"


def test_a_killed_evaluation_takes_the_answers_of_its_command(qwen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.lmp").write_text(
        'model m { name: "vllm/Qwen/Qwen3-0.6B" temperature: 0 }\n'
        'generate answer(q: str) -> str { "Answer." model: m }\n'
    )
    rows = "".join(f'{{"q": "q{i}", "answer": "re: q{i}"}}\n' for i in range(3))
    (tmp_path / "rows.jsonl").write_text(rows)
    (tmp_path / "wait").touch()
    arguments = [
        *("eval", "p.lmp", "--data", "rows.jsonl", "--metric", "accuracy", "--no-cache", "--json"),
        *("--batch-api", "--batch-command", COMMAND),
    ]
    process = subprocess.Popen([sys.executable, "-m", "lmc", *arguments], env=os.environ)
    end_s = time.monotonic() + 60
    while not runs(tmp_path) and time.monotonic() < end_s and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "wait").unlink()
    told = json.loads(run(*arguments).stdout)
    assert len(runs(tmp_path)) == 1 and told["rows"] == 3
