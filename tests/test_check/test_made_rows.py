"""Datasets whose rows a program makes: what they take, and where they may stand."""

from __future__ import annotations

import pytest

from lmc.check import check_program
from lmc.check.made_rows import Making
from lmc.source import Source

PROGRAM = '''
record Seed { word: str, size: int }
record Row { text: str, label: str }
generate invent(word: str, size: int = 3) -> list[Row] { """Invent.""" }
generate main(text: str) -> str { """Answer.""" }
pipeline valid(row: Row) -> bool { return len(row.text) > 2 }
dataset seeds: Seed { source: "seeds.jsonl" }
dataset mail: Row { source: "mail.jsonl" }
'''


def checked(dataset: str, more: str = "") -> tuple[object, list[tuple[str, str]]]:
    program, found = check_program(Source("t.lmp", f"{PROGRAM}{dataset}\n{more}"))
    return program, [(d.code, d.message) for d in found if d.severity == "error"]


def test_how_rows_are_made_is_known_by_qualified_names() -> None:
    program, found = checked(
        "dataset made: Row { from: invent(word, size=size), over: seeds, where: valid, n: 20 }"
    )
    assert found == []
    making = program.datasets["made"].settings["from"]  # type: ignore[attr-defined]
    inputs = {"word": "word", "size": "size"}
    assert making == Making("invent", inputs, "seeds", "valid", "row", 20)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('from: invent(word) over: seeds n: 2 source: "a.jsonl"', "so it has no `source`"),
        ("from: invent(word) over: seeds n: 2 split: {train: 1.0}", "so it has no `split`"),
        ("from: invent(words) over: seeds n: 2", "must be a field of `Seed`"),
        ("from: invent(size) over: seeds n: 2", "`word` of `invent` is `str`, not `int`"),
        ('from: invent("a") over: seeds n: 2', "must be a field of `Seed`"),
        ("from: main(word) over: seeds n: 2", "gives `str`, but the rows are `Row`"),
        ("from: invent over: seeds n: 2", "`from` must be a call"),
        ("from: invent(word) over: seeds where: main n: 2", "`where` must take a `Row`"),
        ("from: invent(word) over: again n: 2", "made of rows that a file has"),
        ('source: "a.jsonl" n: 2', "`n` is of rows that a program makes"),
    ],
)
def test_what_does_not_fit_is_said(settings: str, problem: str) -> None:
    again = "dataset again: Row { from: invent(word) over: seeds n: 2 }"
    _, found = checked(f"dataset made: Row {{ {settings} }}", again)
    assert [message for code, message in found if code == "bad-made-rows" and problem in message]


def test_the_number_of_rows_is_needed() -> None:
    _, found = checked("dataset made: Row { from: invent(word) over: seeds }")
    assert [code for code, _ in found] == ["missing-setting"]


@pytest.mark.parametrize("use", ["data: made", "data: mail guards: [made]"])
def test_made_rows_prove_nothing(use: str) -> None:
    made = "dataset made: Row { from: invent(word) over: seeds n: 2 }"
    _, found = checked(made, f"optimize main {{ {use} metric: accuracy }}")
    assert [code for code, _ in found] == ["bad-made-rows"]
