"""What a run did and cost, in Python; callbacks; and what is logged."""

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.scripted import Scripted
from tests.loopback import Events, Fault, Loopback, Script, in_order, said

SOURCE = """
generate think(q: str) -> int { "Think." reason: true }
generate say(q: str) -> str { "Say it." }
pipeline main(q: str) -> str {
  let n = think(q)
  return say(f"{q} {n}")
}
pipeline many(qs: list[str]) -> list[str] { return [say(q) for q in qs] }
"""
THOUGHT = "[[reasoning]] two and two\n[[result]] 4"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "sums.lmp"
    file.write_text(SOURCE)
    return file


def load(path: Path, script: Any, **more: Any) -> lmc.Program:
    return lmc.load(path, backend=Scripted(script), cache=False, **more)


def test_a_traced_run_says_what_it_did(path: Path) -> None:
    result, run = load(path, ["no number", THOUGHT, "four"]).main.traced(q="2 + 2")
    assert result == "four"
    assert [call.module for call in run.calls] == ["think", "say"]
    think, say = run.calls
    assert (think.result, think.reasoning, think.attempts) == (4, "two and two", 2)
    assert think.texts == ("no number", THOUGHT)
    assert think.messages[0]["content"].startswith("Think.")
    assert (say.inputs, say.attempts, say.reasoning) == ({"q": "2 + 2 4"}, 1, "")
    assert run.usage.calls == 3
    assert run.tokens == think.tokens + say.tokens > 0
    assert run.finish_reasons == {"stop": 2}
    assert run.reasoning == ("two and two",)
    assert run.seconds > 0
    assert run.error is None


def test_a_coroutine_is_traced_too(path: Path) -> None:
    _, run = asyncio.run(load(path, [THOUGHT, "four"]).main.atraced("2 + 2"))
    assert [call.module for call in run.calls] == ["think", "say"]


def test_a_failed_run_has_its_report(path: Path) -> None:
    with pytest.raises(lmc.LmcError) as failed:
        load(path, ["no number"] * 9).main.traced(q="x")
    run = failed.value.run
    assert isinstance(run, lmc.RunReport)
    assert (run.calls[0].module, run.calls[0].result) == ("think", None)
    assert run.calls[0].error
    assert run.error == str(failed.value)


def served(path: Path, script: Script, **more: Any) -> tuple[Any, lmc.RunReport, Any]:
    with Loopback(script) as server:
        settings = 'model m { name: "openai/some-model", retry: {max: 3, backoff: 0.01} }\n'
        path.write_text(settings + "default { model: m }\n" + SOURCE)
        program = lmc.load(path, base_url=server.url, cache=False, **more)
        with program:
            return *program.say.traced("hello"), server


DETAILS = {
    "prompt_tokens": 100, "completion_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 20},
}  # fmt: skip


def test_details_and_thoughts_of_a_server_are_reported(path: Path) -> None:
    answer = said("hi", reasoning_content="be kind") | {"usage": DETAILS}
    _, run, _ = served(path, in_order(Fault(503), answer))
    details = run.usage.details
    assert (details.cached, details.audio, details.reasoning) == (64, 4, 20)
    assert run.calls[0].reasoning == "be kind"
    assert run.retries == run.calls[0].retries == 1


def test_thoughts_of_a_stream_and_in_marks_are_reported(path: Path) -> None:
    def delta(finish: str | None = None, **delta: str) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    events = Events([delta(reasoning="be "), delta(reasoning="kind"), delta("stop", content="hi")])
    seen: list[lmc.CallReport] = []
    with Loopback(lambda payload: events) as server:
        path.write_text('model m { name: "openai/x" }\ndefault { model: m }\n' + SOURCE)
        with lmc.load(path, base_url=server.url, cache=False, on_call=seen.append) as program:
            assert "".join(program.say.stream("hello")) == "hi"
    assert seen[0].reasoning == "be kind"
    _, run = load(path, ["<think>hm</think>\nhi"], model="scripted/x").say.traced("hello")
    assert run.reasoning == ("hm",)


def test_the_cache_keeps_thoughts_and_details(path: Path, tmp_path: Path) -> None:
    answer = said("hi", reasoning_content="be kind") | {"usage": DETAILS}
    runs = []
    with Loopback(lambda payload: answer) as server:
        path.write_text('model m { name: "openai/x" }\ndefault { model: m }\n' + SOURCE)
        for _ in range(2):
            with lmc.load(path, base_url=server.url, cache=tmp_path / "c.db") as program:
                runs.append(program.say.traced("hello")[1])
    first, again = runs
    assert (first.calls[0].cached, again.calls[0].cached) == (False, True)
    assert again.usage.details == first.usage.details
    assert again.reasoning == first.reasoning == ("be kind",)


def test_callbacks_see_each_call_before_the_run_returns(path: Path) -> None:
    seen: list[lmc.CallReport] = []
    program = load(path, [THOUGHT, "four"], on_call=seen.append)
    program.main("2 + 2")
    assert [call.module for call in seen] == ["think", "say"]


def test_callbacks_see_the_calls_of_an_evaluation(path: Path) -> None:
    seen: list[lmc.CallReport] = []
    program = load(path, ["a", "b"], on_call=seen.append)
    lmc.evaluate(program, [{"q": "x", "answer": "y"}] * 2, target="say")
    assert [call.texts for call in seen] == [("a",), ("b",)]


def test_a_callback_may_be_a_coroutine(path: Path) -> None:
    seen: list[str] = []

    async def note(call: lmc.CallReport) -> None:
        await asyncio.sleep(0)
        seen.append(call.module)

    load(path, ["a", "b"], on_call=note).many(["x", "y"])
    assert seen == ["say", "say"]


def test_a_callback_cannot_break_a_run(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(call: lmc.CallReport) -> None:
        raise SystemExit(f"{call.module} sk-nobody")

    assert load(path, ["a", "b"], on_call=fails).many(["x", "y"]) == ["a", "b"]
    assert "`on_call` raised SystemExit: say" in caplog.text


def test_a_callback_that_hangs_is_left_behind(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc.program.watching.PATIENCE_S", 0.05)
    stop = threading.Event()
    program = load(path, ["a", "b", "c"], on_call=lambda call: stop.wait(20))
    start_s = time.perf_counter()
    assert program.many(["x", "y"]) == ["a", "b"]
    assert program.say("z") == "c"
    assert time.perf_counter() - start_s < 10
    assert "is not called again" in caplog.text
    stop.set()


def test_a_callback_may_run_the_program(path: Path) -> None:
    seen: list[str] = []

    def ask_again(call: lmc.CallReport) -> None:
        seen.append(program.say(f"is `{call.texts[-1]}` right?"))

    program = load(path, ["a", "yes"], on_call=ask_again)
    assert program.say("x") == "a"
    assert seen == ["yes"]


def test_requests_are_logged_and_prompts_at_debug_only(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-key")
    caplog.set_level(logging.DEBUG, logger="lmc")
    echo = Fault(503, message="hello is too much; sk-a-secret-key")
    served(path, in_order(echo, said("a private answer")), hosts=["127.0.0.1"])
    assert "sk-a-secret-key" not in caplog.text
    debug = "\n".join(r.getMessage() for r in caplog.records if r.levelno == logging.DEBUG)
    more = "\n".join(r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG)
    assert "hello" in debug
    assert "a private answer" in debug
    assert "hello" not in more
    assert "private" not in more
    assert "`m`: server; again in" in more
