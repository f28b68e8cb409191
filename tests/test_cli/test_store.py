"""`lmc store`, and the options for state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli.test_commands import run

SOURCE = """
record Note { text: str }
store notes: Note { keep: 2 }
tool act(x: str) -> str from "acts:act" { effect: true }
pipeline learn(text: str) -> str { keep Note(text=text) in notes return text }
pipeline main(text: str) -> str { return act(text) }
metric same(gold: Row, pred: str) -> bool { return pred == gold.text }
record Row { text: str }
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "acts.py").write_text(
        "from pathlib import Path\n"
        "def act(x):\n    with Path(__file__).with_name('log').open('a') as log:\n"
        "        log.write(x)\n    return x\n"
    )
    (tmp_path / "p.lmp").write_text(SOURCE)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in "ab"))
    return str(tmp_path / "p.lmp")


def test_a_store_is_shown_and_cleared(file: str) -> None:
    for text in ("a", "b", "\x1b[31mc"):
        run("run", file, "-t", "learn", "--text", text)
    assert "notes: 2 records of at most 2" in run("store", "show", file).stdout
    shown = run("store", "show", file, "notes").stdout
    assert [json.loads(line)["text"] for line in shown.splitlines()] == ["b", "\x1b[31mc"]
    assert "2 records deleted" in run("store", "clear", file, "notes", "--yes").stdout
    assert run("store", "show", file, "notes").stdout == ""


def test_an_unknown_store_and_a_program_without_one(file: str, tmp_path: Path) -> None:
    assert "unknown-store" in run("store", "show", file, "note", code=1).stderr
    (tmp_path / "q.lmp").write_text("generate main(q: str) -> str\n")
    assert "no-stores" in run("store", "show", str(tmp_path / "q.lmp"), code=1).stderr


def test_stores_lie_where_the_user_says(file: str, tmp_path: Path) -> None:
    place = str(tmp_path / "other.db")
    run("run", file, "-t", "learn", "--text", "x", "--stores", place)
    assert run("store", "show", file, "notes").stdout == ""
    assert "x" in run("store", "show", file, "notes", "--stores", place).stdout


def test_effects_on_rows_need_the_flag(file: str, tmp_path: Path) -> None:
    rows = str(tmp_path / "rows.jsonl")
    asked = ("eval", file, "-d", rows, "--metric", "same", "-t", "main")
    assert "effects-not-allowed" in run(*asked, code=1).stderr
    assert not (tmp_path / "log").exists()
    run(*asked, "--allow-effects")
    assert sorted((tmp_path / "log").read_text()) == ["a", "b"]
