"""Choices, objectives and ablations, where what each is worth is known."""

import re
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.measure.objective import Objective
from lmc.models.base import Answer
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.result import CompileResult
from lmc.requests.usage import Usage
from tests.test_optimizers.worlds import COLOURS, MANY, colour_of, colour_rows, lucky, samples, team

VOTE = '''
generate guess(text: str) -> str { """The label of the colour.""" }
vote main(text: str) -> str { sample: guess(text), n: tune[1, 3, 9] }
'''
ROWS = colour_rows(160)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(text: str, answer: Any, optimizer: str, **options: Any) -> CompileResult:
    Path("it.lmp").write_text(text)
    backend = Scripted(answer, name="tuned")
    options = {"data": ROWS, "metric": "accuracy", "cache": False} | options
    return lmc.compile("it.lmp", optimizer=optimizer, backend=backend, **options)


def guesser(request: Any) -> list[str]:
    """Right in six of ten samples; wrong answers differ, so a vote helps."""
    question = request.messages[-1]["content"]
    right = COLOURS[colour_of(question)]
    return [right if lucky(question, i, 0.6) else f"WRONG {i}" for i in samples(request)]


def test_more_votes_win_where_nothing_speaks_against() -> None:
    result = improve(VOTE, guesser, "tune()")
    assert result.improved
    assert result.artifact.parameters.choices == {"main.n": 9}
    assert any("score against calls: start" in note for note in result.notes)


def test_the_objective_weighs_calls() -> None:
    dear = improve(VOTE, guesser, "tune()", objective="accuracy - 0.2 * calls")
    assert not dear.improved
    cheap = improve(VOTE, guesser, "tune()", objective="accuracy - 0.04 * calls")
    assert cheap.artifact.parameters.choices in ({"main.n": 3}, {})
    assert cheap.artifact.manifest.metric == "accuracy - 0.04 * calls"


def test_the_objective_may_weigh_time() -> None:
    dear = Objective("accuracy - 0.5 * seconds", "accuracy")
    assert (
        dear.value(1.0, Usage.of([Answer("", latency_ms=300), Answer("", latency_ms=700)])) == 0.5
    )


def test_reasoning_steps_are_left_out_one_by_one() -> None:
    steps = (("colour", "name the colour"), ("weather", "name the weather"))

    def answer(request: Any) -> list[str]:
        system, question = request.messages[0]["content"], request.messages[-1]["content"]
        right = COLOURS[colour_of(question)] if "[[colour]]" in system else "WRONG"
        if "[[result]]" not in system:
            return [right] * request.n
        named = [name for name, _ in steps if f"[[{name}]]" in system]
        return ["\n".join([*(f"[[{n}]] x" for n in named), f"[[result]] {right}"])] * request.n

    Path("it.lmp").write_text('generate main(text: str) -> str { """The label of the colour.""" }')
    program = lmc.load("it.lmp", backend=Scripted(answer, name="steps"), cache=False)
    program.parameters = program.parameters.with_slots("main", steps=steps)
    result = lmc.compile(program, optimizer="ablate(drop=true)", data=ROWS, metric="accuracy")
    told = "\n".join(result.notes)
    assert "the 2 steps of `main` gains +1.0" in told
    assert "step `colour` of `main` gains +1.0" in told
    assert "step `weather` of `main` gains +0.000" in told


def test_many_choices_are_searched() -> None:
    text = VOTE.replace('colour.""" }', 'colour.""" temperature: tune[0.1, 0.4, 0.7, 1.0] }')
    result = improve(text, guesser, "tune(trials=8)")
    assert result.artifact.parameters.choices.get("main.n", 1) in (3, 9)


def test_objectives_are_arithmetic_and_nothing_else() -> None:
    used = Usage(calls=4, prompt_tokens=100, cost_usd=0.5)
    assert Objective("accuracy - 0.1 * usd", "accuracy").value(1.0, used) == 0.95
    assert Objective("2 * (score - calls / 8)", "f1").value(1.0, used) == 1.0
    for text in ("__import__('os')", "accuracy.real", "usd if 1 else 2", "acuracy", "1 +", "1 / 0"):
        with pytest.raises(LmcError, match="the objective is invalid"):
            Objective(text, "accuracy")


def test_ablation_says_what_earns_its_cost() -> None:
    result = improve(VOTE.replace("tune[1, 3, 9]", "5"), guesser, "ablate()")
    (note,) = [n for n in result.notes if n.startswith("the vote `main`")]
    earned = re.search(r"gains \+(\d\.\d+).* for 4 calls a row$", note)
    assert earned, note
    assert float(earned[1]) > 0.1


def test_what_does_not_pay_can_be_dropped() -> None:
    def sure(request: Any) -> list[str]:
        question = request.messages[-1]["content"]
        right = lucky(question, 0, 0.6)
        return [COLOURS[colour_of(question)] if right else "WRONG" for _ in samples(request)]

    text = VOTE.replace("tune[1, 3, 9]", "5")
    kept = improve(text, sure, "ablate()")
    assert not kept.improved
    assert any("ablate(drop=true)" in note for note in kept.notes)
    dropped = improve(text, sure, "ablate(drop=true)")
    assert dropped.artifact.parameters.shortcuts == {"main": "guess"}
    assert dropped.test is not None
    assert dropped.test.after.calls == 1


def test_demonstrations_are_left_out_one_by_one() -> None:
    result = improve(MANY, team, "bootstrap(demos=2, candidates=4) >> ablate()")
    assert any("demonstration 1 of" in note for note in result.notes)
    assert any("the refine `fixed` gains" in note for note in result.notes)


LAYOUTS = '''
generate main(text: str) -> "A" | "B" { """The label.""" layout: tune["chat", "json", "xml"] }
'''


def follows_tags(request: Any) -> list[str]:
    """Answers right between tags only."""
    asked, text = request.messages[0]["content"], request.messages[-1]["content"]
    right = "A" if " 1" in text else "B"
    value = right if "between its tags" in asked else "B"
    form = {"json": '{{"result": "{}"}}', "xml": "<result>{}</result>", "chat": "{}"}
    layout = "xml" if "its tags" in asked else "json" if "JSON object" in asked else "chat"
    return [form[layout].format(value)] * len(samples(request))


def test_the_layout_is_a_choice_that_the_artifact_keeps() -> None:
    rows = [{"text": f"row {i % 2}-{i}", "label": "AB"[1 - i % 2]} for i in range(160)]
    result = improve(LAYOUTS, follows_tags, "tune()", data=rows)
    assert result.artifact.parameters.choices == {"main.layout": "xml"}
    result.artifact.write(Path("it.lmpc"))
    with lmc.load("it.lmpc", backend=Scripted(follows_tags, name="tuned")) as program:
        assert str(program.main(text="row 1-0")) == "A"
