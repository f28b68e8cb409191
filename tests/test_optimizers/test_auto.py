"""What `auto` makes of programs, models and budgets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lmc
from bench.landscapes import PROGRAM, Landscape, reply, rows
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.result import CompileResult


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(text: str = PROGRAM, seed: int = 0, **options: Any) -> CompileResult:
    Path("it.lmp").write_text(text)
    backend = Scripted(reply(Landscape(seed)), name=f"landscape {seed}")
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
