"""The trace store: what goes in comes out, whole, once, whoever else is at work."""

import gc
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lmc.diagnostics import LmcError
from lmc.requests.usage import Usage
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces.export import chat_lines, run_line
from lmc.traces.store import Filter, Run, TraceStore

ASKED = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "2 + 2"}]


def run(row: str = "1", score: float | None = 1.0, **more: object) -> Run:
    calls = [
        CallTrace(
            place=(0, i),
            parent="/0",
            module="solve",
            role="generate",
            inputs={"text": "2 + 2"},
            sample=i,
            outputs={"result": 4 + i},
            result=4 + i,
            model="lmc/tiny",
            messages=ASKED,
            raw=["what?", f"{4 + i}"],
            logprobs=(-0.5, -0.25) if i == 0 else None,
            attempts=2,
            usage=Usage(2, 1, 20, 4, 0.5),
            latency_ms=3.5,
            adapter="solve-1" if i else None,
        )
        for i in range(3)
    ]
    failed = CallTrace((1,), None, "judge", "critique", {}, error="no answer", infrastructure=True)
    detail = {"keys": ["4", None, "6"], "counts": {"4": 1, "6": 1}, "winner": 0}
    vote = RegionTrace((0,), None, "vote", "best", {"text": "2 + 2"}, 4, detail)
    trace = Trace([*calls, failed], [vote])
    fixed = {"values": {"text": "2 + 2", "answer": 4}, "trace": trace, "pred": 4, "score": score}
    return Run("job", "p.lmp", "main", "race", row, "abc", **{**fixed, **more})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    with closing(TraceStore(str(tmp_path / "deep" / "traces.db"))) as opened:
        yield opened


def test_what_goes_in_comes_out(store: TraceStore) -> None:
    whole = run(feedback="fine", training=True, sample=2, variant="temperature 0.7")
    store.add([whole], {"modules": {"solve": {}}})
    (back,) = store.runs()
    assert back == whole
    assert back.trace.calls[0].messages == ASKED
    assert back.trace.group_of(back.trace.calls[0]) == "/0"
    assert back.trace.group_of(back.trace.calls[3]) is None
    assert store.parameters("abc") == {"modules": {"solve": {}}}


def test_a_run_that_is_made_again_takes_the_place_of_the_first(store: TraceStore) -> None:
    store.add([run(score=0.0)], {})
    store.add([run(score=1.0)], {})
    assert [r.score for r in store.runs()] == [1.0]
    store.add([run(sample=1)], {})
    assert len(list(store.runs())) == 2


def test_filters_say_which(store: TraceStore) -> None:
    runs = [run(f"{i}", score=i / 4, created=float(i)) for i in range(5)]
    runs.append(run("9", None, failed="model", error="no", trace=Trace(), created=9.0))
    store.add(runs, {})
    rows = lambda **where: [r.row for r in store.runs(Filter(**where))]  # noqa: E731
    assert rows(min_score=0.75) == ["3", "4"]
    assert rows(max_score=0.25) == ["0", "1"]
    assert rows(failed=True) == ["9"]
    assert rows(module="judge", limit=2) == ["0", "1"]
    assert rows(module="other") == rows(job="x") == rows(target="x") == rows(training=True) == []
    assert rows(row="3", stage="race") == ["3"]
    assert rows(ids=[runs[2].id]) == ["2"]


def test_jobs_add_up_and_go(store: TraceStore) -> None:
    store.add([run("1"), run("2", 0.0)], {})
    store.add([replace(run(), job="other")], {})
    job = next(j for j in store.jobs() if j.job == "job")
    assert (job.runs, job.rows, job.mean_score) == (2, 2, 0.5)
    assert (job.calls, job.tokens, job.cost_usd) == (12, 144, 3.0)
    assert store.remove("job") == 2
    assert [j.job for j in store.jobs()] == ["other"]
    assert store.parameters("abc") == {}


