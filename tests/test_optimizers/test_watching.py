"""Rounds of self-training that go wrong are rolled back; models answer by script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmc.measure.rows import Row
from lmc.optimizers import events
from lmc.optimizers.base import Context
from lmc.optimizers.compilation.guards import Guard, fallen
from lmc.optimizers.lessons import rounds, watching
from lmc.optimizers.lessons.bounds import DEFAULT, Bounds
from lmc.optimizers.lessons.rounds import improve_in_rounds
from lmc.optimizers.lessons.watching import Gathered, RoundSampling, runs_behind, sample_runs
from lmc.optimizers.lessons.weights import Lesson, Update
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run
from lmc.training.lora import LoraSettings
from lmc.training.rows import PairRow, ScoredRow, TrainingRow
from tests.test_optimizers.doubles import FakeTrials, graph_of, mark_of, marked

PROGRAM = 'generate main(text: str) -> str { """Answer.""" }'
Answer = Callable[[str, int, int], str]  # mark of the weights, row, sample


class World:
    """Rounds whose training gives the next mark, and runs that answer by mark, row and sample."""

    def __init__(self, answer: Answer, right: Callable[[str, str], bool]) -> None:
        self.answer, self.right = answer, right
        self.rows = [Row(f"{i}", {"text": f"t{i}"}) for i in range(40)]
        self.old = [Row(f"old{i}", {"text": f"t{i}"}) for i in range(20)]
        self.trials = FakeTrials(lambda mark, row: float(self.run(mark, row.id, 0).score or 0))
        self.trained: list[str] = []
        self.told: list[Any] = []

    def run(self, mark: str, row: str, sample: int) -> Run:
        number = int(row.removeprefix("old")) + (100 if row.startswith("old") else 0)
        text = self.answer(mark, number, sample)
        call = CallTrace((0,), None, "main", "generate", {}, outputs={"result": text}, raw=[text])
        values = {"text": row}
        score = float(self.right(text, row))
        return Run(
            "j", "p", "main", "s", row, "d", values, Trace([call]), score, text, sample=sample
        )

    async def traces(self, parameters: Parameters, given: Sequence[Any], mode: Any) -> list[Run]:
        return [self.run(mark_of(parameters), row.id, mode.sample) for row in given]

    async def watch(self, before: Parameters, after: Parameters, given: Any) -> list[str]:
        guard = Guard("old", rows=tuple(self.old))
        return await fallen([guard], self.trials, None, before, after, given)  # type: ignore[arg-type]

    async def learn(
        self, monkeypatch: pytest.MonkeyPatch, bounds: Bounds = DEFAULT
    ) -> tuple[str, list[events.RoundMeasured], list[str]]:
        """The mark of the result, the measures of the rounds, and what was said."""
        graph: Any = graph_of(PROGRAM)
        some: Any = None
        context = Context(
            graph, "main", self.rows[:24], self.rows[24:], self.trials, 0, self.told.append, some,
            Path(), self.traces, self.watch, some, "",
        )  # fmt: skip

        async def gather(leader: Parameters, turn: Context, _: int) -> Gathered:
            sampling = RoundSampling(4, 1.0)
            runs = await sample_runs(leader, turn, sampling)
            return Gathered({}, runs, sampling, [r for r in runs if r.score])

        async def train(leader: Parameters, *_: Any) -> Parameters:
            self.trained.append(f"{len(self.trained) + 1}")
            return marked(self.trained[-1])

        async def no_weights(*_: Any) -> None:
            return None

        monkeypatch.setattr(rounds, "train_and_race", train)
        monkeypatch.setattr(watching, "divergence", no_weights)
        update = Update(LoraSettings())
        end = await improve_in_rounds(Parameters(), context, 3, gather, update, bounds=bounds)
        measured = [event for event in self.told if isinstance(event, events.RoundMeasured)]
        return mark_of(end), measured, [e.text for e in self.told if isinstance(e, events.Note)]


def varied(row: int, sample: int) -> str:
    return f"row {row} sample {sample} is {'right' if (row + sample) % 2 else 'wrong'}"


def is_right(text: str, row: str) -> bool:
    return "right" in text


async def test_rounds_that_are_well_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lambda mark, row, sample: varied(row, sample), is_right)
    mark, measured, _ = await world.learn(monkeypatch)
    assert mark == "3"
    assert [event.problems for event in measured] == [(), (), ()]
    assert measured[0].measures["agreement"] == 0.25
    assert measured[0].measures["gap"] == pytest.approx(0.5)
    assert set(measured[0].start) == set(measured[0].measures)


async def test_a_collapse_in_the_second_round_is_rolled_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def collapsing(mark: str, row: int, sample: int) -> str:
        return "all is wrong" if mark == "2" else varied(row, sample)

    world = World(collapsing, is_right)
    mark, measured, notes = await world.learn(monkeypatch)
    assert mark == "1"
    assert world.trained == ["1", "2"]
    assert "different rows get the same answer" in measured[-1].problems
    assert any(note.startswith("round 2 is rolled back") for note in notes)


async def test_length_hacking_is_rolled_back_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The metric rises with every word, which the samples show and the race welcomes."""

    def longer(mark: str, row: int, sample: int) -> str:
        return varied(row, sample) + " right and good" * (4 * int(mark or 0))

    mark, measured, _ = await World(longer, is_right).learn(monkeypatch)
    assert mark == ""
    assert any("words" in problem for problem in measured[0].problems)
    free = Bounds(length=None, repetition=None, kept=None)
    assert (await World(longer, is_right).learn(monkeypatch, free))[0] == "3"


