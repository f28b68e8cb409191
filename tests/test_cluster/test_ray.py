"""Workers that are processes of a real Ray cluster on this machine. Skipped where Ray is not."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmc
from lmc.program.program import load
from lmc.tasks.loop import run_sync

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
PROGRAM = """
model m { name: "scripted/script.json" }
default { model: m }
tool process(question: str) -> str from "processes:number" { pure: true }
generate answer(question: str) -> str { \"\"\"Answer.\"\"\" }
pipeline main(question: str) -> str {
  let place = process(question)
  return answer(question)
}
pipeline where(question: str) -> str { return process(question) }
"""
TOOLS = """
import os, time
def number(question):
    time.sleep(0.01)
    return str(os.getpid())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("ray")
    (made / "p.lmp").write_text(PROGRAM)
    (made / "processes.py").write_text(TOOLS)
    rules = [{"match": f"{i}$", "answer": f"answer {i}"} for i in range(9)]
    (made / "script.json").write_text(json.dumps({"rules": rules, "default": "none"}))
    rows = [json.dumps({"question": f"q{i}", "answer": f"answer {i % 10}"}) for i in range(200)]
    (made / "rows.jsonl").write_text("\n".join(rows) + "\n")
    before = {name: os.environ.get(name) for name in ("LMC_CACHE_DIR", "RAY_ADDRESS")}
    os.environ["LMC_CACHE_DIR"] = str(made / "cache")
    os.environ.pop("RAY_ADDRESS", None)
    yield made
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def test_results_and_kills(folder: Path) -> None:
    """One cluster for all, as it takes seconds to start."""
    rows = str(folder / "rows.jsonl")
    here = lmc.evaluate(folder / "p.lmp", rows, "accuracy", target="main", cache=False)
    with load(folder / "p.lmp", on="ray?workers=2&cpus=0.5&silence=30", cache=False) as program:
        assert program.crew is not None
        questions = [f"q{i}" for i in range(100)]
        processes = {int(found) for found in program["where"].batch(questions)}
        assert len(processes) <= 2 and os.getpid() not in processes
        there = lmc.evaluate(program, rows, "accuracy", target="main")
        assert [r.line() for r in there.results] == [r.line() for r in here.results]
        timer = threading.Timer(0.2, os.kill, (min(processes), signal.SIGKILL))
        timer.start()
        again = lmc.evaluate(program, rows, "accuracy", target="main")
        timer.join()
        assert [r.line() for r in again.results] == [r.line() for r in here.results]
        run_sync(program.crew.free_hand())
        found = {int(found) for found in program["where"].batch(questions)}
        assert min(processes) not in found and program.crew.lost == 1
