"""Monte Carlo values: runs that go on from a place of another run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lmc
from lmc.check.optimizers import SIGNATURES
from lmc.measure.rows import Row
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.optimizers.candidates.trials import Mode
from lmc.optimizers.lessons.critics import by_verdicts
from lmc.optimizers.lessons.recipe import Recipe, Round
from lmc.optimizers.lessons.valuing import Branch, by_values, values_at
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import Trace
from lmc.traces.store import Run

PROGRAM = '''
generate first(q: str) -> str { """First.""" temperature: 1.0 }
critique fine(q: str, a: str) -> bool { """Fine?""" subject: a temperature: 1.0 layout: "chat" }
generate second(q: str, a: str, sure: bool) -> str { """Second.""" temperature: 1.0 }
pipeline main(q: str) -> str {
  let a = first(q)
  let sure = fine(q, a)
  return second(q, a, sure)
}
'''
BRANCH = 1 << 32


class World:
    """A first step is good in even samples; then three of four second steps are right."""

    def __init__(self, folder: Path) -> None:
        (folder / "it.lmp").write_text(PROGRAM)
        self.asked: list[tuple[str, int]] = []
        backend = Scripted(self.reply)
        self.program = lmc.load(folder / "it.lmp", backend=backend, cache=False)
        self.notes: list[str] = []
        self.train = [Row("1", {"q": "x", "label": "right"})]
        self.trials = SimpleNamespace(runs_left=lambda: float("inf"), results=self.results)
        self.left = float("inf")

    def reply(self, request: Request) -> str:
        text, index = request.messages[-1]["content"], request.index
        name = request.messages[0]["content"].split()[0].strip(".?")
        self.asked.append((name, index))
        if name == "First":
            return "good" if index % 2 == 0 else "bad"
        if name == "Fine":
            return "yes"
        number = index // BRANCH
        return "right" if "good" in text and number % 4 != 3 else "wrong"

    async def results(self, *_: Any) -> None:
        return None

    async def traces(self, start: Any, rows: Any, mode: Mode) -> list[Run]:
        branch = None if mode.node is None else (mode.node, mode.anew)
        executor = Executor(self.program.graph, self.program.pool, training=True, branch=branch)
        found = []
        for row in rows:
            trace = Trace()
            pred = await executor.run("main", {"q": "x"}, trace=trace, sample=mode.sample)
            score = float(pred == row.values["label"])
            found.append(
                Run(
                    "j", "p", "main", "s", row.id, "d", row.values, trace, score, pred,
                    sample=mode.sample, variant=mode.variant,
                )
            )  # fmt: skip
        return found

    def tell(self, text: str) -> None:
        self.notes.append(text)

    def modules(self) -> Any:
        from lmc.ir.provenance import reached_modules

        return reached_modules(self.program.graph, "main")

    async def turn(self, **options: Any) -> Round:
        complete = SIGNATURES["train"].complete({"select": "values", "loss": "pg", **options})
        runs = [r for i in range(2) for r in await self.traces(None, self.train, Mode(sample=i))]
        self.asked.clear()
        return Round(Recipe.of(complete), 0, Parameters(), self, runs)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_what_stands_before_a_node_is_asked_alike_and_the_rest_anew(world: World) -> None:
    turn = await world.turn()
    run = turn.runs[1]
    call = run.trace.calls[0]
    assert call.module == "first"
    node = Branch.after(run, call)
    (again,) = await world.traces(None, world.train, Mode(sample=1, node=node.place, anew=2))
    assert world.asked == [("First", 1), ("Fine", 2 * BRANCH + 1), ("Second", 2 * BRANCH + 1)]
    assert again.id != run.id
    assert not node.is_end
    assert Branch.after(run, run.trace.calls[-1]).is_end
    assert node.key != Branch.after(turn.runs[0], turn.runs[0].trace.calls[0]).key
    assert node.key == Branch.after(replace(run, sample=7), call).key  # alike so far


async def test_values_are_mean_scores_of_the_runs_that_go_on(world: World) -> None:
    turn = await world.turn(values=4)
    firsts = [Branch.after(run, run.trace.calls[0]) for run in turn.runs]
    values = await values_at(turn, [*firsts, *firsts])
    assert [values[node.key] for node in firsts] == [0.75, 0.0]
    assert sum(name == "Second" for name, _ in world.asked) == 8  # each node once
    ends = [Branch.after(run, run.trace.calls[-1]) for run in turn.runs]
    world.asked.clear()
    known = await values_at(turn, ends)
    assert [known[node.key] for node in ends] == [run.score for run in turn.runs] == [1.0, 0.0]
    assert world.asked == []  # nothing follows
    world.trials.runs_left = lambda: 8.0
    assert len(await values_at(turn, firsts)) == 1  # the budget has room for one


async def test_advantages_are_what_a_step_adds_to_the_value(world: World) -> None:
    lessons = await by_values(await world.turn(values=4))
    assert {
        name: [(row.answer, row.score, row.baseline) for row in rows]  # type: ignore[union-attr]
        for name, rows in lessons.items()
    } == {"first": [("good", 0.75, 0.5), ("bad", 0.0, 0.5)], "second": [("right", 1.0, 0.75)]}
    pairs = await by_values(await world.turn(values=4, loss="dpo"))
    (pair,) = pairs["first"]
    assert (pair.chosen, pair.rejected, pair.weight) == ("good", "bad", 0.75)  # type: ignore[union-attr]
    assert set(pairs) == {"first"}  # the second steps had other prompts


async def test_verdicts_are_labelled_by_what_could_follow(world: World) -> None:
    turn = await world.turn(values=4, select="verdicts", labels="values", loss="pg")
    lessons = await by_verdicts(turn)
    assert [row.score for row in lessons["fine"]] == [1.0, 0.0]  # type: ignore[union-attr]
    fine = {index for name, index in world.asked if name == "Fine"}
    assert all(index >= BRANCH for index in fine)  # a verdict does not decide on its own label
