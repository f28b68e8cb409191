"""Whole runs of the command while another process locks the cache, or with damaged rows on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chaos import COMPILE, Killing, finish, learning, results, start
from bench.faults import FaultyServer

ROWS = 80
EVALUATE = ("eval", "colours.lmp", "--metric", "accuracy", "--data", "rows.jsonl", "--split", "all")
GARBAGE = "CAST(x'ff41' AS TEXT)"  # is not UTF-8


@pytest.fixture(scope="module")
def killing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killing]:
    with FaultyServer((), model=learning) as server:
        yield Killing(server, ROWS, tmp_path_factory.mktemp("runs"))


def lmc(folder: Path, *arguments: str) -> str:
    """Standard error of a command that succeeds."""
    code, _, err = finish(start(folder, *arguments))
    assert code == 0, err
    return err


def change(file: Path, *statements: str) -> None:
    db = sqlite3.connect(file)
    with db:
        changed = [db.execute(statement).rowcount for statement in statements]
    db.close()
    assert changed == [1] * len(changed)


@pytest.mark.parametrize(
    ("command", "mode"),  # others can read, or not even that
    [(EVALUATE, "wal"), (COMPILE, "delete")],
    ids=["eval", "compile"],
)
def test_a_locked_cache_stops_nothing(
    killing: Killing, command: tuple[str, ...], mode: str
) -> None:
    folder = killing.folder(cache="disk")
    cache = folder / "cache" / "responses.db"
    cache.parent.mkdir()
    other = sqlite3.connect(cache, isolation_level=None)
    other.execute(f"PRAGMA journal_mode = {mode}")
    other.execute("CREATE TABLE something (it)")
    other.execute("BEGIN EXCLUSIVE")
    try:
        told = lmc(folder, *command)
    finally:
        other.close()
    assert "is in use by another program: caching pauses" in told
    assert set(killing.server.asked.values()) == {1}
    if command == EVALUATE:
        rows = results(folder / "colours.results.jsonl").values()
        assert len(rows) == ROWS
        assert not any(failed for _, _, failed in rows)
    else:
        assert (folder / "colours.lmpc").exists()


def test_a_damaged_row_of_the_cache_costs_one_request(killing: Killing) -> None:
    folder = killing.folder(cache="disk")
    lmc(folder, *EVALUATE)
    whole = results(folder / "colours.results.jsonl")
    one = "WHERE key = (SELECT min(key) FROM answers)"
    change(folder / "cache" / "responses.db", f"UPDATE answers SET answer = {GARBAGE} {one}")
    asked = len(killing.server.payloads)
    lmc(folder, *EVALUATE)
    assert results(folder / "colours.results.jsonl") == whole
    assert len(killing.server.payloads) == asked + 1


def test_damage_in_all_files_of_a_run_costs_one_request_and_no_byte(killing: Killing) -> None:
    folder = killing.folder()
    lmc(folder, *COMPILE, "--no-cache")
    artifact = (folder / "colours.lmpc").read_bytes()
    asked = len(killing.server.payloads)
    one = "WHERE key = (SELECT min(key) FROM answers)"
    (answers,) = (folder / ".lmc" / "runs").glob("*/responses.db")
    change(answers, f"UPDATE answers SET answer = {GARBAGE} {one}")
    change(
        folder / ".lmc" / "traces.db",
        f"UPDATE runs SET pred = {GARBAGE} WHERE id = (SELECT min(id) FROM runs)",
        "UPDATE runs SET \"values\" = 'no JSON' WHERE id = (SELECT max(id) FROM runs)",
    )
    (history,) = (folder / ".lmc" / "runs").glob("*/history.jsonl")
    history.write_text(history.read_text()[:-30])  # as a kill leaves it
    (answers.parent / "run.json").write_text("")
    code, listed, _ = finish(start(folder, "runs"))
    assert (code, "damaged" in listed) == (0, True)
    code, _, err = finish(start(folder, "report", str(answers.parent)))
    assert (code, "run.json is damaged" in err) == (1, True)
    shown = lmc(folder, "traces", "export", "-o", "traces.jsonl")
    assert shown.count("in the trace store is damaged") == 2
    lmc(folder, *COMPILE, "--no-cache")
    assert len(killing.server.payloads) == asked + 1
    assert (folder / "colours.lmpc").read_bytes() == artifact
