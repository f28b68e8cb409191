"""Tools of a program that Python calls, as it calls modules."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.program.program import attributes, lower_file
from lmc.values.stubs import stub_text

SOURCE = """
record Due { day: date, left: int(0..) = 0 }
tool due(day: date, days: int(1..9) = 1, from: str = "") -> Due from "own:due"
tool add(to: str) -> int from "own:Counter.add"
tool stop(why: str) -> str from "own:stop"
tool target() -> str from "own:target" { effect: true }
pipeline main(day: date) -> Due { return due(day) }
"""
OWN = """
import datetime as dt

def due(day, days, from_):
    return {"day": day + dt.timedelta(days), "left": -1 if from_ == "bad" else days}

class Counter:
    def __init__(self):
        self.n = 0
    def add(self, to):
        self.n += 1
        return self.n

def stop(why):
    raise ValueError(why)

def target():
    return "mine"
"""
DAY = dt.date(2026, 1, 31)


@pytest.fixture
def program(tmp_path: Path) -> Any:
    (tmp_path / "own.py").write_text(OWN)
    file = tmp_path / "tools.lmp"
    file.write_text(SOURCE)
    return lmc.load(file, cache=False)


def test_values_are_typed(program: Any) -> None:
    assert program.due(DAY).day == dt.date(2026, 2, 1)
    assert program.due("2026-01-31", days=2).left == 2
    assert program.due.batch([{"day": DAY, "days": 3}])[0].left == 3


async def test_a_tool_may_be_awaited(program: Any) -> None:
    assert (await program.due.acall(DAY, from_="x")).left == 1
    found, run = await program.due.atraced(DAY)
    assert (found.left, run.usage.calls, run.target) == (1, 0, "due")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda p: p.due("soon"), "invalid-input"),
        (lambda p: p.due(DAY, days=10), "invalid-input"),
        (lambda p: p.due(DAY, of=1), "unknown-input"),
        (lambda p: p.due(), "missing-input"),
        (lambda p: p.due(DAY, from_="bad"), "tool-failed"),
        (lambda p: p.stop("no"), "tool-failed"),
        (lambda p: p["deu"], "unknown-target"),
        (lambda p: p.due.prompt(DAY), "no-prompt"),
    ],
)
def test_the_checks_are_those_of_the_program(program: Any, call: Any, code: str) -> None:
    with pytest.raises(lmc.LmcError) as caught:
        call(program)
    assert caught.value.code == code


def test_each_call_is_a_run_with_objects_of_its_own(program: Any) -> None:
    assert [program.add("a"), program.add("b")] == [1, 1]


def test_a_name_that_the_class_has_taken(program: Any) -> None:
    assert program.target_() == "mine"
    assert {"due", "stop", "target_", "main"} <= {*dir(program)}
    assert repr(program.stop) == "<tool stop(why: str) -> str>"
    with pytest.raises(AttributeError, match="no module, pipeline or tool `deu`"):
        _ = program.deu


def test_a_function_of_the_loader_stands_in(program: Any) -> None:
    file = program.base_dir / "tools.lmp"
    assert lmc.load(file, tools={"stop": lambda why: why + "!"}).stop("hey") == "hey!"


def test_stubs_have_the_tools(program: Any) -> None:
    graph = lower_file(program.base_dir / "tools.lmp")
    text = stub_text(graph, "tools.lmp", "tools", attributes(program))
    assert "class _due_call:" in text
    assert "    target_: _target__call\n" in text
    calls = text[text.index("class _stop_call:") :].split("class ")[1]
    assert [line.split("(")[0].split()[-1] for line in calls.splitlines()[1:4]] == [
        "__call__", "acall", "traced",
    ]  # fmt: skip
    assert "stream" not in calls
