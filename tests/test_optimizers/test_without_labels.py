"""Optimizers that need no label, and structures of reasoning."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import lmc
from bench.landscapes import PROGRAM, Landscape, label_of, reply, rows, words_of
from lmc.models.scripted import Scripted
from lmc.optimizers.assistant.preference import against_as_written
from lmc.optimizers.compilation.result import CompileResult
from lmc.program.artifact import Artifact
from lmc.prompts.spec import REASONING
from lmc.traces.store import Filter, TraceStore

ROWS = rows(160)
BARE_ROWS = [{"text": row["text"]} for row in rows(400)]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(answer: Any, optimizer: str, text: str = PROGRAM, **options: Any) -> CompileResult:
    Path("it.lmp").write_text(text)
    backend = Scripted(answer, name="unlabelled")
    options = {"data": ROWS, "metric": "accuracy", "cache": False, "out": "it.lmpc"} | options
    return lmc.compile("it.lmp", optimizer=optimizer, backend=backend, **options)


def field(text: str, name: str) -> str:
    found = re.search(rf"\[\[{name}\]\](.*?)(?=\[\[|\Z)", text, re.S)
    return found[1].strip() if found else ""


def judging(landscape: Landscape) -> Any:
    """The landscape, with a judge who knows which label is right, and likes what comes first."""
    plain = reply(landscape)

    def answer(request: Any) -> list[str]:
        system, last = request.messages[0]["content"], request.messages[-1]["content"]
        if "Which one does the task better" not in system:
            return list(plain(request))
        text = json.loads(field(last, "inputs"))["text"]
        right = [json.loads(field(last, n)) == label_of(text) for n in ("first", "second")]
        said = "second" if right == [False, True] else "first"
        return [said] * request.n

    return answer


def test_instructions_get_better_without_labels() -> None:
    landscape = Landscape(2)
    result = improve(judging(landscape), "spo(rows=24)", metric="preference", data=BARE_ROWS)
    assert result.improved
    assert result.test is not None
    assert result.test.before.mean == 0.5  # against itself
    instruction = result.artifact.parameters.modules["main"].instruction or ""
    texts = [row["text"] for row in ROWS]
    better = landscape.accuracy(words_of(instruction), 0, texts)
    assert better > landscape.accuracy(set(), 0, texts) + 0.1


def test_a_judge_that_goes_by_position_prefers_nothing() -> None:
    plain = reply(Landscape(2))

    def answer(request: Any) -> list[str]:
        if "Which one does the task better" in request.messages[0]["content"]:
            return ["second"] * request.n
        return list(plain(request))

    result = improve(answer, "labeled(demos=4)", metric="preference")
    assert not result.improved


def test_imagined_demonstrations() -> None:
    landscape, count = Landscape(4), [0]
    plain = reply(landscape)

    def answer(request: Any) -> list[str]:
        if "Write one new input" in request.messages[0]["content"]:
            count[0] += 1
            return [json.dumps({"text": f"item 9-{count[0]}"})] * request.n
        return list(plain(request))

    result = improve(answer, "sec(candidates=2)")
    assert count[0] > 0
    modules = result.artifact.parameters.modules
    assert all(d.origin == "imagined" for m in modules.values() for d in m.demos or ())


def imagining(request: Any) -> list[str]:
    if "Write one new input" in request.messages[0]["content"]:
        number = len(request.messages[-1]["content"])
        return [json.dumps({"text": f"item 9-{number}"})] * request.n
    return list(reply(Landscape(4))(request))


def test_imagined_demonstrations_need_no_row_at_all() -> None:
    result = improve(imagining, "sec(candidates=2, demos=2)", data=None, metric=None)
    assert result.improved
    assert result.test is None
    assert "not measured, as there are no rows" in result.verdict()
    module = Artifact.read(Path("it.lmpc")).parameters.modules["main"]
    assert {d.origin for d in module.demos or ()} == {"imagined"}
    with pytest.raises(lmc.LmcError, match="no data"):
        improve(imagining, "sec() >> labeled()", data=None, metric=None)


def test_what_optimizers_ask_is_in_the_trace_store() -> None:
    result = improve(imagining, "sec(candidates=2, demos=2)")
    asked = list(TraceStore().runs(Filter(job=f"{result.job}/assistant")))
    assert {run.target for run in asked} == {"imagine"}
    assert all(run.trace.calls[0].raw == [run.pred] for run in asked)
    assert sum(run.trace.usage.calls for run in asked) == len(asked)


def test_preference_measures_an_artifact_against_its_source() -> None:
    judge = judging(Landscape(2))
    improve(judge, "labeled(demos=4)", accept="better")
    backend = Scripted(judge, name="unlabelled")
    rows = [{"text": row["text"]} for row in ROWS[:40]]
    artifact = lmc.load("it.lmpc", backend=backend, cache=False)
    found = lmc.evaluate(artifact, rows, against_as_written(artifact, artifact.main.graph))
    written = lmc.load("it.lmp", backend=backend, cache=False)
    before = [written.main(text=row["text"]) == label_of(row["text"]) for row in rows]
    after = [artifact.main(text=row["text"]) == label_of(row["text"]) for row in rows]
    wins = [r.value for r in found.results if r.value != 0.5]
    changed = [a for b, a in zip(before, after) if a != b]
    assert len(changed) > 3
    assert wins == [float(a) for a in changed]
    with pytest.raises(lmc.LmcError, match="this program is unchanged"):
        against_as_written(written, written.main.graph)


SUMS = [{"text": f"{i} and {i * 7 % 50}", "label": str(i + i * 7 % 50)} for i in range(160)]
PLAN = [{"name": "First number", "note": "Write it."}, {"name": "text", "note": "The sum."}]


def stepper(request: Any) -> list[str]:
    """Right only where it may write steps first."""
    system, last = request.messages[0]["content"], request.messages[-1]["content"]
    if "Select the reasoning modules" in system or "Rephrase each" in system:
        return ["add one by one"] * request.n
    if "explicit structure" in system:
        return [json.dumps(PLAN)] * request.n
    numbers = [int(n) for n in re.findall(r"\d+", last)]
    if "[[first_number]]" in system:
        steps = f"[[first_number]] {numbers[0]}\n[[text_step]] it is {sum(numbers)}\n"
        return [f"{steps}[[result]] {sum(numbers)}"] * request.n
    return ["0"] * request.n


@pytest.mark.parametrize("optimizer", ["structure()", "structure(evolve=true, candidates=1)"])
def test_steps_become_fields_before_the_answer(optimizer: str) -> None:
    result = improve(stepper, optimizer, data=SUMS)
    assert result.improved
    module = Artifact.read(Path("it.lmpc")).parameters.modules["main"]
    assert module.steps == (("first_number", "Write it."), ("text_step", "The sum."))
    program = lmc.load("it.lmpc", backend=Scripted(stepper), cache=False)
    value, trace = program.main.run_traced({"text": "20 and 22"})
    assert value == "42"
    assert trace.calls[0].outputs == {
        "first_number": "20", "text_step": "it is 42", "result": "42",
    }  # fmt: skip
    assert REASONING not in trace.calls[0].outputs
