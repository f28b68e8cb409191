"""Whole runs on a server of which seven in ten answers go wrong, and runs that are killed.

`lmc eval`, `batch` and `lmc compile` are compared with the same runs that nothing disturbs.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.faults import PROGRAM, ROOT, RUN, TRANSPORT, FaultyServer
from lmc.models.base import Request
from tests.test_optimizers.worlds import ONE, colour_rows, learner

CONCURRENCY = 4
COLOURS = """
model m {{
  name: "openai/m", base_url: "{url}", concurrency: {concurrency}, timeout: 5, temperature: 0.0
}}
default {{ model: m, cache: "{cache}" }}
"""
COMPILE = (
    "compile", "colours.lmp", "--metric", "accuracy", "--data", "rows.jsonl",
    "--optimizer", "bootstrap(candidates=4, rounds=1)", "--budget", "calls=4000",
)  # fmt: skip
EVALUATE = ("eval", "it.lmp", "--split", "all", "--json")
BATCH = """
import json, lmc
rows = [json.loads(line)["question"] for line in open("rows.jsonl")]
with lmc.load("it.lmp") as program:
    found = program.main.batch(rows, return_exceptions=True)
print(json.dumps([one if isinstance(one, str) else None for one in found]))
"""


def learning(payload: Mapping[str, Any]) -> str:
    """Right where a demonstration shows a thing of the same colour, else by luck."""
    return learner(Request("m", tuple(payload["messages"])))[0]


@contextmanager
def program_on(server: FaultyServer, rows: int, folder: Path | None = None) -> Iterator[Path]:
    """A folder with a program of one call and its rows."""
    with tempfile.TemporaryDirectory() as made:
        folder = folder or Path(made)
        lines = [json.dumps({"question": f"q{i}", "answer": str(i % 3)}) for i in range(rows)]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "it.lmp").write_text(PROGRAM.format(url=server.url))
        yield folder


def start(
    folder: Path, *arguments: str, code: str = RUN, stdout: IO[str] | int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """The command `lmc` in a process of its own, which keeps all its files in the folder."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "key-of-no-use"}
    env["LMC_CACHE_DIR"] = str(folder / "cache")
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, standard output and standard error."""
    out, err = process.communicate(timeout=1800)
    return process.returncode, out, err


# --- faults ---


@dataclass(frozen=True)
class Evaluated:
    """One `lmc eval`: its results by row, its figures, and what the server counted."""

    code: int
    told: str
    rows: Mapping[str, tuple[Any, ...]]  # by the id of the row: value, score, failure
    figures: Mapping[str, Any]
    requests: int
    charged: int
    seconds: float

    @property
    def lost(self) -> int:
        return sum(failed is not None for _, _, failed in self.rows.values())


def evaluate(
    faults: tuple[str, ...], rows: int, *options: str, latency_s: float = 0.0
) -> Evaluated:
    """Evaluate the program on a server with these faults."""
    with (
        FaultyServer(faults, latency_s=latency_s) as server,
        program_on(server, rows) as folder,
    ):
        start_s = time.perf_counter()
        code, out, err = finish(start(folder, *EVALUATE, *options))
        took_s = time.perf_counter() - start_s
        return Evaluated(
            code,
            err,
            results(folder / "it.results.jsonl"),
            json.loads(out) if code == 0 else {},
            len(server.payloads),
            server.charged,
            took_s,
        )


def results(path: Path) -> dict[str, tuple[Any, ...]]:
    """The rows of a file of results."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = map(json.loads, lines)
    return {row["id"]: (row["pred"], row["score"], row["failed"]) for row in rows}


def batch(faults: tuple[str, ...], rows: int) -> tuple[list[str | None], int]:
    """What `batch` returns from Python, None for a lost row; and the number of requests."""
    with FaultyServer(faults) as server, program_on(server, rows) as folder:
        _, out, err = finish(start(folder, code=BATCH))
        if not out:
            raise RuntimeError(err)
        return json.loads(out), len(server.payloads)


# --- kills ---


@dataclass(frozen=True)
class Killed:
    """What kills did to a run that was started again until it ended."""

    kills: int
    data: bytes
    twice: int  # requests that were made more than once


