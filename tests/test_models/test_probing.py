"""What a probe finds out about servers of several behaviours, and what a program lacks there."""

import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lmc.cli.main import cli
from lmc.models import probing
from lmc.models.base import Price
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.probing import PLANNED, most_usd, probe
from lmc.models.registry import open_backend
from lmc.program.needs import needs
from lmc.program.program import check_file, lower_checked
from tests.loopback import Events, Fault, Loopback, said

PROGRAM = """
model m { name: "openai/x" logprobs: true seed: 3 }
default { model: m, layout: "json" }
record R { n: int }
tool now() -> str from "time:ctime"
generate one(q: str) -> R { \"""Answer.\""" adapter: mine reasoning: "low" }
vote main(q: str) -> R { sample: one(q), n: 5, by: .n }
agent act(q: str) -> str { \"""Act.\""" tools: [now] }
"""
CALL = {
    "id": "1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"town": "Oslo"}'},
}
HELLO = [{"choices": [{"index": 0, "delta": {"content": "Hel"}}]},
         {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
         {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probing, "_PAUSE_S", 0.0)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    forget_dialects()
    yield
    forget_dialects()


def able():
    """A server that can do everything."""
    fresh = itertools.count()

    def script(payload):
        drawn = payload.get("seed", next(fresh)) if payload.get("temperature") else 0
        if "stream" in payload:
            return Events(HELLO)
        if "tools" in payload:
            return said(None, "tool_calls", tool_calls=[CALL])
        if "response_format" in payload:
            return said('{"kept": "qxv"}')
        body = said(f"zebra {drawn}")
        if "n" in payload:
            choice = body["choices"][0]
            contents = [f"{i}{drawn}" for i in range(payload["n"])]
            body["choices"] = [
                {**choice, "index": i, "message": {"role": "assistant", "content": content}}
                for i, content in enumerate(contents)
            ]
        if "logprobs" in payload:
            tokens = [{"token": "a", "logprob": -0.5}]
            body["choices"][0]["logprobs"] = {"content": tokens}
        if "reasoning_effort" in payload:
            body["choices"][0]["message"]["reasoning"] = "Hm."
        return body

    return script


def deaf(payload):
    """A server that takes everything and heeds nothing but the prompt."""
    return {**said('{"colour": "red"}'), "usage": None}


def strict(payload):
    """A server that refuses whatever it does not know."""
    known = {"model", "messages", "max_tokens"}
    if any(message["role"] == "system" for message in payload["messages"]):
        return Fault(400, "System role not supported")
    for name in payload:
        if name not in known:
            return Fault(400, f"Unrecognized request argument supplied: {name}")
    return said("hello")


async def found_at(script, **attributes):
    with Loopback(script) as server:
        for name, value in attributes.items():
            setattr(server, name, value)
        backend = OpenAICompatible(server.url, key_env=None)
        probed = await probe(backend, "m")
        await backend.close()
        assert probed.requests == len(server.payloads)
    return probed, {finding.ability: finding.verdict for finding in probed.findings}


async def test_a_server_that_can_do_everything():
    models = [{"id": "m", "owned_by": "vllm"}, {"id": "ad", "owned_by": "vllm", "parent": "m"}]
    probed, found = await found_at(able(), models=models)
    assert probed.kind == "vllm" and probed.models == ("m", "ad") and probed.reached
    assert probed.requests == PLANNED
    assert {*found} == {*probing._PROBES, "adapters"}
    thinks = probed.of("reasoning")  # this script knows another parameter than vLLM's
    assert thinks is not None and thinks.verdict == "unknown"
    assert {v for ability, v in found.items() if ability != "reasoning"} == {"yes"}
    other, _ = await found_at(able())
    assert other.kind == "other" and other.of("reasoning").verdict == "yes"


async def test_a_server_that_heeds_nothing():
    probed, found = await found_at(deaf)
    assert probed.reached and probed.models == ()
    assert found == {
        "usage": "no", "system role": "yes", "sampling": "no", "n": "partly", "schema": "no",
        "logprobs": "no", "seed": "unknown", "stream": "no", "tools": "no",
        "reasoning": "unknown", "adapters": "unknown",
    }  # fmt: skip


async def test_a_server_that_refuses_everything():
    probed, found = await found_at(strict)
    assert found == {
        "usage": "yes", "system role": "no", "sampling": "partly", "n": "partly", "schema": "no",
        "logprobs": "no", "seed": "no", "stream": "no", "tools": "no", "reasoning": "no",
        "adapters": "unknown",
    }  # fmt: skip
    assert "refused" in probed.of("schema").told


async def test_a_server_whose_samples_are_equal_and_capped():
    def script(payload):
        if payload.get("n", 1) > 2:
            return Fault(400, "n must be at most 2")
        return ["same"] * payload.get("n", 1)

    probed, found = await found_at(script)
    assert found["n"] == "partly" and "2 a request" in probed.of("n").told
    assert found["sampling"] == "no"


async def test_a_server_that_does_not_answer_is_asked_twice_and_no_more():
    probed, _ = await found_at(Fault(503, "loading"))
    assert not probed.reached and probed.requests == 2
    assert [f.verdict for f in probed.findings] == ["unknown"]
    probed, _ = await found_at(Fault(401, "wrong key"))
    assert not probed.reached and probed.requests == 1


async def test_what_is_said_not_to_work_is_tried_all_the_same():
    with Loopback(able()) as server:
        server.models = [{"id": "m", "owned_by": "organization_owner"}]  # as LM Studio lists it
        backend = OpenAICompatible(server.url, key_env=None)
        probed = await probe(backend, "m")
        await backend.close()
    assert probed.kind == "lmstudio" and probed.of("logprobs").verdict == "yes"


def test_a_model_that_runs_here_can_be_probed_too():
    Path("answers.json").write_text(json.dumps(["hello"] * 20))
    backend, name = open_backend("scripted/answers.json", {"base_dir": Path.cwd(), "users": True})
    from lmc.tasks.loop import run_sync

    probed = run_sync(probe(backend, name))
    assert probed.kind == "" and probed.of("sampling").verdict == "no"


def test_the_most_that_a_probe_costs_is_said_before():
    price = Price(1.0, 2.0)
    assert most_usd(None) is None and most_usd(Price(0.0, 0.0)) == 0
    answers = PLANNED + 2
    assert 0 < most_usd(price) < answers * (300 * 1.0 + 64 * 2.0) / 1e6


def invoke(*arguments):
    return CliRunner().invoke(cli, ["models", "probe", *map(str, arguments)])


def test_the_command():
    Path("p.lmp").write_text(PROGRAM)
    with Loopback(able()) as server:
        server.models = [{"id": "m", "owned_by": "x"}]
        done = invoke(server.url, "--for", "p.lmp")
        assert done.exit_code == 0, done.output
        assert f"{PLANNED} requests to {server.url}" in done.stderr
        assert "schema       yes      it binds answers" in done.stdout
        assert "the program needs nothing that this server lacks" in done.stdout
        server.script = deaf
        told = json.loads(invoke(f"{server.url}/", "--for", "p.lmp", "--json").stdout)
        server.models.append({"id": "other"})
        assert "-m" in str(invoke(server.url).exception.diagnostics[0].help)
        assert invoke(server.url, "-m", "other").exit_code == 0
        assert {p["model"] for p in server.payloads} == {"m", "other"}
        server.script = lambda payload: Fault(500, "out of order")
        assert invoke(server.url, "-m", "m").exit_code == 1
    lacks = {(need["where"], need["ability"]) for need in told["lacking"]}
    assert lacks == {
        ("`one`", "schema"), ("`main`", "sampling"), ("`main`", "n"), ("`act`", "schema"),
        ("`act`", "tools"), ("the model's `logprobs`", "logprobs"),
    }  # fmt: skip


def test_what_a_program_needs():
    Path("p.lmp").write_text(PROGRAM)
    found = {(need.where, need.ability) for need in needs(lower_checked(check_file("p.lmp")))}
    assert {("`one`", "adapters"), ("`one`", "reasoning"), ("`main`", "n"),
            ("`act`", "tools"), ("`one`", "system role")} <= found  # fmt: skip


def test_listing_goes_on_as_before():
    assert "lmc/tiny" in CliRunner().invoke(cli, ["models"]).output
