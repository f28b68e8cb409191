"""Self-training in rounds: what is kept of many samples, and whole recipes on the small model."""

from pathlib import Path
from random import Random

import pytest

from lmc.optimizers.lessons.rounds import at_most
from lmc.optimizers.lessons.weights import Lesson, both
from lmc.prompts.spec import Demo
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run

SOLVE = (
    'generate solve(problem: str) -> int { """Solve the problem.""" reason: true max_tokens: 80 }'
)


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


@pytest.mark.parametrize(
    "step",
    [
        "rest_em(rounds=1, samples=3, epochs=2, temperature=1.0, entropy=1.0, hints=true)",
        "rest_em(rounds=1, samples=3, epochs=2, adapt=true, diverse=true, keep=1)",
        "lmsi(samples=4, epochs=2, temperature=1.0, entropy=1.0)",
    ],
)
def test_recipes_say_what_they_saw_and_end_with_an_honest_figure(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    import lmc
    from examples.tiny.arithmetic import addition

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    Path("solve.lmp").write_text(SOLVE)
    rng = Random(5)
    drawn = {text: answer for text, _, answer in (addition(rng) for _ in range(90))}
    rows = [{"problem": text, "answer": answer} for text, answer in drawn.items()]
    result = lmc.compile(
        "solve.lmp", metric="accuracy", data=rows, optimizer=step, model="lmc/tiny", out="s.lmpc"
    )
    said = "\n".join(result.notes)
    assert "accepted" in said
    assert "separation" in said
    assert ("temperature" in said) == ("adapt" in step)
    assert ("agree enough" in said) == step.startswith("lmsi")
    assert result.test is not None
    assert result.test.after.mean >= result.test.before.mean - 0.1
