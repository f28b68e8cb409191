"""Dates and the like as members of unions, stores of unions, and sets that a model writes."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.measure.rows import load_rows
from lmc.models.scripted import Scripted
from lmc.types import DATE, DECIMAL, Field, RecordType, UnionType

SOURCE = """
record Refund { kind: "refund"  order: str  due: date | "never" }
generate when(mail: str) -> date | int | Refund { LAYOUT }
generate paid(mail: str) -> (decimal | date | datetime)? { LAYOUT }
pipeline told(x: date | int | Refund) -> str {
  return match x { date => str(x.year), int => "number " + str(x), Refund => x.order }
}
pipeline sum(x: decimal | date | time) -> str {
  return match x { decimal => str(x + decimal("0.05")), date | time => "no " + str(x) }
}
pipeline same(x: (decimal | date)?) -> (decimal | date)? { return x }
pipeline made(n: int) -> date | int { return if n > 0 then date("2026-01-31") else n }
"""
DAY = dt.date(2026, 1, 31)


def load(tmp_path: Path, *answers: str, layout: str = "chat", text: str = SOURCE) -> Any:
    (tmp_path / "p.lmp").write_text(text.replace("LAYOUT", f'"Read." layout: "{layout}"'))
    left = list(answers)
    said = Scripted(lambda request: left.pop(0) if len(left) > 1 else left[0])
    program = lmc.load(tmp_path / "p.lmp", cache=False, backend=said)
    assert graph_from_json(graph_to_json(program.graph)) == program.graph
    return program


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("2026-01-31", DAY),
        ('"2026-01-31"', DAY),
        ("31", 31),
        ("2026", 2026),
        ('{"kind": "refund", "order": "A", "due": "2026-01-31"}', ("A", DAY)),
        ('{"kind": "refund", "order": "A", "due": "never"}', ("A", "never")),
        ('{"kind": "refund", "order": "A", "due": "Never"}', ("A", "never")),
    ],
)
@pytest.mark.parametrize("layout", ["chat", "xml", "json"])
def test_a_form_tells_the_member(tmp_path: Path, layout: str, answer: str, value: Any) -> None:
    whole = answer if layout != "json" else f'{{"result": {_quoted(answer)}}}'
    found = load(tmp_path, whole, layout=layout).when("?")
    assert (found if not hasattr(found, "order") else (found.order, found.due)) == value


def _quoted(answer: str) -> str:
    return f'"{answer}"' if answer.count("-") == 2 and answer[0].isdigit() else answer


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("12.50", Decimal("12.5")),
        ("12345678901234567890.12", Decimal("12345678901234567890.12")),
        ("2026-01-31", DAY),
        ("2026-01-31T10:00", dt.datetime(2026, 1, 31, 10)),
        ("none", None),
    ],
)
def test_decimals_and_moments(tmp_path: Path, answer: str, value: Any) -> None:
    found = load(tmp_path, answer).paid("?")
    assert (found, type(found)) == (value, type(value))


def test_what_fits_no_member_is_asked_again(tmp_path: Path) -> None:
    assert load(tmp_path, "soon", "2026-01-31").when("?") == DAY
    with pytest.raises(LmcError, match="soon"):
        load(tmp_path, "soon").when("?")


def test_match_and_values_of_python(tmp_path: Path) -> None:
    program = load(tmp_path, "-")
    assert program.told(DAY) == program.told("2026-01-31") == "2026"
    assert program.told(7) == "number 7"
    assert program.told({"kind": "refund", "order": "A", "due": DAY}) == "A"
    assert program.sum(Decimal("1.20")) == program.sum("1.2") == program.sum(1.2) == "1.25"
    assert program.sum(dt.time(14, 30)) == "no 14:30:00"
    assert program.same(Decimal("1.50")) == Decimal("1.5")
    assert (program.same(DAY), program.same(None)) == (DAY, None)
    assert (program.made(1), program.made(-1)) == (DAY, -1)
    with pytest.raises(LmcError, match="must be"):
        program.told("soon")


def test_the_prompt_shows_the_forms(tmp_path: Path) -> None:
    system = load(tmp_path, "-").when.prompt("?")[0]["content"]
    assert "YYYY-MM-DD" in system
    assert "integer" in system


def test_rows_have_their_members(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n2026-01-31\n1.10\n")
    row = RecordType("Row", (Field("x", UnionType((DECIMAL, DATE))),))
    rows = load_rows(tmp_path / "rows.csv", row)
    assert [one.values["x"] for one in rows] == ["2026-01-31", "1.1"]


STORE = """
record Fact { kind: "fact" = "fact"  about: str  text: str }
record Todo { kind: "todo" = "todo"  about: str  due: date? = none }
store notes: Fact | Todo { key: .about  keep: 3 }
pipeline learn(about: str, text: str) -> str {
  keep Fact(about=about, text=text) in notes
  return text
}
pipeline plan(about: str, due: date) -> int {
  keep Todo(about=about, due=due) in notes
  return len(notes)
}
pipeline all() -> list[str] {
  return [match n { Fact => n.text, Todo => str(n.due ?? date("2000-01-01")) } for n in notes]
}
pipeline of(about: str) -> (Fact | Todo)? { return notes[about] }
pipeline near(q: str) -> list[str] { return [n.about for n in find(notes, q, 1)] }
"""


def test_a_store_keeps_records_of_a_union(tmp_path: Path) -> None:
    program = load(tmp_path, "-", text=STORE)
    assert program.learn("cats", "they sleep") == "they sleep"
    assert program.plan("taxes", DAY) == 1
    again = load(tmp_path, "-", text=STORE)
    assert again.all() == ["they sleep", "2026-01-31"]
    assert (again.of("taxes").due, again.of("dogs")) == (DAY, None)
    assert again.near("the taxes of cats")[0] in ("taxes", "cats")
    again.plan("cats", DAY)  # in the place of the fact about cats
    assert again.all() == ["2026-01-31", "2026-01-31"]
    with_field = STORE.replace("due: date? = none", "due: date? = none  late: bool = false")
    assert load(tmp_path, "-", text=with_field).all() == ["2026-01-31", "2026-01-31"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("Fact | Todo {", "Fact | int {"), "store-not-record"),
        (("key: .about", "key: .text"), "unknown-field"),
        (('= "todo"  about: str', '= "todo"  about: bool'), "no-common-type"),
    ],
)
def test_what_a_store_of_a_union_needs(tmp_path: Path, change: Any, code: str) -> None:
    with pytest.raises(LmcError) as caught:
        load(tmp_path, "-", text=STORE.replace(*change))
    assert code in {d.code for d in caught.value.diagnostics}


SETS = """
generate tags(x: str) -> list[str](2..3, unique) { LAYOUT }
tool given(x: str) -> list[int](unique) from "own:given"
"""


@pytest.mark.parametrize("layout", ["chat", "json"])
def test_a_set_that_a_model_writes(tmp_path: Path, layout: str) -> None:
    """To say an item again adds nothing; what is too few then is asked for again."""
    answers = ['["a", "a"]', '["a", "b", "a"]']
    if layout == "json":
        answers = [f'{{"result": {answer}}}' for answer in answers]
    program = load(tmp_path, *answers, layout=layout, text=SETS)
    found, run = program.tags.traced("x")
    assert found == ["a", "b"]
    assert run.calls[0].attempts == 2
    assert "at least 2" in run.calls[0].messages[-1]["content"]


def test_a_set_that_a_tool_gives_is_checked(tmp_path: Path) -> None:
    load(tmp_path, "-", text=SETS)
    program = lmc.load(tmp_path / "p.lmp", tools={"given": lambda x: [1, 2, 1]})
    with pytest.raises(LmcError, match="each item once"):
        program.given("x")
