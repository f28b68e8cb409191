"""What `auto` makes of programs, models and budgets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lmc
from bench.landscapes import PROGRAM, Landscape, reply, rows
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.result import CompileResult
from tests.test_optimizers.doubles import stored


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(text: str = PROGRAM, answer: Any = None, **options: Any) -> CompileResult:
    Path("it.lmp").write_text(text)
    backend = Scripted(answer or reply(Landscape(0)), name="landscape 0")
    return lmc.compile(
        "it.lmp", data=rows(200), metric="accuracy", backend=backend, cache=False, **options
    )


def plan_of(result: CompileResult) -> str:
    (note,) = [n for n in result.notes if n.startswith("auto: ")]
    return note


def test_it_is_what_runs_when_nothing_is_said() -> None:
    result = improve()
    assert result.improved
    assert result.test is not None
    assert result.test.difference.mean > 0.3
    assert "bootstrap(" in plan_of(result)
    assert "reflect(" in plan_of(result)


def test_choices_are_tuned_and_what_is_frozen_is_not_rewritten() -> None:
    text = PROGRAM.replace('"""Give', 'frozen """Give').replace(
        'text.""" }', 'text.""" temperature: tune[0.0, 0.7] }'
    )
    plan = plan_of(improve(text))
    assert "tune(" in plan
    assert "reflect(" not in plan


@pytest.mark.parametrize("calls", [1, 10, 100, 1000])
def test_the_budget_is_never_passed(calls: int) -> None:
    result = improve(budget={"calls": calls})
    assert result.used.calls <= calls
    if calls <= 10:
        assert not result.improved
        assert any("too small" in note for note in result.notes)


def test_a_small_model_that_is_here_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmc.optimizers import auto

    ran: list[str] = []
    for name in ("bootstrap", "lora", "reflect"):

        async def remember(start: Any, context: Any, *, name: str = name, **_: Any) -> Any:
            ran.append(name)
            return start

        monkeypatch.setattr(auto, name, replace(getattr(auto, name), function=remember))
    Path("it.lmp").write_text('generate main(text: str) -> str { """Label.""" max_tokens: 4 }')
    options: dict[str, Any] = {"metric": "accuracy", "model": "lmc/tiny", "cache": False}
    options["optimizer"] = "auto()"
    result = lmc.compile("it.lmp", data=rows(240), **options)
    assert ran == ["bootstrap", "lora"]
    assert "is too small to write instructions" in result.notes[0]
    assert auto.MANY_ROWS <= 120


@pytest.mark.parametrize("mixed", [True, False])
def test_samples_teach_where_labels_do_not_say_all(
    mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmc.optimizers import auto

    ran: list[str] = []
    for name in ("bootstrap", "lora", "DPO"):

        async def remember(start: Any, context: Any, *, name: str = name, **_: Any) -> Any:
            ran.append(name)
            return start

        monkeypatch.setattr(auto, name, replace(getattr(auto, name), function=remember))

    async def sampled(start: Any, context: Any, sampling: Any, some: Any) -> Any:
        scores = [float(i == 0 and mixed) for i in range(sampling.samples)]
        return [stored(row=row.id, score=s, sample=i) for row in some for i, s in enumerate(scores)]

    monkeypatch.setattr(auto, "sample_runs", sampled)
    text = 'generate main(text: str) -> str { """Label.""" reason: true max_tokens: 2 }'
    Path("it.lmp").write_text(text)
    options: dict[str, Any] = {"metric": "accuracy", "model": "lmc/tiny", "cache": False}
    result = lmc.compile("it.lmp", data=rows(160)[:160], optimizer="auto()", **options)
    assert ran == ["bootstrap", "lora", *(["DPO"] if mixed else [])]
    assert any("too few to learn" in note for note in result.notes) is not mixed


def test_a_model_that_writes_worse_instructions_does_not_reflect() -> None:
    landscape = Landscape(0)
    worst = [word for word, weight in landscape.weights.items() if weight < 0]
    ordinary = reply(landscape)

    def answer(request: Any) -> list[str]:
        asked = "instruction alone" in request.messages[0]["content"]
        return [f"Mind: {', '.join(worst)}."] * request.n if asked else ordinary(request)

    result = improve(answer=answer, budget={"calls": 600})
    (note,) = [n for n in result.notes if "cannot write instructions" in n]
    assert "rewritten instructions scores" in note
    assert "on 8 rows, the current one" in note
    (_,) = [n for n in result.notes if "what is left of its share seeks demonstrations" in n]
    assert 300 < result.used.calls <= 600
    assert not any(n.startswith("reflect:") for n in result.notes)


def test_a_model_that_writes_no_instructions_does_not_reflect() -> None:
    ordinary = reply(Landscape(0))

    def answer(request: Any) -> list[str]:
        asked = "instruction alone" in request.messages[0]["content"]
        return [""] * request.n if asked else ordinary(request)

    result = improve(answer=answer)
    assert any("none of 3 answers is an instruction" in n for n in result.notes)


def test_reflection_without_any_success_ends_early() -> None:
    """Its instructions pass as harmless at first, and none is ever better than its parent."""
    ordinary, asked = reply(Landscape(0)), []

    def answer(request: Any) -> list[str]:
        if "instruction alone" not in request.messages[0]["content"]:
            return ordinary(request)
        asked.append(request)
        return [f"Give the label of the text, please ({len(asked)})."] * request.n

    result = improve(answer=answer, budget={"calls": 2000})
    (note,) = [n for n in result.notes if n.startswith("reflect: none of ")]
    assert note.endswith("rewritten instructions was better")
    assert 24 <= len(asked) <= 40


@pytest.mark.parametrize("kinds", [4, 6])
def test_the_nearest_are_shown_where_outputs_are_of_many_kinds(kinds: int) -> None:
    names = ["red", "blue", "green", "grey", "pink", "brown"][:kinds]
    table = [{"text": f"thing {i} is {names[i % kinds]}", "label": names[i % kinds].upper()}
             for i in range(240)]  # fmt: skip

    def answer(request: Any) -> list[str]:
        *turns, last = request.messages
        kind = last["content"].split()[-1]
        known = any(turn["content"].split()[-1] == kind for turn in turns if turn["role"] == "user")
        return [kind.upper() if known else "?"] * request.n

    Path("it.lmp").write_text('generate main(text: str) -> str { frozen """Label.""" }')
    result = lmc.compile(
        "it.lmp", data=table, metric="accuracy", backend=Scripted(answer), cache=False,
        optimizer="auto()",
    )  # fmt: skip
    assert ("knn(" in plan_of(result)) is (kinds == 6)
    if kinds == 6:
        assert plan_of(result).startswith("auto: knn(demos=6")
        assert "6 kinds" in plan_of(result)
        assert f"pool={len(result.artifact.parameters.modules['main'].demos or ())}" in plan_of(
            result
        )
    assert result.test is not None
    assert result.test.after.mean == 1.0