def test_shared_texts_are_stored_once(store: TraceStore, tmp_path: Path) -> None:
    long = [{"role": "system", "content": "word " * 20_000}, ASKED[1]]
    trace = Trace([replace(c, messages=long) for c in run().trace.calls])
    store.add([run(f"{i}", trace=trace) for i in range(20)], {})
    store.close()
    assert sum(f.stat().st_size for f in (tmp_path / "deep").iterdir()) < 1_000_000


def test_processes_write_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.test_traces.test_store import run\n"
        "from lmc.traces.store import TraceStore\n"
        "store = TraceStore(sys.argv[2])\n"
        "for i in range(20): store.add([run(f'{sys.argv[3]}-{i}')], {'same': 1})\n"
    )
    root = str(Path(__file__).parents[2])
    work = [subprocess.Popen([sys.executable, "-c", code, root, str(path), name]) for name in "abc"]
    assert [p.wait() for p in work] == [0, 0, 0]
    assert len(list(TraceStore(str(path)).runs())) == 60


def test_what_cannot_be_opened_is_said_without_the_password(tmp_path: Path) -> None:
    for url in ("nosuch://me:secret@host/db", str(tmp_path)):
        with pytest.raises(LmcError) as failure:
            TraceStore(url).open()
        assert "secret" not in str(failure.value)
        assert failure.value.diagnostics[0].code in ("missing-extra", "cannot-read")


def test_lines_are_json_and_chats_end_with_the_answer() -> None:
    whole = run()
    line = json.loads(json.dumps(run_line(whole)))
    assert [c["id"] for c in line["calls"]] == ["/0/0", "/0/1", "/0/2", "/1"]
    assert line["calls"][0]["sample_group"] == "/0"
    assert line["regions"][0]["detail"]["winner"] == 0
    chats = list(chat_lines([whole], "solve"))
    assert chats == [{"messages": [*ASKED, {"role": "assistant", "content": "4"}]}]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("runs", "values", "{half"),
        ("runs", "pred", b"\xff"),
        ("calls", "messages", "[[1]]"),
        ("calls", "raw", "nothing"),
        ("calls", "place", "/0/x"),
        ("regions", "detail", "{"),
    ],
)
def test_a_damaged_run_costs_that_run(
    store: TraceStore, table: str, column: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    import sqlite3

    store.add([run(str(i)) for i in range(4)], {})
    broken = run("2").id
    with closing(sqlite3.connect(store.location.removeprefix("sqlite:///"))) as db, db:
        key = "id" if table == "runs" else "run"
        where = f"{key} = ? AND rowid = (SELECT min(rowid) FROM {table} WHERE {key} = ?)"
        db.execute(f'UPDATE {table} SET "{column}" = ? WHERE {where}', (value, broken, broken))
    db.close()
    assert [found.row for found in store.runs()] == ["0", "1", "3"]
    assert broken in caplog.text


def test_a_store_that_is_dropped_closes_its_database(tmp_path: Path) -> None:
    store = TraceStore(str(tmp_path / "traces.db")).open()
    pooled = store._engine.raw_connection()
    db: object = pooled.driver_connection
    assert isinstance(db, sqlite3.Connection)
    pooled.close()  # it goes back to the pool
    db.execute("SELECT 1")
    del store, pooled
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_calls_of_tools_are_stored_with_their_turns(tmp_path: Path) -> None:
    made = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        *ASKED,
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "a", "content": "5"},
    ]
    outputs = {"thought": "", "tool": "finish", "arguments": {}, "answer": 5, "calls": []}
    call = replace(run().trace.calls[0], role="act", messages=turns, outputs=outputs)
    told = replace(run(), trace=Trace([call], []))
    with closing(TraceStore(f"{tmp_path}/t.db")) as store:
        store.add([told], {})
        (found,) = store.runs()
    assert found.trace.calls[0].messages == turns
    (chat,) = chat_lines([found])
    (finish,) = chat["messages"][-1]["tool_calls"]
    assert finish["function"] == {"name": "finish", "arguments": '{"answer": 5}'}
