"""Databases of stores: order, keys, bounds, other versions, strangers, crashes, processes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lmc.diagnostics import LmcError
from lmc.ir.graph import Store
from lmc.stores.database import StoreDatabase, _log_ahead
from lmc.types import STR, Field, IntType, OptionalType, RecordType

NOTE = RecordType("Note", (Field("task", STR), Field("how", STR)))


def store(record: RecordType = NOTE, key: str | None = "task", keep: int = 5) -> Store:
    return Store("notes", record, key, None, keep)


def note(task: str, how: str = "so") -> dict[str, str]:
    return {"task": task, "how": how}


def held(database: StoreDatabase, what: Store | None = None) -> list[Any]:
    return database.snapshots([what or store()])["notes"].records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inner" / "notes.db"


def add(database: StoreDatabase, *notes: Any, what: Store | None = None) -> None:
    database.commit([(what or store(), each) for each in notes])


def test_a_store_that_nobody_wrote_is_empty(path: Path) -> None:
    assert held(StoreDatabase(str(path))) == []


def test_records_stay_in_their_order_and_others_see_them(path: Path) -> None:
    first, second = StoreDatabase(str(path)), StoreDatabase(str(path))
    assert held(second) == []
    add(first, note("a"), note("b"))
    add(second, note("c"))
    assert held(first) == held(second) == [note("a"), note("b"), note("c")]


def test_a_record_replaces_the_one_with_its_key_and_is_the_newest(path: Path) -> None:
    database = StoreDatabase(str(path))
    add(database, note("a"), note("b"), note("a", "better"), note("a", "best"))
    assert held(database) == [note("b"), note("a", "best")]


def test_without_a_key_equal_records_stay(path: Path) -> None:
    database, what = StoreDatabase(str(path)), store(key=None)
    add(database, note("a"), note("a"), what=what)
    assert held(database, what) == [note("a"), note("a")]


def test_the_oldest_go_beyond_the_bound(path: Path) -> None:
    database = StoreDatabase(str(path))
    add(database, *(note(str(i)) for i in range(4)))
    add(database, note("0", "again"), *(note(str(i)) for i in range(4, 7)))
    assert [n["task"] for n in held(database)] == ["3", "0", "4", "5", "6"]


def test_a_smaller_bound_reads_the_newest(path: Path) -> None:
    database = StoreDatabase(str(path))
    add(database, *(note(str(i)) for i in range(5)))
    assert [n["task"] for n in held(database, store(keep=2))] == ["3", "4"]


def test_equal_contents_have_one_hash(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        database = StoreDatabase(str(tmp_path / name))
        if name == "b":
            add(database, note("a", "worse"))
        add(database, note("a"))
        digests.append(database.snapshots([store()])["notes"].digest)
    assert digests[0] == digests[1]


# --- other versions of the record ---


def test_fields_with_defaults_may_come_and_fields_may_go(path: Path) -> None:
    database = StoreDatabase(str(path))
    add(database, note("a"))
    newer = RecordType(
        "Note", (Field("task", STR), Field("uses", IntType(0, None), has_default=True, default=0))
    )
    assert held(database, store(newer)) == [{"task": "a", "uses": 0}]
    assert held(database) == [note("a")]  # reading changed nothing


def test_a_record_that_no_longer_fits_is_said(path: Path) -> None:
    database = StoreDatabase(str(path))
    add(database, note("a"), note("b"))
    newer = RecordType("Note", (*NOTE.fields, Field("uses", IntType())))
    with pytest.raises(LmcError) as failure:
        held(database, store(newer))
    assert failure.value.code == "store-misfit"
    assert "2 of 2 records" in str(failure.value)
    optional = RecordType("Note", (*NOTE.fields, Field("uses", OptionalType(IntType()))))
    assert held(database, store(optional)) == [
        note("a") | {"uses": None},
        note("b") | {"uses": None},
    ]


def test_what_does_not_fit_is_not_kept(path: Path) -> None:
    database = StoreDatabase(str(path))
    with pytest.raises(LmcError) as failure:
        add(database, note("a"), {"task": 3, "how": "x"})
    assert failure.value.code == "kept-misfit"
    assert held(database) == []


# --- files of strangers ---


def refused(path: Path) -> LmcError:
    with pytest.raises(LmcError) as failure:
        held(StoreDatabase(str(path)))
    return failure.value


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("do not lose me " * 100)
    assert refused(file).code == "store-unreadable"
    assert file.read_text() == "do not lose me " * 100


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "bank.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE accounts (id INTEGER)")
    error = refused(file)
    assert error.code == "store-unreadable"
    assert "accounts" in str(error)
    with closing(sqlite3.connect(file)) as db, db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


@pytest.mark.parametrize(
    "code",
    [
        "CREATE TRIGGER t AFTER INSERT ON lmc_records BEGIN DELETE FROM lmc_records; END",
        "CREATE VIEW lmc_views AS SELECT 1",
    ],
)
def test_a_database_with_code_in_it_is_refused(path: Path, code: str) -> None:
    first = StoreDatabase(str(path))
    add(first, note("a"))
    first.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(code)
    assert refused(path).code == "store-unreadable"


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, '{"task": 1}', "NaN", '{"task": NaN, "how": 1}']
)
def test_records_of_a_stranger_are_read_by_their_type(path: Path, text: str) -> None:
    first = StoreDatabase(str(path))
    add(first, note("a"))
    first.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE lmc_records SET value = ?", (text,))
    assert refused(path).code == "store-misfit"


def test_a_folder_or_a_pipe_is_no_store(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe").code == "store-unreadable"
    assert refused(tmp_path).code == "store-unreadable"


def test_a_newer_format_is_said(path: Path) -> None:
    first = StoreDatabase(str(path))
    add(first, note("a"))
    first.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE lmc_stores SET format = 99")
    assert "newer lmc" in str(refused(path))


def test_no_driver_and_no_place_are_said() -> None:
    for where, code in (("nosuch://host/db", "missing-extra"), ("://", "bad-url")):
        with pytest.raises(LmcError) as failure:
            held(StoreDatabase(where, shared=True))
        assert failure.value.code == code


# --- processes ---

WRITER = """
import sys
sys.path.insert(0, {tests!r})
from tests.test_stores.test_database import add, note, store
from lmc.stores.database import StoreDatabase, _log_ahead
database = StoreDatabase({path!r})
keep = store(key=None, keep=100_000)
print("ready", flush=True)
sys.stdin.readline()
for number in range({rounds}):
    add(database, *(note(f"{name} {{number}} {{i}}") for i in range({size})), what=keep)
    print(number, flush=True)
