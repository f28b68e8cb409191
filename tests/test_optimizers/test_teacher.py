"""A compiled program as the teacher of another one."""

from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.scripted import Scripted
from lmc.traces.store import Filter, TraceStore

STUDENT = 'generate main(text: str) -> str { """Name the kind.""" }\n'
TEACHER = 'generate main(text: str) -> str { """Think hard and name the kind.""" }\n'
ROWS = [{"text": f"{'even' if i % 2 else 'odd'} {i}", "kind": "ab"[i % 2]} for i in range(120)]


def reply(request: Any) -> str:
    """Right where it is told to think, or shown how; else it does not know."""
    last = request.messages[-1]["content"]
    knows = "Think hard" in request.messages[0]["content"] or len(request.messages) > 2
    return ("b" if "even" in last else "a") if knows else "?"


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    Path("student.lmp").write_text(STUDENT)
    Path("teacher.lmp").write_text(TEACHER)
    teacher = lmc.load("teacher.lmp", backend=Scripted(reply))
    lmc.compile(teacher, metric="accuracy", data=ROWS, optimizer="labeled", out="teacher.lmpc")
    return lmc.load("student.lmp", backend=Scripted(reply))


def test_an_artifact_makes_the_runs_that_are_learnt_from(student: Any) -> None:
    step = 'bootstrap(teacher="teacher.lmpc", rounds=1, demos=2)'
    result = lmc.compile(student, metric="accuracy", data=ROWS, optimizer=step)
    assert result.improved
    store = TraceStore()
    taught = [run for run in store.runs(Filter(job=result.job)) if run.variant == "teacher.lmpc"]
    assert taught and all(run.score == 1.0 for run in taught)
    assert "Think hard" in taught[0].trace.calls[0].messages[0]["content"]
    (demos,) = [m.demos for m in result.artifact.parameters.modules.values()]
    assert demos and all("call" in demo.origin or "row" in demo.origin for demo in demos)


def test_a_teacher_is_in_the_folder_of_the_program(
    student: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path("teacher.lmpc").rename("elsewhere/other.lmpc")
    monkeypatch.chdir(elsewhere)
    for named in ("../../other.lmpc", "/other.lmpc"):
        with pytest.raises(LmcError) as failure:
            lmc.compile(
                student, metric="accuracy", data=ROWS, optimizer=f'bootstrap(teacher="{named}")'
            )
        assert failure.value.code == "outside-folder"
    step = 'bootstrap(teacher="elsewhere/other.lmpc", rounds=1, demos=2)'
    assert lmc.compile(student, metric="accuracy", data=ROWS, optimizer=step).improved


def test_a_teacher_that_is_not_there_is_found_before_anything_runs(student: Any) -> None:
    with pytest.raises(LmcError, match=r"missing\.lmpc"):
        lmc.compile(
            student, metric="accuracy", data=ROWS, optimizer='bootstrap(teacher="missing.lmpc")'
        )
