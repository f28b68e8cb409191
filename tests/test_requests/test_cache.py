import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from lmc.models.base import Answer, Request, Sampling
from lmc.requests.cache import IN_MEMORY, Cache, default_path, sample_keys

REQUEST = Request("m", ({"role": "user", "content": "hello"},), Sampling(temperature=0.5))
FULL = Answer("täxt\ud800", 3, 4, 0.25, "length", (-0.5, -1.25), 12.0)


def get(cache, key):
    return cache.look_up([key]).get(key)


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "responses.db")
    yield cache
    cache.close()


def test_answers_come_back_whole_and_marked(cache):
    cache.write({"k": FULL})
    found = get(cache, "k")
    assert found == FULL and found.cached and found.latency_ms == 12.0
    assert get(cache, "other") is None


def test_answers_outlive_the_object(cache, tmp_path):
    cache.write({"k": FULL})
    cache.close()
    again = Cache(tmp_path / "responses.db")
    assert get(again, "k") == FULL
    again.close()


def test_stats_and_clear(cache):
    for i in range(10):
        cache.write({str(i): FULL})
    get(cache, "1")
    cache.close()
    get(cache, "2")
    stats = cache.stats()
    assert (stats.entries, stats.hits) == (10, 2) and stats.bytes > 0
    assert cache.clear() == 10
    assert cache.stats().entries == cache.stats().hits == 0


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, model="n"),
        replace(REQUEST, messages=({"role": "user", "content": "hullo"},)),
        replace(REQUEST, messages=({"role": "system", "content": "hello"},)),
        replace(REQUEST, sampling=Sampling(temperature=0.6)),
        replace(REQUEST, sampling=Sampling(temperature=0.5, seed=1)),
        replace(REQUEST, sampling=Sampling(temperature=0.5, stop=("x",))),
        replace(REQUEST, schema={"type": "object"}),
        replace(REQUEST, grammar='start: "a"'),
        replace(REQUEST, adapter="a"),
        replace(REQUEST, index=1),
        replace(REQUEST, logprobs=True),
    ],
)
def test_all_that_can_change_the_answer_is_in_the_key(other):
    assert sample_keys("here", other) != sample_keys("here", REQUEST)


def test_keys():
    keys = sample_keys("here", replace(REQUEST, n=3))
    assert keys[2] == sample_keys("here", replace(REQUEST, index=2))[0]
    assert len(set(keys)) == 3
    assert sample_keys("there", REQUEST) != sample_keys("here", REQUEST)
    assert sample_keys("here", replace(REQUEST, timeout_s=1.0)) == sample_keys("here", REQUEST)
    zero = [replace(REQUEST, sampling=Sampling(temperature=t)) for t in (0, 0.0)]
    assert sample_keys("here", zero[0]) == sample_keys("here", zero[1])


async def test_questions_of_one_turn_share_a_query(cache, monkeypatch):
    for i in range(3):
        cache.write({str(i): FULL})
    queries = []
    rows = cache._rows
    monkeypatch.setattr(cache, "_rows", lambda *query: queries.append(query) or rows(*query))
    found = await asyncio.gather(cache.find(["0", "x", "1"]), cache.find(["1"]), cache.find(["y"]))
    assert [sorted(answers) for answers in found] == [[0, 2], [0], []]
    assert len(queries) == 1 and found[1][0] == FULL and found[1][0].cached


async def test_answers_stored_together_share_a_commit(cache):
    get(cache, "opens it")
    commits = []
    cache._db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    await asyncio.gather(*(cache.store({str(i): FULL}) for i in range(20)))
    assert len(commits) == 1 and cache.stats().entries == 20


async def test_cancelled_storing_leaves_the_others_alone(cache):
    tasks = [asyncio.create_task(cache.store({str(i): FULL})) for i in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert get(cache, "0") and get(cache, "2")


def test_folder_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "deep" / "er"))
    cache = Cache()
    cache.write({"k": FULL})
    cache.close()
    assert cache.path == default_path() == tmp_path / "deep" / "er" / "responses.db"
    assert cache.path.exists()


def test_damaged_file_is_moved_aside(tmp_path, caplog):
    path = tmp_path / "responses.db"
    path.write_bytes(b"this is no database " * 400)
    cache = Cache(path)
    cache.write({"k": FULL})
    assert get(cache, "k") == FULL and cache.problem is None
    cache.close()
    (aside,) = tmp_path.glob("responses.db.broken-*")
    assert aside.read_bytes().startswith(b"this is no") and "damaged" in caplog.text


def test_unwritable_place_costs_only_the_caching(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way of the folder")
    cache = Cache(tmp_path / "file" / "responses.db")
    cache.write({"k": FULL})
    assert get(cache, "k") is None and cache.stats().entries == 0
    assert cache.problem.code == "cache-unusable" and "not cached" in caplog.text


def test_file_that_breaks_while_in_use_costs_only_the_caching(cache):
    cache.write({"k": FULL})
    used = cache._db
    used.execute("DROP TABLE answers")
    assert get(cache, "k") is None and cache.problem is not None
    cache.write({"k": FULL})
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used.execute("SELECT 1")


def test_nothing_but_text_is_kept(cache, tmp_path):
    cache.write({"k": FULL})
    cache.close()
    db = sqlite3.connect(tmp_path / "responses.db")
    ((kind,),) = db.execute("SELECT DISTINCT typeof(answer) FROM answers").fetchall()
    db.close()
    assert kind == "text"


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from lmc.models.base import Answer
    from lmc.requests.cache import Cache
    cache, name = Cache(Path(sys.argv[1])), sys.argv[2]
    for i in range(int(sys.argv[3])):
        cache.write({f"{name}-{i}": Answer("x" * 300)})
        print(i, flush=True)
    cache.close()
""")


def writer(path, name, count):
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_every_answer_is_there_after_a_kill(cache):
    with writer(cache.path, "killed", 1_000_000) as process:
        done = [process.stdout.readline() for _ in range(200)]
        os.kill(process.pid, signal.SIGKILL)
        done += process.stdout.readlines()
    last = int(next(line for line in reversed(done) if line.endswith("\n")))
    assert last >= 199 and all(get(cache, f"killed-{i}") for i in range(last + 1))
    cache.write({"after": FULL})
    assert get(cache, "after") == FULL


def test_processes_write_side_by_side(cache):
    processes = [writer(cache.path, name, 150) for name in "ab"]
    for i in range(100):
        cache.write({f"own-{i}": FULL})
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert cache.stats().entries == 400


def test_a_cache_that_is_dropped_closes_its_file(tmp_path):
    cache = Cache(tmp_path / "c.db")
    cache.write({"key": Answer("text")})
    db = cache._db
    db.execute("SELECT 1")
    del cache
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_a_cache_in_memory_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = Cache(IN_MEMORY)
    cache.write({"key": Answer("text")})
    assert cache.look_up(["key"])["key"].text == "text"
    cache.close()
    assert list(tmp_path.iterdir()) == []