"""


@contextmanager
def writer(path: Path, name: str, rounds: int, size: int) -> Iterator[subprocess.Popen[str]]:
    root = str(Path(__file__).parents[2])
    code = WRITER.format(tests=root, path=str(path), name=name, rounds=rounds, size=size)
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_processes_lose_nothing_of_each_other(path: Path) -> None:
    with writer(path, "a", 8, 5) as one, writer(path, "b", 8, 5) as other:
        start(one)
        start(other)
        assert (one.wait(120), other.wait(120)) == (0, 0)
    found = [n["task"] for n in held(StoreDatabase(str(path)), store(key=None, keep=100_000))]
    assert len(found) == len(set(found)) == 80
    for name in ("a", "b"):  # each commit stays together, and in order
        own = [task for task in found if task.startswith(name)]
        assert own == [f"{name} {number} {i}" for number in range(8) for i in range(5)]
    for at in range(0, 80, 5):
        assert len({task.rpartition(" ")[0] for task in found[at : at + 5]}) == 1


def test_a_killed_writer_leaves_whole_commits(path: Path) -> None:
    size = 20
    for kill_after in (0, 1, 4):
        with writer(path, f"k{kill_after}", 1000, size) as process:
            start(process)
            assert process.stdout is not None
            for _ in range(kill_after):
                process.stdout.readline()
            process.kill()
        found = [n["task"] for n in held(StoreDatabase(str(path)), store(key=None, keep=100_000))]
        own = [task for task in found if task.startswith(f"k{kill_after} ")]
        assert len(own) % size == 0
        assert len(own) >= kill_after * size
    add(StoreDatabase(str(path)), note("after"), what=store(key=None, keep=100_000))


def test_only_a_lock_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk stays full: opening a store there took a minute."""
    tries: list[str] = []

    class Full:
        def execute(self, statement: str) -> None:
            tries.append(statement)
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("lmc.stores.database.BUSY_S", 0.05)
    with pytest.raises(sqlite3.OperationalError):
        _log_ahead(Full())
    assert len(tries) == 1


def test_a_name_with_full_in_it_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "fulltext").write_text("a file, where a folder is needed")
    assert refused(tmp_path / "fulltext" / "notes.db").diagnostics[0].help is None


READ = """
import os, sys
from pathlib import Path
from lmc.ir.graph import Store
from lmc.stores.database import StoreDatabase
from lmc.diagnostics import LmcError
from tests.test_stores.test_database import note, store
path = Path(sys.argv[1])
unrelated = StoreDatabase("memory")  # everything is imported
unrelated.commit([(store(), note("x"))])
unrelated.snapshots([store()])
if os.geteuid() == 0:
    os.setuid(65534)
assert not os.access(path, os.W_OK)
database = StoreDatabase(str(path))
print([record["task"] for record in database.snapshots([store()])["notes"].records])
try:
    database.commit([(store(), note("c"))])
except LmcError as problem:
    print(problem.code, problem)
"""


@pytest.mark.skipif(os.name == "nt", reason="the rights of files are others there")
def test_a_store_that_may_only_be_read_is_read() -> None:
    folder = Path(tempfile.mkdtemp())  # where other users may go
    try:
        _reads_only(folder / "notes.db")
    finally:
        shutil.rmtree(folder)


def _reads_only(path: Path) -> None:
    database = StoreDatabase(str(path))
    database.commit([(store(), note("a")), (store(), note("b"))])
    database.close()
    before = path.read_bytes()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        asked = [sys.executable, "-c", READ, str(path)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    finally:
        path.parent.chmod(0o755)
    assert done.stdout.startswith("['a', 'b']\ncannot-write"), done.stdout + done.stderr
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]