async def test_forgetting_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(mark: str, row: int, sample: int) -> str:
        return f"row {row} is wrong now" if mark and row >= 100 else varied(row, sample)

    mark, measured, _ = await World(forgets, is_right).learn(monkeypatch)
    assert mark == ""
    assert any("old falls by" in problem for problem in measured[0].problems)


async def test_a_tail_that_narrows_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrows(mark: str, row: int, sample: int) -> str:
        easy, lucky = row % 2, sample == 0 and not mark
        return f"row {row} sample {sample} is {'right' if easy or lucky else 'wrong'}"

    mark, measured, _ = await World(narrows, is_right).learn(monkeypatch)
    assert mark == ""
    assert any("hard rows" in problem for problem in measured[0].problems)


async def test_what_is_worse_than_the_samples_is_not_trained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hacked selector: it keeps what the metric refuses."""
    world = World(lambda mark, row, sample: varied(row, sample), lambda text, row: "wrong" in text)
    graph: Any = graph_of(PROGRAM)
    some: Any = None
    context = Context(
        graph, "main", world.rows, world.rows, world.trials, 0, world.told.append, some,
        Path(), world.traces, world.watch, some, "",
    )  # fmt: skip

    async def gather(leader: Parameters, turn: Context, _: int) -> Gathered:
        runs = await sample_runs(leader, turn, RoundSampling(4, 1.0))
        return Gathered({}, runs, None, [run for run in runs if "right" in run.pred])

    async def train(*_: Any) -> Parameters:
        raise AssertionError("trained")

    monkeypatch.setattr(rounds, "train_and_race", train)
    end = await improve_in_rounds(Parameters(), context, 2, gather, Update(LoraSettings()))
    assert end == Parameters()
    assert "is not trained" in world.told[-1].text


def test_the_runs_behind_lessons_are_found() -> None:
    def run(text: str) -> Run:
        prompt = [{"role": "user", "content": "q"}]
        outputs = {"result": text}
        call = CallTrace(
            (0,), None, "m", "generate", {"q": 1}, outputs=outputs, raw=[text], messages=prompt
        )
        return Run("j", "p", "m", "s", "1", "d", {}, Trace([call]), 1.0, text)

    prompt = ({"role": "user", "content": "q"},)
    runs = [run("a"), run("b")]
    for lesson in (
        PairRow(prompt, "a", "b"),
        TrainingRow(prompt, "a"),
        ScoredRow(prompt, "a", 1.0, 0.5),
        Lesson(Demo({"q": 1}, {"result": "a"})),
    ):
        assert [r.pred for r in runs_behind({"m": [lesson]}, runs)] == ["a"]
        assert not list(runs_behind({"other": [lesson]}, runs))
    assert not list(runs_behind({"m": [ScoredRow(prompt, "a", 0.0, 0.5)]}, runs))
