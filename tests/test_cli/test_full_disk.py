"""Whole runs of the command where a disk is full: what they say, keep, and pay for again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chaos import COMPILE, CONCURRENCY, Killing, finish, learning, start
from bench.faults import FaultyServer

ROWS = 80
# No file grows beyond so many bytes, and no database whose path has the word beyond so many pages.
FULL = """
import resource, sqlite3, sys
word, pages, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connect = sqlite3.connect
def small(path, *args, **options):
    db = connect(path, *args, **options)
    if word in str(path):
        db.execute(f"PRAGMA max_page_count = {pages}")
    return db
sqlite3.connect = sqlite3.dbapi2.connect = small
if size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
from lmc.cli.main import main
main(sys.argv[4:])
"""
ROOM = "free some disk space and give the same command again"
EVALUATE = ("eval", "colours.lmp", "--metric", "accuracy", "--data", "rows.jsonl", "--split", "all")


@pytest.fixture(scope="module")
def killing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killing]:
    with FaultyServer((), model=learning) as server:
        yield Killing(server, ROWS, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def whole(killing: Killing) -> tuple[bytes, int]:
    """The artifact of a run that has room, and its number of requests."""
    return killing.run().data, len(killing.server.payloads)


def on_full_disk(
    folder: Path, *arguments: str, word: str = "", pages: int = 0, size: int = 0
) -> tuple[int, str, str]:
    given = (word or "no such database", str(pages), str(size))
    return finish(start(folder, *given, *arguments, code=FULL))


@pytest.mark.parametrize(
    ("word", "pages", "size", "told"),
    [
        (".lmc/runs", 7, 0, "cannot store the answers of this run in"),
        ("traces.db", 40, 0, "cannot write the trace store"),
        ("", 0, 1, "cannot write .lmc/runs/"),
    ],
)
def test_a_compilation_stops_and_goes_on_when_there_is_room(
    killing: Killing, whole: tuple[bytes, int], word: str, pages: int, size: int, told: str
) -> None:
    folder = killing.folder()
    code, _, err = on_full_disk(folder, *COMPILE, word=word, pages=pages, size=size)
    assert code == 1
    assert err.startswith("error[cannot-write]: " + told)
    assert ROOM in err
    paid = len(killing.server.payloads)
    assert finish(start(folder, *COMPILE))[0] == 0
    data, requests = whole
    assert (folder / "colours.lmpc").read_bytes() == data
    again = len(killing.server.payloads) - requests
    assert again <= min(paid, 2 * CONCURRENCY)  # under way when the disk was full


def test_a_full_disk_of_the_cache_stops_nothing(killing: Killing, whole: tuple[bytes, int]) -> None:
    folder = killing.folder(cache="disk")
    code, _, err = on_full_disk(folder, *COMPILE, word="cache/", pages=7)
    assert code == 0
    assert "answers are not cached" in err
    assert len(killing.server.payloads) == whole[1]
    code, out, err = on_full_disk(folder, *EVALUATE, word="cache/", pages=7)
    assert code == 0
    assert f"{ROWS} scored" in out
    assert "answers are not cached" in err


def test_results_without_room_leave_the_older_ones_and_the_answers(killing: Killing) -> None:
    folder = killing.folder(cache="disk")
    results = folder / "colours.results.jsonl"
    results.write_text("older\n")
    code, _, err = on_full_disk(folder, *EVALUATE, word="cache", pages=10_000, size=2_000)
    assert (code, results.read_text()) == (1, "older\n")
    assert ROOM in err
    assert not list(folder.glob(".colours.results*"))
    code, _, err = finish(start(folder, *EVALUATE))
    assert code == 0
    assert len(results.read_text().splitlines()) == ROWS


def test_a_recording_without_room_has_whole_lines_and_goes_on(killing: Killing) -> None:
    folder = killing.folder()
    record = folder / "answers.jsonl"
    code, _, err = on_full_disk(folder, *EVALUATE, "--record", "answers.jsonl", size=5_000)
    assert code == 1
    assert err.startswith("error[cannot-write]: cannot write answers.jsonl: ")
    assert ROOM in err
    kept = len(record.read_text().splitlines())
    paid = len(killing.server.payloads)
    assert 0 < kept < ROWS
    assert record.read_text().endswith("\n")
    assert finish(start(folder, *EVALUATE, "--record", "answers.jsonl"))[0] == 0
    assert len(record.read_text().splitlines()) == ROWS
    assert len(killing.server.payloads) == paid + ROWS - kept


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device of a full disk")
def test_output_without_room_is_said(killing: Killing) -> None:
    folder = killing.folder()
    with Path("/dev/full").open("w") as full:
        code, _, err = finish(start(folder, "check", "colours.lmp", stdout=full))
    assert code == 1
    assert err.startswith("error[cannot-write]: cannot write the output: No space left")
    assert "bug" not in err
