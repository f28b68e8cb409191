"""What a tracing tool sees of runs: the tree, requests, retries, errors, and no contents."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the SDK of OpenTelemetry is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

import lmc
from lmc.models.base import Answer, Request
from lmc.models.scripted import Scripted
from tests.loopback import Fault, Loopback, in_order
from tests.test_telemetry.recorded_spans import Recorded, facts

SOURCE = """
generate think(q: str) -> int { "Think." }
generate say(q: str) -> str { "Say it." }
tool shout(text: str) -> str from "shouting:shout" { "Shout." }
pipeline main(q: str) -> str {
  let n = think(q)
  return shout(say(f"{q} {n}"))
}
pipeline several(qs: list[str]) -> list[str] { return [say(q) for q in qs] }
vote best(q: str) -> int { sample: think(q) n: 3 }
agent helper(q: str) -> str { "Help." tools: [shout] steps: 3 }
"""
TOOL = """
def shout(text: str) -> str:
    from opentelemetry import trace
    trace.get_current_span().add_event("shouting")
    return text.upper()
"""
SECRET = "sk-a-secret-of-tests"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "shouting.py").write_text(TOOL)
    file = tmp_path / "sums.lmp"
    file.write_text(SOURCE)
    return file


def answers(request: Request) -> str:
    text = request.messages[0]["content"]
    return "4" if text.startswith(("Think", "Best")) else "four"


def test_a_run_is_a_tree_of_spans(recorded: Recorded, path: Path) -> None:
    program = recorded.load(path, backend=Scripted(answers), cache=False)
    assert program.main(q="2 + 2") == "FOUR"
    assert recorded.tree() == [
        "invoke_workflow main",
        "  generate think",
        "    chat tiny",
        "  generate say",
        "    chat tiny",
        "  execute_tool shout",
    ]
    main = facts(recorded.one("invoke_workflow main"))
    assert main["gen_ai.operation.name"] == "invoke_workflow"
    assert main["gen_ai.workflow.name"] == "main"
    assert main["lmc.run.requests"] == 2
    tool = recorded.one("execute_tool shout")
    assert facts(tool)["gen_ai.tool.name"] == "shout"
    assert [event.name for event in tool.events] == ["shouting"]  # the tool sees its span
    chat = facts(recorded.named("chat tiny")[0])
    assert (chat["lmc.module"], chat["lmc.role"], chat["lmc.attempt"]) == ("think", "generate", 1)
    used = [facts(span)["gen_ai.usage.input_tokens"] for span in recorded.named("chat tiny")]
    assert main["lmc.run.input_tokens"] == sum(used) > 0


def test_parents_are_right_when_much_runs_at_once(recorded: Recorded, path: Path) -> None:
    async def slow(request: Request) -> str:
        await asyncio.sleep(0.001 * (hash(request.messages[-1]["content"]) % 5))
        return answers(request)

    program = recorded.load(path, backend=Scripted(slow), cache=False)
    program.several.batch([[f"{row} {i}" for i in range(3)] for row in range(6)])
    names = ["  generate say", "    chat tiny"] * 3
    assert recorded.tree() == ["invoke_workflow several", *names] * 6
    traces = {span.context.trace_id for span in recorded.spans}
    assert len(traces) == 6
    for run in recorded.named("invoke_workflow several"):
        assert facts(run)["lmc.run.requests"] == 3


def test_the_span_of_the_caller_is_continued(recorded: Recorded, path: Path) -> None:
    program = recorded.load(path, backend=Scripted(answers), cache=False)
    with recorded.tracer.start_as_current_span("application"):
        program.say("a")
        asyncio.run(program.say.acall("b"))
        assert [*program.say.stream("c")]
        assert trace.get_current_span().is_recording()
    say = ["  generate say", "    chat tiny"]
    assert recorded.tree() == ["application", *say * 3]


def test_a_vote_is_one_request_of_several_choices(recorded: Recorded, path: Path) -> None:
    program = recorded.load(path, backend=Scripted(answers), cache=False)
    assert program.best("q") == 4
    think = "  generate think"  # the first sample asks for all
    assert recorded.tree() == ["vote best", think, "    chat tiny", think, think]
    chat, vote = facts(recorded.one("chat tiny")), facts(recorded.one("vote best"))
    assert chat["gen_ai.request.choice.count"] == 3
    assert chat["gen_ai.response.finish_reasons"] == ("stop",) * 3
    assert vote["lmc.winner"] == 0
    assert vote["lmc.samples"] == 3


def test_an_agent_and_its_tools(recorded: Recorded, path: Path) -> None:
    said = ['[[tool]] shout\n[[arguments]] {"text": "hi"}', "[[tool]] finish\n[[answer]] done"]
    program = recorded.load(path, backend=Scripted(said), cache=False)
    assert program.helper("q") == "done"
    assert recorded.tree() == [
        "invoke_agent helper",
        "  chat tiny",
        "  execute_tool shout",
        "  chat tiny",
    ]
    assert facts(recorded.one("invoke_agent helper"))["gen_ai.agent.name"] == "helper"


MODEL = """
model m { name: "openai/some-model", price: {input: 1000, output: 2000}, temperature: 0.5,
          max_tokens: 50, retry: {max: 3, backoff: 0.01} }
