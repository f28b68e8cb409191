"""Damaged rows, locked files and full disks: what they cost, and that nothing else is lost."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Request
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.journal import JournaledPool, RunStore
from lmc.requests import cache as caches
from lmc.requests.cache import Cache

GOOD = Answer("good", 1, 1)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "responses.db"
    cache = Cache(path)
    cache.write(dict.fromkeys(("a", "b", "c"), GOOD))
    cache.close()
    return path


DAMAGE = [
    "not JSON",
    '["half", 1',
    "[]",
    "null",
    "7",
    '["too", "few"]',
    '[null, 1, 1, 0.0, "stop", null, 0.0, null]',
    '["x", 1, 1, 0.0, null, null, 0.0, null]',
    '["x", 1, 1, 0.0, "stop", ["y"], 0.0, null]',
    '["x", 1, 1, 0.0, "stop", null, "late", null]',
    b"\xff\xfe\x00",
    "[" * 5000,
    7,
]


@pytest.mark.parametrize("value", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_row_costs_that_row(path, value, caplog):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE answers SET answer = ? WHERE key = 'b'", (value,))
    db.close()
    cache = Cache(path)
    assert sorted(cache.look_up(["a", "b", "c"])) == ["a", "c"] and cache.problem is None
    cache.write({"b": GOOD})
    assert sorted(cache.look_up(["a", "b", "c"])) == ["a", "b", "c"]
    cache.close()


def test_text_that_is_no_utf8_costs_its_row(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE answers SET answer = CAST(x'ff41' AS TEXT) WHERE key = 'b'")
    db.close()
    cache = Cache(path)
    assert sorted(cache.look_up(["a", "b", "c"])) == ["a", "c"]
    cache.close()


async def test_a_locked_cache_stops_nothing_and_loses_nothing(path, monkeypatch):
    monkeypatch.setattr(caches, "_BUSY_TIMEOUT_S", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    cache = Cache(path)
    start_s = time.perf_counter()
    for i in range(20):
        await asyncio.wait_for(cache.find([f"k{i}"]), 20)
        await asyncio.wait_for(cache.store({f"k{i}": GOOD}), 20)
    assert (await cache.find(["k7"]))[0].text == "good" and cache.problem is None
    assert time.perf_counter() - start_s < 20
    other.close()
    cache.close()
    again = Cache(path)
    assert len(again.look_up([f"k{i}" for i in range(20)])) == 20
    again.close()


class Full:
    """A connection to a disk that is full for the moment."""

    def __init__(self, db):
        self.db, self.full = db, True

    def __enter__(self):
        return self.db.__enter__()

    def __exit__(self, *exc):
        return self.db.__exit__(*exc)

    def executemany(self, *args):
        if self.full:
            problem = sqlite3.OperationalError("database or disk is full")
            problem.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise problem
        return self.db.executemany(*args)

    def __getattr__(self, name):
        return getattr(self.db, name)


def fill(store):
    store.look_up(["a"])
    store._db = Full(store._db)
    return store._db


async def test_a_full_disk_costs_the_cache_only(path):
    cache = Cache(path)
    fill(cache)
    await cache.store({"d": GOOD})
    assert cache.problem is not None and "disk is full" in cache.problem.message
    cache.close()


async def test_a_full_disk_stops_a_run_and_its_answers_are_written_when_there_is_room(path):
    store = RunStore(path)
    disk = fill(store)
    with pytest.raises(LmcError, match="disk is full") as failure:
        await store.store({"d": GOOD})
    assert failure.value.code == "cannot-write" and failure.value.diagnostics[0].help
    disk.full, store._db = False, disk
    store.close()
    again = RunStore(path)
    assert sorted(again.look_up(["a", "d"])) == ["a", "d"]
    again.close()


async def test_nothing_more_is_sent_after_an_answer_of_a_run_could_not_be_stored(path):
    at_once, asked = 2, []

    class Slow(Scripted):
        async def generate(self, request):
            asked.append(request)
            await asyncio.sleep(0.01)
            return await super().generate(request)

    store = RunStore(path)
    fill(store)
    pool = JournaledPool(
        {"m": {"name": "openai/m", "concurrency": at_once}},
        cache=store,
        backends={"m": Slow(lambda request: "good", name="kept")},
    )
    requests = [Request("", ({"role": "user", "content": f"{i}"},)) for i in range(30)]
    answers = await asyncio.gather(
        *(pool.ask("m", request) for request in requests), return_exceptions=True
    )
    assert {answer.code for answer in answers} == {"cannot-write"}
    assert at_once <= len(asked) <= 2 * at_once
    store._db = None
    await pool.close()


def test_a_cache_that_cannot_be_cleared_says_so(path):
    cache = Cache(path)
    cache.look_up(["a"])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE counters")
    db.close()
    with pytest.raises(LmcError, match="cannot clear"):
        cache.clear()
    cache.close()
