"""Self-training in rounds: what is kept of many samples."""

from lmc.optimizers.lessons.rounds import at_most
from lmc.optimizers.lessons.weights import Lesson, both
from lmc.prompts.spec import Demo
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run


def run(text: str, sample: int, row: str = "1") -> Run:
    trace = Trace([CallTrace((0,), None, "m", "generate", {}, outputs={}, raw=[text])])
    return Run("j", "p", "m", "s", row, "d", {}, trace, 1.0, 1, sample=sample)


def test_few_different_answers_of_a_row_are_kept() -> None:
    runs = [run(t, i) for i, t in enumerate(["a b c", "a b c", "a b d", "x y z"])]
    assert [r.sample for r in at_most(runs, 2, diverse=False)] == [0, 2]
    assert [r.sample for r in at_most(runs, 2, diverse=True)] == [0, 3]
    assert len(at_most([*runs, run("q", 0, "2")], 9, diverse=False)) == 4


def test_lessons_of_two_sources_are_put_together() -> None:
    one, other = Lesson(Demo({"x": 1}, {"y": 1})), Lesson(Demo({"x": 2}, {"y": 2}), 0.5)
    assert both({"m": [one]}, {"m": [other], "n": [one]}) == {"m": [one, other], "n": [one]}
