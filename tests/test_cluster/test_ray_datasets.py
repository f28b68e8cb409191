"""Datasets of Ray Data, and folders of Parquet files, on a real cluster of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lmc.cli.main import main
from lmc.diagnostics import LmcError
from lmc.program.program import Program, load

pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
ON = "ray?workers=2&cpus=0.5&silence=30"
PROGRAM = """
model m { name: "scripted/script.json" }
default { model: m, cache: "off" }
generate main(question: str) -> "seven" | "other" { \"\"\"Answer.\"\"\" }
tool process(question: str) -> str from "processes:number" { pure: true }
tool act(question: str) -> str from "processes:number" { effect: true }
pipeline idle(word: str = "idle") -> str { return word }
pipeline where(question: str) -> str { return process(question) }
pipeline acting(question: str) -> str { return act(question) }
record Note { text: str }
store notes: Note { find: "words" }
pipeline looking(question: str) -> int { return len(find(notes, question, 3)) }
"""
TOOLS = """
import os, time
def number(question):
    time.sleep(0.01)
    return str(os.getpid())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("datasets")
    (made / "p.lmp").write_text(PROGRAM)
    (made / "processes.py").write_text(TOOLS)
    rules = [{"match": "7$", "answer": "seven"}, {"match": r"row \d*9\b", "answer": "nothing"}]
    (made / "script.json").write_text(json.dumps({"rules": rules, "default": "other"}))
    (made / "rows").mkdir()
    for part in range(3):
        numbers = range(1000 * part, 1000 * part + 1000)
        nested = [{"failed": n, "parts": [n]} for n in numbers]
        told = [f"row {n}" for n in numbers]
        table = pa.table({"id": list(numbers), "note": nested, "question": told})
        pq.write_table(table, made / "rows" / f"{part}.parquet", row_group_size=300)
    before = {name: os.environ.get(name) for name in ("LMC_CACHE_DIR", "RAY_ADDRESS")}
    os.environ["LMC_CACHE_DIR"] = str(made / "cache")
    os.environ.pop("RAY_ADDRESS", None)
    yield made
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def program(folder: Path) -> Iterator[Program]:
    with load(folder / "p.lmp", on=ON) as loaded:
        assert loaded.crew is not None  # before Ray Data starts a cluster of its own
        yield loaded


def results(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder).to_pylist()
    return sorted(found, key=lambda row: row["id"])


def batch(folder: Path, *arguments: str) -> Result:
    """The command, as its entry point runs it in a folder."""
    runner = CliRunner()
    with contextlib.chdir(folder), runner.isolation() as (out, err, _):
        with pytest.raises(SystemExit) as stop:
            main(["batch", *arguments])
        code, said = int(stop.value.code or 0), out.getvalue() + err.getvalue()
        return Result(runner, out.getvalue(), err.getvalue(), said, None, code, None)


def test_a_dataset_has_the_results_of_one_process(program: Program, folder: Path) -> None:
    import ray

    rows = ray.data.read_parquet(str(folder / "rows"))
    found = sorted(program.target("main").map_dataset(rows).take_all(), key=lambda r: r["id"])
    assert [row["id"] for row in found] == list(range(3000))
    assert {row["pred"] for row in found if row["id"] % 10 == 7} == {'"seven"'}
    assert {row["failed"] for row in found if row["id"] % 10 == 9} == {"model"}
    program_file = str(folder / "p.lmp")
    alone = batch(folder, program_file, "-d", "rows", "--target", "main", "-o", "alone.parquet")
    assert alone.exit_code == 0, alone.output
    same = ("pred", "failed", "error", "calls", "tokens", "cost_usd", "retries")
    expected = pq.read_table(folder / "alone.parquet").to_pylist()
    assert [[r[n] for n in same] for r in found] == [[r[n] for n in same] for r in expected]


def test_inputs_may_all_be_left_out(program: Program) -> None:
    import ray

    found = program.target("idle").map_dataset(ray.data.range(3)).take_all()
    assert sorted((row["id"], row["pred"]) for row in found) == [(n, '"idle"') for n in range(3)]


def test_rows_that_are_none_are_results(program: Program) -> None:
    import ray

    table = pa.table({"question": ["one 7", None, "two 7"], "note": [1, 2, 3]})
    found = program.target("main").map_dataset(ray.data.from_arrow(table)).take_all()
    assert [row["failed"] for row in found] == [None, "row", None]
    assert "question" in found[1]["error"] and found[1]["note"] == 2


def test_a_worker_that_dies_loses_nothing(program: Program, folder: Path) -> None:
    import ray

    where = program.target("where")
    rows = ray.data.read_parquet(str(folder / "rows"))
    processes = {json.loads(r["pred"]) for r in where.map_dataset(rows.limit(600)).take_all()}
    timer = threading.Timer(1.0, os.kill, (int(min(processes)), signal.SIGKILL))
    timer.start()
    found = where.map_dataset(rows).take_all()
    timer.join()
    assert len(found) == 3000 and not any(row["failed"] for row in found)
    assert program.crew is not None and program.crew.lost == 1


def test_what_cannot_be_mapped_says_so(program: Program, folder: Path) -> None:
    import ray

    rows = ray.data.from_arrow(pa.table({"question": ["q"]}))
    with pytest.raises(LmcError, match="reads stores"):
        program.target("looking").map_dataset(rows)
    taken = ray.data.from_arrow(pa.table({"question": ["q"], "error": ["mine"]}))
    with pytest.raises(LmcError, match="a column `error`"):
        program.target("main").map_dataset(taken).take_all()
    other: Any
    for other, told in ((ray.data.range(2), "no column `question`"), ([1], "not a dataset of Ray")):
        with pytest.raises((LmcError, ray.exceptions.RayTaskError), match=told):
            program.target("main").map_dataset(other).take_all()
    with load(folder / "p.lmp") as alone, pytest.raises(LmcError, match="need workers"):
        alone.target("main").map_dataset(rows)


def test_a_folder_of_results(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("p.lmp", "--target", "main", "-d", "rows", "-o", f"{out}/", "--on", ON)
    done = batch(folder, *asked)
    assert done.exit_code == 0, done.output
    assert "3,000 rows, 300 of them without a result" in done.output
    assert "3,300 calls" in done.output and "and 297 more failures" in done.output
    found = results(out)
    assert [row["id"] for row in found] == list(range(3000))
    assert {"question", "pred", "row_hash"} <= found[0].keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    again = batch(folder, *asked)
    assert again.exit_code == 1 and "files already" in again.output


@pytest.mark.usefixtures("program")  # its cluster has no CPU for four more
def test_a_folder_says_what_is_wrong_before_a_call(folder: Path, tmp_path: Path) -> None:
    out = f"{tmp_path}/out/"
    (tmp_path / "rows.jsonl").write_text('{"question": "q"}\n')
    pq.write_table(pa.table({"words": ["q"]}), tmp_path / "words.parquet")
    pq.write_table(pa.table({"question": ["q"]}).slice(1), tmp_path / "none.parquet")
    hashed = pa.table({"question": ["q"], "row_hash": [1]})
    pq.write_table(hashed, tmp_path / "hashed.parquet")
    twice = pa.Table.from_arrays([pa.array(["q"])] * 2, names=["question", "question"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    for arguments, told in (
        (("--target", "main", "-d", "rows"), "need workers"),
        (("--target", "main", "-d", str(tmp_path / "none.parquet"), "--on", ON), "has no rows"),
        (("--target", "main", "-d", str(tmp_path / "hashed.parquet"), "--on", ON), "`row_hash`"),
        (("--target", "main", "-d", str(tmp_path / "twice.parquet"), "--on", ON), "there twice"),
        (("--target", "main", "-d", str(tmp_path / "rows.jsonl"), "--on", ON), "Parquet"),
        (("--target", "main", "-d", str(tmp_path / "words.parquet"), "--on", ON), "no column"),
        (("--target", "main", "-d", "nothing.parquet", "--on", ON), "cannot read"),
        (("--target", "main", "--on", ON), "no data"),
        (("--target", "acting", "-d", "rows", "--on", ON, "--allow-effects"), "an effect"),
        (("--target", "main", "-d", "rows", "--on", "ray?workers=2&cpus=2.0"), "leave no CPU"),
    ):
        found = batch(folder, "p.lmp", "-o", out, *arguments)
        assert found.exit_code == 1 and told in found.output, found.output
        assert "Traceback" not in found.output and not (tmp_path / "out").exists()


def test_a_budget_stops_a_folder(folder: Path, tmp_path: Path) -> None:
    out = f"{tmp_path}/out/"
    asked = ("p.lmp", "--target", "main", "-d", "rows", "-o", out, "--on", ON)
    stopped = batch(folder, *asked, "--budget", "calls=700")
    assert stopped.exit_code == 1 and "budget" in stopped.output, stopped.output
    done = batch(folder, *asked)
    assert done.exit_code == 0 and len(results(tmp_path / "out")) == 3000, done.output


def test_a_killed_driver_goes_on(folder: Path, tmp_path: Path) -> None:
    """Rows that were written are not asked again."""
    numbers = range(40_000)
    table = pa.table({"id": list(numbers), "question": [f"row {n}" for n in numbers]})
    pq.write_table(table, tmp_path / "many.parquet", row_group_size=5_000)
    out = tmp_path / "out"
    asked = ("p.lmp", "--target", "main", "-d", str(tmp_path / "many.parquet"), "-o", f"{out}/",
             "--on", ON)  # fmt: skip
    command = [sys.executable, "-c", "from lmc.cli.main import main; main()", "batch", *asked]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    rows = tmp_path / "out.unfinished" / "rows"
    while not (rows.is_dir() and any(p.suffix == ".parquet" for p in rows.iterdir())):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    other = batch(folder, *asked, "--limit", "5")
    assert other.exit_code == 1 and "another batch" in other.output, other.output
    done = batch(folder, *asked)
    assert done.exit_code == 0, done.output
    assert [row["id"] for row in results(out)] == list(numbers)
    calls = int(done.output.split(" calls")[0].split()[-1].replace(",", ""))
    assert "40,000 rows" in done.output and calls < 40_000
