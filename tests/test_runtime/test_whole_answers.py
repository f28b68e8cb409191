"""Programs on a server that goes wrong: results, traces, and the figures of an evaluation."""

import json
import random
from pathlib import Path

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.measure.evaluate import evaluate
from lmc.measure.metrics import resolve_metric
from lmc.measure.rows import Row
from lmc.models.dialect import forget_dialects
from lmc.runtime.traces import Trace
from lmc.tasks.loop import run_sync
from tests.loopback import Fault, Loopback, disconnect, in_order, last_user, said

SOURCE = """
model m {{ name: "openai/some-model", base_url: "{url}", retry: {{max: 2, backoff: 0.01}} {more} }}
default {{ model: m, cache: "off" }}
record Row {{ q: str, answer: str }}
generate say(q: str) -> str {{ "Answer." }}
metric right(gold: Row, pred: str) -> bool {{ return pred == gold.answer }}
"""


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch):
    forget_dialects()
    monkeypatch.setenv("OPENAI_API_KEY", "some-key")


def load(tmp_path: Path, server: Loopback, more: str = "") -> lmc.Program:
    path = tmp_path / "it.lmp"
    path.write_text(SOURCE.format(url=server.url, more=more))
    return lmc.load(path)


NO_ANSWERS = {
    "the answer is empty": said(None),
    "cut after": said("The answer is", "length"),
    "filter": said("", "content_filter"),
    "calls a tool": said(None, "tool_calls", tool_calls=[{"id": "1"}]),
    "refuses": said(None, refusal="I cannot help."),
}


@pytest.mark.parametrize("words", NO_ANSWERS)
def test_what_is_no_answer_is_named_in_the_failure_and_the_trace(
    tmp_path: Path, words: str
) -> None:
    with Loopback("") as server:
        server.script = lambda payload: NO_ANSWERS[words]
        program, trace = load(tmp_path, server), Trace()
        with pytest.raises(LmcError, match=words) as failure:
            run_sync(program.executor.run("say", {"q": "a"}, trace=trace))
        assert failure.value.code == "call-failed" and len(server.payloads) == 3
    (call,) = trace.calls
    assert words in str(call.error) and not call.infrastructure
    assert call.usage.retries == 2 and call.usage.tokens > 0


def test_a_model_may_be_bound_by_rate_and_deadline(tmp_path: Path) -> None:
    with Loopback("yes") as server:
        program = load(tmp_path, server, more="rpm: 60 tpm: 10000 deadline: 30")
        assert program.say("a") == "yes"
        bound = program.pool.bind("m")
        assert bound.deadline_s == 30 and bound.gate.by_tokens


def test_a_repair_that_is_refused_goes_on_to_the_next_sample(tmp_path: Path) -> None:
    replies = in_order("no", said(None, refusal="No more."), "yes")
    with Loopback(replies) as server:
        path = tmp_path / "it.lmp"
        path.write_text(
            f'model m {{ name: "openai/x", base_url: "{server.url}" }}\n'
            'default { model: m, cache: "off", repair: 1, retry: {max: 1, backoff: 0.01} }\n'
            'generate say(q: str) -> str { "Say." require: out == "yes" }'
        )
        assert lmc.load(path).say("a") == "yes"


FAULTS = [
    lambda: said(""),
    lambda: said(None),
    lambda: said("The answer is", "length"),
    lambda: said("", "content_filter"),
    lambda: said(None, "tool_calls", tool_calls=[{"id": "1"}]),
    lambda: said(None, refusal="I cannot help."),
    lambda: Fault(cut=True),
]


def score(tmp_path: Path, rows: int, rate: float) -> tuple[float, int, int]:
    """Mean, failed rows and retries, where each fault comes at a rate."""
    chance = random.Random(5)

    def script(payload):
        place = int(chance.random() / rate) if rate else len(FAULTS)
        if place < len(FAULTS):
            return FAULTS[place]()
        number = int(last_user(payload).split()[-1])
        return "right" if number % 4 else "wrong"

    with Loopback(script) as server:
        path = tmp_path / "it.lmp"
        path.write_text(
            SOURCE.format(url=server.url, more="").replace("retry: {max: 2", "retry: {max: 30")
        )
        program = lmc.load(path)
        data = [Row(str(i), {"q": f"row {i}", "answer": "right"}) for i in range(rows)]
        graph = program.graph.graphs["say"]
        metric = resolve_metric("right", program.graph, graph, ("q", "answer"))
        found = run_sync(evaluate(program.executor, "say", data, metric))
        assert found.usage.retries == len(server.payloads) - rows
    return found.mean, found.failed, found.usage.retries


@pytest.mark.parametrize("rows", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_score_is_what_it_is_without_faults(tmp_path: Path, rows: int) -> None:
    without, with_faults = score(tmp_path, rows, 0.0), score(tmp_path, rows, 0.1)
    assert without == (0.75, 0, 0)
    assert with_faults[:2] == (0.75, 0) and with_faults[2] > rows


@pytest.mark.parametrize(("status", "kind"), [(disconnect(), True), (Fault(500), True)])
def test_what_the_server_is_to_blame_for_does_not_count(tmp_path: Path, status, kind) -> None:
    with Loopback("") as server:
        server.script = lambda payload: status
        program = load(tmp_path, server)
        with pytest.raises(LmcError) as failure:
            program.say("a")
    assert failure.value.code == "infrastructure-failure"
    assert json.dumps(failure.value.kind)
