"""`lmc store`, and the options for state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lmc
from lmc.files import hold
from lmc.measure.evaluate import RowResult
from lmc.program.measuring import evaluate_into
from lmc.program.options import EvaluateOptions
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


KILLED = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
import acts
usual = acts.act
def act(x):
    if x == "c":
        while Path({journal!r}).read_bytes().count(b"\\n") < 3:  # until two rows are finished
            time.sleep(0.01)
        os.kill(os.getpid(), 9)
    return usual(x)
acts.act = act
from lmc.__main__ import main
sys.argv = ["lmc", *{arguments!r}]
main()
"""


def test_a_killed_evaluation_has_the_effects_of_finished_rows_once(
    file: str, tmp_path: Path
) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text("".join(json.dumps({"text": t}) + "\n" for t in "abc"))
    asked = ["eval", file, "-d", str(rows), "--metric", "same", "-t", "main", "--allow-effects"]
    asked += ["-o", str(out)]
    journal = str(tmp_path / ".out.jsonl.rows")
    told = KILLED.format(folder=str(tmp_path), arguments=asked, journal=journal)
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    before = (tmp_path / "log").read_text()
    assert before in ("ab", "ba") and not out.exists()
    for part in tmp_path.glob(".out.jsonl.*.part"):
        os.utime(part, (1, 1))
    run(*asked)
    assert (tmp_path / "log").read_text() == before + "c"
    assert [json.loads(line)["pred"] for line in out.read_text().splitlines()] == ["a", "b", "c"]
    assert not [*tmp_path.glob(".out*")]  # neither the journal nor what the killed one left
    run(*asked)  # a new evaluation
    assert sorted((tmp_path / "log").read_text()) == sorted("abcabc")


def test_a_journal_of_another_program_is_not_used(file: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = tmp_path / ".out.jsonl.rows"
    journal.write_text('0123\n{"id": "x"}\n')
    asked = ("eval", file, "-d", str(tmp_path / "rows.jsonl"), "--metric", "same", "-t", "main")
    run(*asked, "--allow-effects", "-o", str(out))
    assert sorted((tmp_path / "log").read_text()) == ["a", "b"] and not journal.exists()


@pytest.mark.parametrize(("model", "effects"), [("lmc/tiny", 2), ("lmc/other", 4)])
def test_a_journal_of_another_model_is_not_used(
    file: str, tmp_path: Path, model: str, effects: int
) -> None:
    out, log = tmp_path / "out.jsonl", tmp_path / "log"

    finished = []

    def told(result: RowResult) -> None:
        finished.append(result)
        if len(finished) == 2:  # a row that was under way would be run again
            raise KeyError("stopped")

    options = {"data": tmp_path / "rows.jsonl", "metric": "same", "target": "main", "effects": True}
    stopped = EvaluateOptions(progress=told, **options)
    with pytest.raises(KeyError, match="stopped"):
        evaluate_into(out, lmc.load(file, model="lmc/tiny"), lambda *_: None, stopped)
    evaluate_into(out, lmc.load(file, model=model), lambda *_: None, EvaluateOptions(**options))
    assert len(log.read_text()) == effects


@pytest.mark.skipif(os.name == "nt", reason="no locks of this kind")
def test_two_evaluations_do_not_share_a_journal(file: str, tmp_path: Path) -> None:
    with (tmp_path / ".out.jsonl.rows").open("a+b") as other:
        assert hold(other)
        asked = ("eval", file, "-d", str(tmp_path / "rows.jsonl"), "--metric", "same", "-t", "main")
        told = run(*asked, "--allow-effects", "-o", str(tmp_path / "out.jsonl"), code=1).stderr
    assert "another process measures into" in told and not (tmp_path / "log").exists()