class Killing:
    """A compilation that is killed, on one server, so that the sources are the same each time."""

    def __init__(
        self, server: FaultyServer, rows: int, home: Path, concurrency: int = CONCURRENCY
    ) -> None:
        self.server, self.rows, self.home, self.concurrency = server, rows, home, concurrency
        self._made = 0

    def folder(self, cache: str = "off") -> Path:
        """A new folder with the program and its rows. Forgets what was asked before."""
        self._made += 1
        folder = self.home / f"{self._made}"
        folder.mkdir()
        head = COLOURS.format(url=self.server.url, concurrency=self.concurrency, cache=cache)
        (folder / "colours.lmp").write_text(head + ONE)
        lines = [json.dumps(row) + "\n" for row in colour_rows(self.rows)]
        (folder / "rows.jsonl").write_text("".join(lines))
        self.server.forget()
        return folder

    def run(self, moments_s: Sequence[float] = ()) -> Killed:
        """Kill the run after each of these times from its start, and start it again."""
        folder, kills = self.folder(), 0
        for moment_s in moments_s:
            process = start(folder, *COMPILE)
            try:
                process.communicate(timeout=moment_s)
                break  # it was faster
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
        code, _, err = finish(start(folder, *COMPILE))
        if code:
            raise RuntimeError(err)
        twice = sum(count - 1 for count in self.server.asked.values())
        return Killed(kills, (folder / "colours.lmpc").read_bytes(), twice)


def learnt(data: bytes) -> dict[str, Any]:
    """The contents of an artifact without its costs, which failed requests change."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    return parts | {"manifest.json": {k: v for k, v in manifest.items() if k not in COSTS}}


COSTS = ("calls", "tokens", "cost_usd", "parts")


# --- the tables ---


def print_faults(rows: int) -> None:
    print(f"`lmc eval` of {rows:,} rows; each of {', '.join(TRANSPORT)} takes 10 %")
    print("| faults | lost | other values | score | requests | calls + retries | s |")
    print("|---|---|---|---|---|---|---|")
    calm = evaluate((), rows)
    for name, found in (("none", calm), ("seven kinds", evaluate(TRANSPORT, rows))):
        other = sum(found.rows[key][0] != value for key, (value, *_) in calm.rows.items())
        told = found.figures["calls"] + found.figures["retries"]
        print(
            f"| {name} | {found.lost} | {other} | {found.figures['score']:.4f} "
            f"| {found.requests:,} | {told:,} | {found.seconds:.0f} |",
            flush=True,
        )
    whole, _ = batch((), rows)
    faulty, requests = batch(TRANSPORT, rows)
    other = sum(a != b for a, b in zip(whole, faulty, strict=True))
    print(f"`batch`: {faulty.count(None)} lost, {other} other values, {requests:,} requests")


def print_budgets(rows: int) -> None:
    needed = evaluate(TRANSPORT, rows).charged
    print(f"`lmc eval` of {rows:,} rows, which needs {needed:,} calls with the faults")
    print("| budget | charged by the server | exit code | rows written |")
    print("|---|---|---|---|")
    for calls in (needed, needed - 1, needed // 2, needed // 10):
        found = evaluate(TRANSPORT, rows, "--budget", f"calls={calls}")
        print(f"| {calls:,} | {found.charged:,} | {found.code} | {len(found.rows):,} |", flush=True)


def print_kills(rows: int, kills: int) -> None:
    chance = random.Random(11)
    print(f"`lmc compile` of {rows} rows, {CONCURRENCY} requests at a time")
    for faults, name in (((), "no faults"), (TRANSPORT, "seven kinds of faults")):
        with (
            tempfile.TemporaryDirectory() as home,
            FaultyServer(faults, model=learning, latency_s=0.05) as server,
        ):
            killing = Killing(server, rows, Path(home))
            start_s = time.perf_counter()
            calm = killing.run()
            wall_s, requests = time.perf_counter() - start_s, len(server.payloads)
            once = [killing.run([chance.uniform(0, wall_s)]) for _ in range(kills)]
            often = killing.run([chance.uniform(0, wall_s) for _ in range(kills)])
        print(f"{name}: {wall_s:.1f} s and {requests:,} requests without a kill")
        same = sum(one.data == calm.data for one in once)
        alike = sum(learnt(one.data) == learnt(calm.data) for one in once)
        print(
            f"  {sum(one.kills for one in once)} runs killed once: the same bytes {same},"
            f" the same program {alike}"
        )
        if not faults:
            print(f"  made twice in a run: at most {max(one.twice for one in once)} requests")
        print(
            f"  one run killed {often.kills} times: the same bytes {often.data == calm.data},"
            f" the same program {learnt(often.data) == learnt(calm.data)}",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--kills", type=int, default=20)
    given = options.parse_args()
    print_faults(given.rows)
    print_budgets(given.rows // 10)
    print_kills(100, given.kills)


if __name__ == "__main__":
    main()
