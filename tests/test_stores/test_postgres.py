"""What several machines share: cache, traces and stores in PostgreSQL. Skipped where it is not."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmc.ir.graph import Store
from lmc.models.base import Answer
from lmc.requests.database_cache import DatabaseCache, open_cache
from lmc.requests.usage import Usage
from lmc.runtime.traces import CallTrace, Trace
from lmc.stores.database import StoreDatabase
from lmc.tasks.loop import run_sync
from lmc.traces.store import Filter, Run, TraceStore
from lmc.types import Field, RecordType, StrType


def _programs() -> Path | None:
    pytest.importorskip("psycopg")
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a server of this test, which root cannot run."""
    if (programs := _programs()) is None:
        pytest.skip("there is no PostgreSQL")
    user = None
    if os.geteuid() == 0:
        user = next(
            (p.pw_name for p in pwd.getpwall() if p.pw_name in ("postgres", "nobody")), None
        )
    with tempfile.TemporaryDirectory() as made, socket.socket() as free:
        folder = Path(made)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        if user is not None:
            shutil.chown(folder, user)
        data = str(folder / "data")

        def do(*command: str) -> None:
            told = subprocess.run(
                [str(programs / command[0]), *command[1:]],
                cwd=folder, user=user, capture_output=True, text=True,
            )  # fmt: skip
            assert told.returncode == 0, told.stderr

        do("initdb", "-D", data, "-A", "trust", "-U", "lmc", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -k {folder} -c fsync=off -c shared_buffers=16MB -h 127.0.0.1"
        log = str(folder / "log")
        do("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")
        try:
            yield f"postgresql+psycopg://lmc:a-password@127.0.0.1:{port}/postgres"
        finally:
            do("pg_ctl", "-D", data, "-m", "immediate", "stop")


STRANGE = ["plain", 'quoted "', "zwölf 🎉", "line\nbreak", "half \ud83d", "nul \x00"]


def test_answers_come_back(url: str) -> None:
    cache, other = open_cache(url), DatabaseCache(url)
    answers = {f"{i:064d}": Answer(text, 3, i, 0.5) for i, text in enumerate(STRANGE)}
    cache.write(answers)
    cache.write({"0" * 64: Answer("newer")})
    found = other.look_up([*answers, "nothing"])
    assert found == answers | {"0" * 64: Answer("newer")}
    assert all(answer.cached for answer in found.values())
    other.close()
    assert cache.stats().entries == len(STRANGE) and cache.stats().hits == len(STRANGE)
    assert "a-password" not in cache.shown + repr(cache.stats())
    assert cache.clear() == len(STRANGE) and cache.stats().entries == 0
    cache.close()


def test_several_write_at_once(url: str) -> None:
    def write(number: int) -> None:
        cache = DatabaseCache(url)
        for start in range(0, 200, 50):
            some = {f"{i:064d}": Answer(f"{i}") for i in range(start, start + 100)}
            cache.write(some if number % 2 else dict(reversed(some.items())))
        assert cache.problem is None
        cache.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    cache = DatabaseCache(url)
    assert cache.stats().entries == 250
    cache.clear()
    cache.close()


def test_a_run_goes_on_without_the_database(url: str) -> None:
    away = DatabaseCache(url.replace("127.0.0.1", "127.0.0.2"))

    async def ask() -> None:
        assert await away.find(["k"]) == {}
        await away.store({"k": Answer("kept for later")})

    run_sync(ask())
    assert away.problem is not None and away.problem.code == "cache-unusable"
    assert "a-password" not in away.problem.message
    away._engine = DatabaseCache(url)._engine  # it is back
    away.close()
    assert DatabaseCache(url).look_up(["k"]) == {"k": Answer("kept for later")}
    DatabaseCache(url).clear()


def _run(row: str, text: str = "hello") -> Run:
    messages = [{"role": "user", "content": text}]
    call = CallTrace((0, 1), None, "solve", "generate", {"q": text}, messages=messages, raw=[text])
    call.usage = Usage(1, 0, 10, 2, 0.25)
    place = "x" * 300  # longer than the columns of other databases
    trace = Trace([call])
    return Run("job", "p.lmp", "main", place, row, "digest", {"q": text}, trace, 0.5)


def test_traces_come_back(url: str) -> None:
    store = TraceStore(url)
    runs = [_run(f"{i}", text) for i, text in enumerate(STRANGE) if "\ud83d" not in text]
    store.add(runs, {"modules": {}})
    store.add(runs, {"modules": {}})  # again, as after a kill
    back = sorted(store.runs(Filter(job="job")), key=lambda run: run.row)
    assert back[:-1] == runs[:-1]
    assert back[-1].trace.calls[0].messages[0]["content"] == "nul ␀"
    (summary,) = store.jobs()
    assert (summary.runs, summary.calls, summary.tokens) == (5, 5, 60)
    assert isinstance(summary.tokens, int) and summary.cost_usd == 1.25
    assert "a-password" not in store.location
    assert store.remove("job") == 5 and not list(store.runs())
    store.close()


def test_several_add_the_same_texts_at_once(url: str) -> None:
    def add(number: int) -> None:
        store = TraceStore(url)
        for i in range(10):
            store.add([_run(f"{number}-{i}-{j}", f"text {j}") for j in range(5)], {"same": i})
        store.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))
    store = TraceStore(url)
    assert len(list(store.runs())) == 200
    store.remove("job")
    store.close()


def test_stores_are_there(url: str) -> None:
    record = RecordType("Note", (Field("text", StrType()),))
    notes = Store("notes", record, keep=3, key=None, embedder=None)
    database = StoreDatabase(url, shared=True)
    database.commit([(notes, {"text": f"{i}"}) for i in range(5)])
    (found,) = database.snapshots([notes]).values()
    assert [one["text"] for one in found.records] == ["2", "3", "4"]
    database.clear("notes")
    database.close()
