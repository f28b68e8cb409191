"""Recipes that learn the probabilities of a teacher: another model, an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models import registry
from lmc.models.scripted import Scripted
from lmc.program.artifact import Artifact, Manifest
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Filter, TraceStore
from tests.learners import save_learner
from tests.test_models.tiny_llama import save_tiny_llama
from tests.test_optimizers.doubles import graph_of
from tests.test_optimizers.test_learning import LABELS, OTHER, PROGRAM, TRAINING, label_rows

pytest.importorskip("peft")

DATA = label_rows(160)
SURE = 0.95  # share of right answers of the teacher


@dataclass(frozen=True)
class Family:
    """A student and a better teacher of one tokenizer."""

    student: str
    teacher: str


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("family")
    program = folder / "it.lmp"
    program.write_text(PROGRAM)
    asked = [("main", {"text": row["text"]}) for row in DATA]

    def model(name: str, right: float, steps: int) -> str:
        def says(_: str, inputs: Any) -> dict[str, float]:
            label = LABELS[inputs["text"].split()[0]]
            return {label: right, OTHER[label]: 1 - right}

        return save_learner(folder / name, program, "main", asked, says, steps=steps)

    return Family(model("student", 0.6, 120), model("teacher", SURE, 200))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))


def compiled(step: str, model: str | None, text: str = PROGRAM, **more: Any) -> lmc.CompileResult:
    Path("it.lmp").write_text(text)
    options: dict[str, Any] = {"accept": "better", "cache": False} | more
    return lmc.compile(
        "it.lmp", target="main", metric="accuracy", data=DATA, optimizer=step, model=model,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    ["own=0.5, jsd=0.5", pytest.param("own=1.0, jsd=1.0, samples=3", marks=pytest.mark.slow)],
)
def test_a_student_learns_from_the_probabilities_of_a_better_model(
    options: str, family: Family
) -> None:
    copytree(family.teacher.removeprefix("hf/"), "teacher")  # into the folder of the program
    step = f'gkd(teacher="hf/teacher", {options}, {TRAINING})'
    result = compiled(step, family.student)
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()
    runs = list(TraceStore().runs(Filter(job=result.job, stage="sampling")))
    taught = [run for run in runs if "hf/teacher" in run.variant]
    assert bool(taught) == ("own=0.5" in options)


def test_an_artifact_teaches_what_its_adapter_knows(family: Family) -> None:
    copytree(family.student.removeprefix("hf/"), "student")
    text = 'model small { name: "hf/student" }\n' + PROGRAM.replace("max_t", "model: small max_t")
    compiled(f"lora({TRAINING})", None, text, out="teacher.lmpc")
    step = f'gkd(jsd=0.5, own=0.5, teacher="teacher.lmpc", {TRAINING})'
    result = compiled(step, None, text, paths=["student"])
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()


def test_a_teacher_that_is_the_program_itself_teaches_nothing() -> None:
    result = compiled('distill(loss="kl", threshold=none)', "lmc/tiny")
    assert "main: its teacher is itself, with the same prompts" in result.notes
    assert not result.improved


REASONS = PROGRAM.replace("max_tokens: 3", "max_tokens: 9 reason: true")
OTHERS = PROGRAM.replace("main(", "one(") + "pipeline main(text: str) -> str { return one(text) }\n"
MORE = PROGRAM.replace("(text: str)", "(text: str, more: str)")
SOURCE = PROGRAM + "pipeline all(text: str) -> str { return main(text) }\n"
VOTE = PROGRAM.replace("main(", "one(") + (
    "vote main(text: str) -> str { sample: one(text) n: 3 }\n"
)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ('gkd(teacher="server/model")', "does not tell its probabilities"),
        ('distill(loss="kl", teacher="server/model")', "does not tell its probabilities"),
        ('gkd(teacher="hf/stranger")', "has other tokens"),
        ('train(loss="kl", select="votes", teacher="lmc/tiny")', "gives nothing"),
        ("gkd()", "there is none"),
        ("distill(jsd=0.5)", "`jsd` is about probabilities"),
        ('gkd(teacher="reasons.lmpc")', "reasoning, result in the layout"),
        ('gkd(teacher="other.lmpc")', "has no module `main`"),
        ('gkd(teacher="more.lmpc")', "the teacher's `main` needs `more`"),
        ('gkd(teacher="it.lmpc", from="all")', "the teacher has no `all`"),
    ],
)
def test_unsuitable_teachers_are_refused_before_a_model_is_asked(step: str, message: str) -> None:
    save_tiny_llama(Path("stranger"))
    registry.register("server/", lambda name, settings: Scripted("W"))
    artifacts = {"other": OTHERS, "reasons": REASONS, "more": MORE, "it": PROGRAM}
    for name, text in artifacts.items():
        manifest = Manifest(lmc="0", entry="it.lmp")
        Artifact(manifest, graph_of(text), Parameters(), {}).write(Path(f"{name}.lmpc"))
    try:
        with pytest.raises(LmcError, match=message):
            compiled(step, "lmc/tiny", SOURCE)
    finally:
        registry.unregister("server/")
    assert TraceStore().jobs() == []


def test_a_model_that_is_split_is_not_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMC_TRAINING_PROCESSES", "2")
    monkeypatch.setenv("LMC_TRAINING_SHARD", "1")
    with pytest.raises(LmcError, match="a teacher of probabilities do not go together"):
        compiled('gkd(teacher="lmc/tiny")', "lmc/tiny")
    with pytest.raises(LmcError, match="adapters of the kind dora do not go together"):
        compiled('rest_em(kind="dora")', "lmc/tiny")
    monkeypatch.setenv("LMC_TRAINING_PROCESSES", "1")
    with pytest.raises(LmcError, match="and there is one"):
        compiled("lora()", "lmc/tiny")
    assert TraceStore().jobs() == []


def test_what_a_loop_comes_to_has_no_probabilities() -> None:
    with pytest.raises(LmcError, match="is a result, and has no probabilities"):
        compiled('distill(loss="kl")', "lmc/tiny", VOTE)
