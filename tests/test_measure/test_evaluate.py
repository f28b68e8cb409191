"""Measuring on rows: order, failures told apart, budgets, and what the target may see."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.measure.evaluate import RowResult, evaluate
from lmc.measure.metrics import resolve_metric
from lmc.measure.results import read_results
from lmc.measure.rows import Row
from lmc.models.base import ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.program.measuring import evaluate_into
from lmc.program.options import EvaluateOptions
from lmc.prompts.spec import BARE, Demo
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.runtime.traces import Trace
from lmc.tasks.loop import run_sync

SOURCE = """
default { repair: 0 }
record Row { q: str, answer: int, clue: str = "" }
generate solve(q: str) -> int { "Solve it." }
pipeline hinted(q: str, train clue: str = "") -> int { return solve(q) }
metric close(gold: Row, pred: int) -> Score {
  return Score(value=if pred == gold.answer then 1.0 else 0.5, feedback="close")
}
metric strict(gold: Row, pred: int) -> float { return 1 / (pred - gold.answer) }
dataset sums: Row { source: "rows.jsonl" split: {train: 2, dev: 2, test: 4} }
optimize solve { data: sums metric: close steps: [bootstrap(demos=2)] }
"""
ROWS = [{"q": f"{i} + 1", "answer": i + 1} for i in range(8)]


def asked(request: Request) -> str:
    return request.messages[-1]["content"].removeprefix("[[q]] ")


def right(request: Request) -> str:
    return str(sum(map(int, asked(request).split(" + "))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.lmp").write_text(SOURCE)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def load(folder: Path, script: Any = right) -> lmc.Program:
    return lmc.load(folder / "p.lmp", backend=Scripted(script), cache=False)


def test_all_rows_are_scored_in_their_order(folder: Path) -> None:
    async def slow_first(request: Request) -> str:
        await asyncio.sleep(0.02 if asked(request).startswith("0") else 0)
        return right(request) if asked(request) != "3 + 1" else "0"

    seen: list[RowResult] = []
    options = {"data": ROWS, "target": "solve", "metric": "accuracy(answer)"}
    found = lmc.evaluate(load(folder, slow_first), progress=seen.append, **options)
    assert [result.value for result in found.results] == [1, 1, 1, 0, 1, 1, 1, 1]
    assert found.mean == 7 / 8
    assert found.interval is not None
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.usage.calls == 8
    assert found.failed == 0
    assert seen[-1].id == "1"  # the slow one
    assert "expected 4, got 0" in found.results[3].feedback


def test_failures_are_told_apart(folder: Path) -> None:
    def script(request: Request) -> str:
        match asked(request)[0]:
            case "0":
                raise ModelFailure("server", "down", retryable=False)
            case "1":
                return "no number"
            case _:
                return right(request)

    rows = [*ROWS[:4], {"q": "4 + 1"}]  # the last one has no label
    found = lmc.evaluate(load(folder, script), data=rows, target="solve", metric="accuracy(answer)")
    assert [result.failed for result in found.results] == [
        "infrastructure",
        "model",
        "",
        "",
        "metric",
    ]
    assert [result.value for result in found.results] == [None, 0.0, 1.0, 1.0, None]
    assert found.mean == 2 / 3
    counted = found.failed_infrastructure, found.failed_model, found.failed_metric, found.failed
    assert counted == (1, 1, 1, 3)
    assert "down" in (found.results[0].error or "")


def test_no_scored_row_has_no_mean(folder: Path) -> None:
    def script(request: Request) -> str:
        raise ModelFailure("server", "down", retryable=False)

    found = lmc.evaluate(load(folder, script), data=ROWS, target="solve", metric="accuracy(answer)")
    assert (found.mean, found.interval, found.failed) == (None, None, 8)


def test_data_metric_and_target_come_from_the_program(folder: Path) -> None:
    program = load(folder, lambda request: "1")
    found = lmc.evaluate(program)
    assert len(found.results) == 4  # the test rows
    assert {result.feedback for result in found.results} == {"close"}
    assert len(lmc.evaluate(program, "sums", part="train").results) == 2
    assert len(lmc.evaluate(program, folder / "rows.jsonl", "close").results) == 8
    assert len(lmc.evaluate(program, folder / "rows.jsonl", "close", limit=3).results) == 3


def test_a_metric_that_fails_counts_neither_way(folder: Path) -> None:
    found = lmc.evaluate(load(folder), data=ROWS, target="solve", metric="strict")
    assert found.failed_metric == 8
    assert "division by zero" in (found.results[0].error or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": []}, "too-few-rows.*`solve`"),
        ({"data": [{"question": "?"}]}, "missing-column.*`q`"),
        ({"target": "solv"}, "unknown-target.*did you mean `solve`"),
        ({"metric": "acuracy"}, "unknown-metric"),
    ],
)
def test_what_is_missing_is_said_before_any_call(folder: Path, options: Any, message: str) -> None:
    program = load(folder, [])
    with pytest.raises(LmcError, match=message):
        lmc.evaluate(program, **options)


def test_a_missing_key_is_found_before_any_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    program = lmc.load(folder / "p.lmp", model="openai/gpt-4o-mini", cache=False)
    seen: list[RowResult] = []
    with pytest.raises(LmcError, match="OPENAI_API_KEY"):
        lmc.evaluate(program, progress=seen.append)
    assert seen == []


def test_a_budget_ends_the_evaluation(folder: Path) -> None:
    backend = Scripted(right)
    program = lmc.load(folder / "p.lmp", backend=backend, cache=False)
    with pytest.raises(LmcError, match="budget-exceeded"):
        lmc.evaluate(program, data=ROWS, metric="close", budget={"calls": 5})
    assert len(backend.requests) <= 5


def test_modules_see_their_parameters_only(folder: Path) -> None:
    backend = Scripted(right)
    program = lmc.load(folder / "p.lmp", backend=backend, cache=False)
    rows = [row | {"clue": "psst"} for row in ROWS]
    lmc.evaluate(program, data=rows, target="hinted", metric="accuracy(answer)")
    text = json.dumps([request.messages for request in backend.requests])
    assert "psst" not in text
    assert "answer" not in text


def test_results_are_written_line_by_line(folder: Path) -> None:
    found = lmc.evaluate(load(folder), data=ROWS[:2], target="solve", metric="accuracy(answer)")
    found.write(folder / "out" / "results.jsonl")
    lines = [json.loads(line) for line in (folder / "out/results.jsonl").read_text().splitlines()]
    assert [(line["id"], line["score"], line["pred"]) for line in lines] == [
        ("1", 1.0, 1),
        ("2", 1.0, 2),
    ]
    assert lines[0]["calls"] == 1


def test_traces_are_kept_on_request(folder: Path) -> None:
    program = load(folder)
    metric = resolve_metric("close", program.graph, program.solve.graph, ("q", "answer"))
    rows = [Row("a", ROWS[0]), Row("b", ROWS[1])]

    def first(**options: Any) -> Trace | None:
        running = evaluate(program.executor, "solve", rows, metric, **options)
        return run_sync(running).results[0].trace

    assert first() is None
    trace = first(keep_traces=True)
    assert trace is not None
    assert trace.calls[0].result == 1


def test_a_missing_tool_is_found_before_any_row(folder: Path) -> None:
    tool = 'tool look(q: str) -> str from "lmc_no_such:look"\n'
    (folder / "p.lmp").write_text(
        tool + SOURCE + "pipeline looked(q: str) -> int { return solve(look(q)) }"
    )
    backend = Scripted(right)
    program = lmc.load(folder / "p.lmp", backend=backend, cache=False)
    with pytest.raises(LmcError, match="tool-not-found"):
        lmc.evaluate(program, ROWS, "accuracy(answer)", target="looked")
    assert backend.requests == []


def test_a_fault_of_the_setup_is_not_scored(folder: Path) -> None:
    program = load(folder)
    rows = [Row("a", {"q": "1 + 1", "answer": 2})]
    metric = resolve_metric("close", program.graph, program.solve.graph, ("q", "answer"))
    wrong = Parameters({"solve": ModuleParameters(model="nowhere")})
    executor = Executor(program.graph, ModelPool(), wrong)
    with pytest.raises(LmcError, match="nowhere"):
        run_sync(evaluate(executor, "solve", rows, metric))


def _rows_here() -> int:
    return sum(type(thing) is Row for thing in gc.get_objects())


def test_rows_of_a_file_are_not_held(folder: Path) -> None:
    """Results go into the file in the order of the rows; few rows are there at one time."""
    count, most = 3000, 0
    lines = [json.dumps({"q": f"{i} + 1", "answer": i + 1}) for i in range(count)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    program = lmc.load(folder / "p.lmp", backend=Scripted(right), cache=False)
    gc.collect()
    others = _rows_here()  # which tests before this one have left

    def look(result: RowResult) -> None:
        nonlocal most
        if int(result.id.partition("-")[0]) % 500 == 0:
            most = max(most, _rows_here() - others)

    options: dict[str, Any] = {"data": folder / "rows.jsonl", "metric": "accuracy(answer)"}
    asked = EvaluateOptions(target="solve", progress=look, **options)
    found = evaluate_into(folder / "out.jsonl", program, lambda task, rows: None, asked)
    assert found.rows == len(found.values) == found.usage.calls == count
    assert 0 < most < 1500
    ids = [result["id"].partition("-")[0] for result in read_results(folder / "out.jsonl")]
    assert ids == [str(i) for i in range(1, count + 1)]
    held = lmc.evaluate(program, target="solve", **options)
    assert (found.mean, found.interval) == (held.mean, held.interval)


def test_a_bad_row_is_told_before_anything_is_paid(folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"q": "1 + 1", "answer": 2}\n{"q": 2}\n')
    backend = Scripted(right)
    program = lmc.load(folder / "p.lmp", backend=backend, cache=False)
    asked = EvaluateOptions(folder / "rows.jsonl", "accuracy(answer)", target="solve")
    with pytest.raises(lmc.LmcError, match=r"rows\.jsonl:2"):
        evaluate_into(folder / "out.jsonl", program, lambda task, rows: None, asked)
    assert not backend.requests
    assert not (folder / "out.jsonl").exists()


WIDER_ROWS = """
record Question { text: str }
record Case { text: str, solution: str }
record Row { c: Case }
generate solve(c: Question) -> str { "Answer." }
dataset cases: Row { source: "cases.jsonl" }
metric right(gold: Row, pred: str) -> bool { return pred == gold.c.solution }
optimize solve { data: cases metric: right }
"""


def test_a_label_inside_a_wider_record_reaches_no_model(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text(WIDER_ROWS)
    rows = [{"c": {"text": f"question {i}", "solution": f"LABEL{i}"}} for i in range(4)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts: list[str] = []

    def script(request: Request) -> str:
        prompts.extend(message["content"] for message in request.messages)
        return "none"

    program = lmc.load(tmp_path / "p.lmp", backend=Scripted(script), cache=False)
    lmc.evaluate(program)
    demos = (Demo({"c": rows[1]["c"]}, {BARE: "some answer"}, "row 2"),)
    program.parameters = Parameters({"solve": ModuleParameters(demos=demos)})
    lmc.evaluate(program)
    assert any("question 1" in text for text in prompts)
    assert not [text for text in prompts if "LABEL" in text]


def test_a_metric_judges_the_fields_that_it_declares(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text("""
record Short { a: str }
record Long { a: str, b: int }
record Row { q: str, gold: Long }
pipeline main(q: str) -> Long { return Long(a=q, b=2) }
metric exact(gold: Row, pred: Short) -> bool { return pred == Short(a="x") }
""")
    rows = [{"q": "x", "gold": {"a": "x", "b": 2}}]
    program = lmc.load(tmp_path / "p.lmp", cache=False)
    assert lmc.evaluate(program, rows, "exact").mean == 1.0
