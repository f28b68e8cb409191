"""What the user said must not get worse, and what must stay as it is."""

from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.result import CompileResult
from tests.test_optimizers.worlds import (
    COLOURS,
    MANY,
    colour_of,
    colour_rows,
    learner,
    lucky,
    samples,
    team,
)

PROGRAM = '''
record Row { text: str, label: str }
generate main(text: str) -> str { """The label of the colour.""" }
metric right(gold: Row, pred: str) -> bool { return lower(pred) == lower(gold.label) }
metric loud(gold: Row, pred: str) -> bool { return pred != lower(pred) }
dataset things: Row { source: "things.jsonl" }
dataset old: Row { source: "old.jsonl" }
optimize main { data: things, metric: right, steps: [labeled(demos=8)] }
'''


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(answer: Any, text: str = PROGRAM, **options: Any) -> CompileResult:
    Path("it.lmp").write_text(text)
    for name, word in (("things", "is"), ("old", "was")):
        rows = (
            {**row, "text": row["text"].replace(" is ", f" {word} ")} for row in colour_rows(80)
        )
        lines = (f'{{"text": "{row["text"]}", "label": "{row["label"]}"}}\n' for row in rows)
        Path(f"{name}.jsonl").write_text("".join(lines))
    backend = Scripted(answer, name="guarded")
    return lmc.compile("it.lmp", backend=backend, cache=False, **options)


def quiet(request: Request) -> list[str]:
    """Learns what is right from demonstrations, and then no longer shouts."""
    texts = learner(request)
    return [text.lower() for text in texts] if len(request.messages) > 2 else texts


def forgetful(request: Request) -> list[str]:
    """Right on old things until it is shown new ones."""
    question = request.messages[-1]["content"]
    if " was " in question:
        colour = colour_of(question.replace(" was ", " is "))
        return ["?" if len(request.messages) > 2 else COLOURS[colour] for _ in samples(request)]
    return learner(request)


def test_a_second_metric_that_falls_keeps_the_program() -> None:
    assert improve(quiet).improved
    result = improve(quiet, guards=["loud"])
    assert not result.improved
    assert any("loud falls by 1.000" in note for note in result.notes)


def test_what_is_forgotten_keeps_the_program() -> None:
    assert improve(forgetful).improved
    text = PROGRAM.replace("metric: right,", "metric: right, guards: [old],")
    result = improve(forgetful, text)
    assert not result.improved
    assert any("old falls by 1.000" in note for note in result.notes)


def test_guards_that_hold_let_a_gain_pass() -> None:
    assert improve(learner, guards=["loud", "contains"]).improved


def test_a_guard_has_to_exist() -> None:
    with pytest.raises(LmcError, match="is neither a metric nor a dataset"):
        improve(learner, guards=["lowd"])
    with pytest.raises(LmcError, match="guards"):
        improve(learner, PROGRAM.replace("metric: right,", "metric: right, guards: old,"))


def test_modules_that_are_kept_stay_as_they_are() -> None:
    text = MANY + "optimize main { keep: [judge, fixed] }\n"
    Path("it.lmp").write_text(text)
    backend = Scripted(team, name="team")
    result = lmc.compile(
        "it.lmp", data=colour_rows(120), metric="accuracy", backend=backend, cache=False
    )
    assert set(result.artifact.parameters.modules) <= {"draft"}


def hardly(request: Request) -> list[str]:
    """A few more things are right when demonstrations are shown."""
    question = request.messages[-1]["content"]
    colour = colour_of(question.replace(" was ", " is "))
    share = 0.6 if len(request.messages) > 2 else 0.5
    return [COLOURS[colour] if lucky(question, 0, share) else "?" for _ in samples(request)]


def test_the_smallest_gain_that_can_be_seen_is_said_before_and_after() -> None:
    events: list[Any] = []
    result = improve(hardly, progress=events.append)
    assert "cannot be told from chance with" in events[0].sight
    assert not result.improved
    assert any("cannot be told from chance" in note for note in result.notes), result.notes


def test_rows_of_models_that_sample_may_run_more_often() -> None:
    once, thrice = improve(learner), improve(learner, confirm_samples=3)
    assert thrice.improved
    assert thrice.used.calls > once.used.calls
    with pytest.raises(LmcError, match="confirm_samples"):
        improve(learner, confirm_samples=0)
