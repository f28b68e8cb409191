"""What runs teach: errors put in, revisions by principles, two turns, verdicts, proposals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lmc
from lmc.check.optimizers import SIGNATURES
from lmc.ir.alternatives import alternatives
from lmc.ir.provenance import reached_modules
from lmc.measure.judging import area, judging
from lmc.measure.rows import Row
from lmc.models.scripted import Scripted
from lmc.optimizers.base import MadeRow
from lmc.optimizers.lessons.critics import by_verdicts, label_verdicts
from lmc.optimizers.lessons.proposing import edge, proposals
from lmc.optimizers.lessons.recipe import TEACHES, Recipe, Round
from lmc.optimizers.lessons.rewriting import by_errors, by_principles
from lmc.optimizers.lessons.turns import by_turns
from lmc.optimizers.lessons.ways import WAYS
from lmc.optimizers.lessons.weights import Lesson
from lmc.optimizers.presets import PRESETS
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import Trace
from lmc.traces.store import Run

PROGRAM = '''
generate draft(q: str) -> str { """Draft.""" }
critique judge(q: str, said: str) -> bool { """Right?""" subject: said }
refine main(q: str) -> str {
  """Mend."""
  draft: draft(q)
  check: judge(q, draft)
  until: false
  rounds: 1
}
'''


class World:
    """The program with a model that answers by a function, and what a `Context` gives."""

    def __init__(self, folder: Path, reply: Any, told: Mapping[str, Any] = {}) -> None:
        path = folder / "p.lmp"
        path.write_text(PROGRAM)
        self.loaded = lmc.load(path, backend=Scripted(reply), cache=False)
        self.program, self.target, self.seed = self.loaded.graph, "main", 0
        self.asked: list[Any] = []
        self.notes: list[str] = []
        self.told = told
        self.assistant = SimpleNamespace(ask=self.ask)

    async def ask(self, questions: list[Any], model: str | None = None) -> list[Any]:
        self.asked += questions
        return [self.told[q.module](q.inputs) for q in questions]

    def modules(self) -> Any:
        return reached_modules(self.program, self.target)

    def alternatives(self) -> Any:
        return alternatives(self.program, self.target)

    def open_executor(self, _: Any) -> Any:
        return self.loaded.executor

    def tell(self, text: str) -> None:
        self.notes.append(text)

    async def score(self, gold: Mapping[str, Any], pred: Any) -> float | None:
        return float(pred == gold["answer"])

    async def run(self, row: str, sample: int, answer: str = "yes") -> Run:
        trace = Trace()
        executor = self.loaded.executor
        pred = await executor.run("main", {"q": row}, trace=trace, sample=sample)
        values = {"q": row, "answer": answer}
        told: dict[str, Any] = {"score": float(pred == answer), "pred": pred, "sample": sample}
        return Run("j", "p", "main", "s", row, "d", values, trace, **told)

    def turn(self, runs: list[Run], number: int = 0, **options: Any) -> Round:
        recipe = Recipe.of(SIGNATURES["train"].complete(options))
        return Round(recipe, number, Parameters(), self, runs)  # type: ignore[arg-type]


def answering(drafts: list[str], verdicts: list[bool], ends: list[str]) -> Any:
    """A model that drafts, judges (always the same of two drafts) and mends by sample."""

    def reply(request: Any) -> list[str]:
        head = request.messages[0]["content"]
        found = []
        for i in range(request.index, request.index + request.n):
            if head.startswith("Right?"):
                found.append(json.dumps({"result": verdicts[i]}))
            else:
                found.append(drafts[i] if head.startswith("Draft") else ends[i])
        return found

    return reply


async def test_a_right_answer_is_preferred_to_a_copy_with_an_error(tmp_path: Path) -> None:
    reply = answering(["no", "no"], [False] * 2, ["yes", "no"])
    copies = {"put_error": lambda told: {"yes": "yet", "no": "no"}[told["answer"]]}
    world = World(tmp_path, reply, copies)
    runs = [await world.run("a", i) for i in range(2)]
    lessons = await by_errors(world.turn(runs))
    assert [(row.chosen, row.rejected) for row in lessons["main"]] == [
        ("yes", "yet"),
        ("yes", "no"),  # right and wrong samples are a pair as well
    ]
    assert [q.inputs["answer"] for q in world.asked] == ["yes"]  # of the right run, what led to it
    assert world.notes == ["1 of 1 copies with an error can be used"]


@pytest.mark.parametrize("loss", ["dpo", "sft"])
async def test_a_revision_by_a_principle_is_learnt(loss: str, tmp_path: Path) -> None:
    drafts = answering(["no"], [False], ["rude"])
    world = World(
        tmp_path,
        drafts,
        {"find_fault": lambda told: f"not {told['principle']}", "mend": lambda told: told["fault"]},
    )
    turn = world.turn([await world.run("a", 0)], loss=loss, principles="kind\n\nkind")
    found = (await by_principles(turn))["draft"]
    assert [q.module for q in world.asked] == ["find_fault", "mend"]
    (row,) = found
    if loss == "dpo":
        assert (row.chosen, row.rejected) == ("not kind", "no")  # type: ignore[union-attr]
    else:
        assert row.answer == "not kind"  # type: ignore[union-attr]


async def test_two_turns_are_trained_in_two_phases(tmp_path: Path) -> None:
    world = World(tmp_path, answering(["yes", "no"], [False] * 2, ["yes", "no"]))
    runs = [await world.run("a", i) for i in range(2)]
    first = await by_turns(world.turn(runs, 0, select="turns", loss="pg", pull=0.3, scaled=False))
    assert [(row.score, row.pull) for row in first["draft"]] == [(0.0, 0.3), (0.0, 0.3)]
    assert [(row.score, row.pull) for row in first["main"]] == [(0.5, 0.0), (-0.5, 0.0)]
    better = World(tmp_path, answering(["no", "no"], [False] * 2, ["yes", "no"]))
    runs = [await better.run("a", i) for i in range(2)]
    options = {"select": "turns", "loss": "pg", "bonus": 2.0, "scaled": False}
    second = await by_turns(better.turn(runs, 1, **options))
    assert "draft" not in second  # both drafts are worth the same
    assert [row.score for row in second["main"]] == [1.5, -1.5]  # the score, and twice the progress
    assert better.notes == ["drafts score 0.00, and revisions gain +0.50"]


async def test_verdicts_are_labelled_by_metric_agreement_refine_and_rows(tmp_path: Path) -> None:
    reply = answering(["no", "yes", "no"], [False, False, True], ["yes", "yes", "yes"])
    world = World(tmp_path, reply)
    runs = [await world.run("a", i) for i in range(3)]

    async def right(labels: str, runs: list[Run] = runs) -> list[bool]:
        recipe = world.turn(runs, labels=labels).recipe
        judged = await label_verdicts(world, runs, recipe)  # type: ignore[arg-type]
        return [one.right for one in judged if one.verdict.call.place[-2] != 1][:3]

    first = [c for run in runs for c in run.trace.calls if c.module == "judge"]
    assert len(first) >= 3
    assert await right("metric") == [True, False, False]
    assert await right("agreement") == [True, False, False]
    assert await right("refine") == [True, False, False]
    labelled = [
        Run(r.job, r.program, r.target, r.stage, r.row, "d", r.values | {"ok": True}, r.trace)
        for r in runs
    ]
    assert await right("data", labelled) == [False, False, True]


async def test_verdicts_that_a_revision_labels_are_measured_by_the_metric(tmp_path: Path) -> None:
    world = World(tmp_path, answering(["no", "yes"], [False, True], ["yes", "yes"]))
    runs = [await world.run("a", i) for i in range(2)]
    for labels in ("metric", "refine"):
        await by_verdicts(world.turn(runs, loss="sft", select="verdicts", labels=labels))
    assert world.notes[0] == world.notes[1]
    assert "AUC 1.00" in world.notes[0]


async def test_critiques_learn_right_verdicts_and_bare_ones_are_put_right(tmp_path: Path) -> None:
    world = World(tmp_path, answering(["no", "yes"], [False, False], ["yes", "yes"]))
    runs = [await world.run("a", i) for i in range(2)]
    lessons = (await by_verdicts(world.turn(runs, loss="sft", select="verdicts")))["judge"]
    said = {
        (one.demo.inputs["said"], *one.demo.outputs.values())
        for one in lessons
        if isinstance(one, Lesson)
    }
    assert said == {("no", False), ("yes", True)}
    assert "accuracy" in world.notes[0]
    assert "AUC" in world.notes[0]


def test_verdicts_are_measured() -> None:
    assert area([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == pytest.approx(0.75)
    assert area([0.5, 0.5], [True, False]) == 0.5
    assert area([0.5], [True]) is None
    found = judging([1.0, 1.0, 0.0, 0.0], [True, True, False, False], [True, False, False, False])
    assert (found.accuracy, found.auc) == (0.75, pytest.approx(5 / 6))
    assert found.calibration == pytest.approx(0.25)


def test_who_makes_rows_earns_most_at_the_edge_of_ability(tmp_path: Path) -> None:
    assert [edge(rate) for rate in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, 1.0, 0.0]
    world = World(tmp_path, answering([], [], []))

    def proposed(name: str, *scores: float) -> tuple[MadeRow, list[Run]]:
        call = SimpleNamespace(
            place=(0,), module="invent", outputs={}, raw=[name], infrastructure=False, sampled=None,
            messages=[{"role": "user", "content": "w"}],
        )  # fmt: skip
        maker = Run("j", "p", "invent", "s", name, "d", {}, Trace([call]))  # type: ignore[list-item]
        row = Row(f"made/{name}", {"q": name})
        runs = [
            Run("j", "p", "main", "s", row.id, "d", {}, Trace(), s, sample=i)
            for i, s in enumerate(scores)
        ]
        return MadeRow(row, maker), runs

    parts = [proposed("easy", 1.0, 1.0), proposed("edge", 1.0, 0.0)]
    turn = world.turn(
        [run for _, runs in parts for run in runs], loss="pg", rows="made", propose=True
    )
    turn = Round(turn.recipe, 0, turn.leader, turn.context, turn.runs, [made for made, _ in parts])
    assert [(row.answer, row.score) for row in proposals(turn)["invent"]] == [
        ("easy", -1.0),
        ("edge", 1.0),
    ]


def test_each_preset_is_a_recipe_that_can_learn() -> None:
    assert set(TEACHES) <= set(WAYS)
    names = {preset.name for preset in PRESETS}
    assert names <= SIGNATURES.keys()
    for preset in PRESETS:
        assert "differs" in (preset.function.__doc__ or ""), preset.name
        assert "arXiv" in preset.paper