default { model: m }
"""


def served(recorded: Recorded, path: Path, server: Loopback, **options: Any) -> lmc.Program:
    path.write_text(MODEL + SOURCE)
    options = {"base_url": server.url, "cache": False} | options
    return recorded.load(path, **options)


def test_a_request_over_http(recorded: Recorded, path: Path) -> None:
    busy = Fault(status=429, retry_after="0")
    with Loopback(in_order(busy, "two words")) as server, served(recorded, path, server) as program:
        assert program.say("q") == "two words"
    span = recorded.one("chat some-model")
    assert span.kind is SpanKind.CLIENT
    told = facts(span)
    prompt = told["gen_ai.usage.input_tokens"]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "some-model",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.output.type": "text",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cost": pytest.approx((prompt * 1000 + 2 * 2000) / 1e6),
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "lmc.retries": 1,
    }
    assert expected.items() <= told.items()
    (retry,) = span.events
    assert retry.name == "retry"
    assert dict(retry.attributes or {})["error.type"] == "rate_limit"
    assert span.status.status_code is StatusCode.UNSET


def test_what_is_measured(recorded: Recorded, path: Path) -> None:
    with Loopback("two words") as server, served(recorded, path, server) as program:
        program.say("q")
    found = recorded.metrics()
    (seconds,) = found["gen_ai.client.operation.duration"]
    assert seconds.count == 1
    assert seconds.attributes["gen_ai.request.model"] == "some-model"
    tokens = {p.attributes["gen_ai.token.type"]: p.sum for p in found["gen_ai.client.token.usage"]}
    assert tokens["output"] == 2
    assert tokens["input"] == facts(recorded.one("chat some-model"))["gen_ai.usage.input_tokens"]


def test_an_answer_of_the_cache_costs_nothing(
    recorded: Recorded, path: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "cache"
    with Loopback("two words") as server, served(recorded, path, server, cache=kept) as program:
        program.say("q")
        program.say("q")
    first, second = map(facts, recorded.named("chat some-model"))
    assert "lmc.cached" not in first
    assert second["lmc.cached"] == 1
    assert (second["gen_ai.usage.input_tokens"], second.get("gen_ai.usage.cost")) == (0, None)
    (seconds,) = recorded.metrics()["gen_ai.client.operation.duration"]
    assert seconds.count == 1
    assert facts(recorded.named("generate say")[1])["lmc.run.cached"] == 1


def test_failures_say_their_kind_and_no_contents(recorded: Recorded, path: Path) -> None:
    denied = Fault(status=400, message="bad: hello world")
    with (
        Loopback(denied) as server,
        served(recorded, path, server) as program,
        pytest.raises(lmc.LmcError),
    ):
        program.say("hello world")
    chat, say = recorded.one("chat some-model"), recorded.one("generate say")
    assert chat.status.status_code is say.status.status_code is StatusCode.ERROR
    assert facts(chat)["error.type"] == "bad_request"
    assert facts(say)["error.type"] == "infrastructure-failure"
    assert "hello world" not in recorded.text()
    (seconds,) = recorded.metrics()["gen_ai.client.operation.duration"]
    assert seconds.attributes["error.type"] == "bad_request"


def test_an_unusable_answer_is_an_event(recorded: Recorded, path: Path) -> None:
    program = recorded.load(path, backend=Scripted(["no number", "4"]), cache=False)
    assert program.think("q") == 4
    assert recorded.tree() == ["generate think", "  chat tiny", "  chat tiny"]
    (event,) = recorded.one("generate think").events
    assert (event.name, dict(event.attributes or {})) == ("unusable answer", {"lmc.attempt": 1})
    attempts = [facts(span)["lmc.attempt"] for span in recorded.named("chat tiny")]
    assert attempts == [1, 2]


def test_contents_are_told_only_when_asked(recorded: Recorded, path: Path) -> None:
    program = recorded.load(path, backend=Scripted(answers), cache=False)
    program.main(q="a private question")
    text = recorded.text()
    assert "private" not in text
    assert "four" not in text.lower()


def test_contents_and_no_secrets(
    recorded: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    program = recorded.load(path, backend=Scripted(answers), cache=False, contents=True)
    program.main(q=f"my key is {SECRET}")
    assert SECRET not in recorded.text()
    chat, tool = facts(recorded.named("chat tiny")[1]), facts(recorded.one("execute_tool shout"))
    sent = json.loads(chat["gen_ai.input.messages"])
    assert sent[0]["role"] == "system"
    assert sent[0]["parts"][0]["content"].startswith("Say it.")
    assert "[SOME_API_KEY]" in sent[-1]["parts"][0]["content"]
    (received,) = json.loads(chat["gen_ai.output.messages"])
    assert received == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "four"}],
        "finish_reason": "stop",
    }
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"text": "four"}
    assert tool["gen_ai.tool.call.result"] == "FOUR"
    main = facts(recorded.one("invoke_workflow main"))
    assert json.loads(main["input.value"]) == {"q": "my key is [SOME_API_KEY]"}
    assert main["output.value"] == "FOUR" and main["openinference.span.kind"] == "CHAIN"
    assert "[SOME_API_KEY]" in chat["input.value"] and chat["output.value"] == "four"
    assert "openinference.span.kind" not in tool  # it is known by its operation


def test_calls_of_tools_among_the_messages() -> None:
    from lmc.models.base import ToolCall
    from lmc.telemetry.conventions import messages_received, messages_sent

    function = {"name": "look", "arguments": '{"at": 1}'}
    sent = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
    ]
    call = {"type": "tool_call", "id": "c1", **function}
    response = {"type": "tool_call_response", "id": "c1", "response": "seen"}
    assert json.loads(messages_sent(sent)) == [
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [response]},
    ]
    answer = Answer("", tool_calls=(ToolCall("c1", "look", '{"at": 1}'),), reasoning="hm")
    (told,) = json.loads(messages_received([answer]))
    assert told["parts"] == [{"type": "reasoning", "content": "hm"}, call]


def test_a_cancelled_run_is_no_error(recorded: Recorded, path: Path) -> None:
    begun = threading.Event()

    async def forever(request: Request) -> str:
        begun.set()
        await asyncio.sleep(60)
        return "late"

    program = recorded.load(path, backend=Scripted(forever), cache=False)

    async def leave() -> None:
        task = asyncio.create_task(program.say.acall("q"))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    program.close()
    for span in recorded.spans:
        assert facts(span)["lmc.cancelled"] is True
        assert span.status.status_code is StatusCode.UNSET
    assert recorded.tree() == ["generate say", "  chat tiny"]


@pytest.mark.parametrize("method", ["on_start", "on_end"])
def test_a_tracer_that_raises_fails_no_run(
    recorded: Recorded, path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    processor = SpanProcessor()
    setattr(processor, method, broken)
    recorded.provider.add_span_processor(processor)
    program = recorded.load(path, backend=Scripted(answers), cache=False)
    assert program.main("q") == "FOUR"
    assert caplog.text.count("a span could not be written") == 1


def test_an_evaluation_is_traced_row_by_row(recorded: Recorded, path: Path) -> None:
    program = recorded.load(path, backend=Scripted(answers), cache=False)
    rows = [{"id": str(i), "q": str(i), "answer": 4} for i in range(3)]
    found = lmc.evaluate(program, rows, "accuracy", target="think", budget={"calls": 10})
    assert found.mean == 1.0
    assert recorded.tree() == ["generate think", "  chat tiny"] * 3
