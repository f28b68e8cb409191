"""Runs on a local Ray cluster: scaling, faults, many rows, and how much the driver can bear.

`python bench/ray.py [scaling|engine|faults|rows|datasets|driver …]`. Ray has to be installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder has a file of the name `ray`
sys.path.insert(0, str(Path(__file__).parents[1]))
from lmc.cluster.crew import Crew
from lmc.models.base import Answer, Capabilities, Request
from lmc.models.registry import register
from lmc.program.program import load
from lmc.requests.usage import Usage
from lmc.runtime.traces import Trace
from lmc.tasks.loop import run_sync
from tests.loopback import Loopback

ROOT = Path(__file__).parents[1]
PARTS = ("scaling", "engine", "faults", "rows", "datasets", "driver")
EACH = 16  # requests in flight for each worker
LATENCY_S = 0.5
ECHO_S = 0.05  # of an answer of an echo
ECHO_CALLS = 6_000
_FRAME = struct.Struct("!II")  # a worker, and the bytes of a message
HTTP = """
model m {{ name: "openai/bench", base_url: "{url}", concurrency: {concurrency}, timeout: 60,
           retry: {{max: 5, backoff: 0.1}} }}
default {{ model: m, cache: "{cache}" }}
generate answer(question: str) -> str {{ \"\"\"Answer.\"\"\" }}
generate check(question: str, draft: str) -> str {{ \"\"\"Check.\"\"\" }}
pipeline main(question: str) -> str {{
  let draft = answer(question)
  return check(question, draft)
}}
"""
TOOL = """
tool burn(question: str) -> str from "burning:burn" { pure: true }
pipeline main(question: str) -> str { return burn(question) }
"""
BURN = """
import time
def burn(question: str) -> str:
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    return "done"
"""
TINY = """
default { model: "lmc/tiny", cache: "off" }
generate main(question: str) -> str(..60) { \"\"\"Answer in one word.\"\"\" }
"""
SCRIPTED = """
model m { name: "scripted/s.json" }
default { model: m, cache: "off" }
generate main(question: str) -> str { \"\"\"Answer.\"\"\" }
"""
# Times the rows once all workers are there, and have the program.
TIMED = """
import json, sys, time, asyncio, lmc
from lmc.tasks.loop import run_sync
on, rows, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with lmc.load("p.lmp", on=on or None, cache=False) as program:
    async def ready():
        while program.crew is not None and sum(h.up for h in program.crew.hands) < workers:
            await program.crew.free_hand()
            await asyncio.sleep(0.05)
    run_sync(ready())
    program.main.batch([{"question": f"warm {i}"} for i in range(workers * 4)])
    start_s, cpu_s = time.perf_counter(), time.process_time()
    found = program.main.batch([{"question": f"row {i}"} for i in range(rows)])
    print(json.dumps([time.perf_counter() - start_s, time.process_time() - cpu_s, len(found)]))
"""
HEAD = """
import sys
from ray.scripts.scripts import main
sys.argv = ["ray", "start", "--head", "--num-cpus=4", "--include-dashboard=false",
            "--object-store-memory=300000000", "--node-ip-address=127.0.0.1",
            "--block", "--disable-usage-stats",
            *sys.argv[1:]]
main()
"""
CLI = "from lmc.cli.main import main; main()"


def start(folder: Path, code: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """A driver in a process of its own, which keeps all its files in the folder."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path, "OPENAI_API_KEY": "key-of-no-use"} | more
    env |= {"LMC_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@contextmanager
def cluster() -> Iterator[int]:
    """A Ray cluster of this machine for all drivers of a benchmark. Gives its first process."""
    with tempfile.TemporaryDirectory() as made:
        # No token, as it is on this machine only.
        os.environ.update({"RAY_raylet_start_wait_time_s": "300", "RAY_AUTH_MODE": "disabled"})
        port = free_port()
        head = start(Path(made), HEAD, f"--port={port}")
        os.environ["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        try:
            assert head.stdout is not None
            for line in head.stdout:
                if "--block" in line:
                    break
            yield head.pid
        finally:
            head.terminate()
            head.wait(60)
            del os.environ["RAY_ADDRESS"]


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=1800)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {err[:3000]}\n…\n{err[-2000:]}")
    return out


def timed(folder: Path, on: str, rows: int, workers: int) -> tuple[float, float]:
    """Seconds by the clock and of the driver's processor."""
    wall_s, cpu_s, found = json.loads(finish(start(folder, TIMED, on, str(rows), str(workers))))
    assert found == rows
    return wall_s, cpu_s


def load_of_machine() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


# --- scaling ---


def scaling(counts: list[int]) -> None:
    print("| load | workers | rows | s | rows a second | efficiency | driver CPU s | machine |")
    print("|---|---|---|---|---|---|---|---|")
    with Loopback("42", latency_s=LATENCY_S) as server, tempfile.TemporaryDirectory() as made:
        folder, first = Path(made), 0.0
        for workers in counts:
            given = {"url": server.url, "concurrency": EACH * workers, "cache": "off"}
            (folder / "p.lmp").write_text(HTTP.format(**given))
            rows = 160 * workers
            wall_s, cpu_s = timed(folder, f"ray?workers={workers}&cpus=0.1", rows, workers)
            rate = rows / wall_s
            first = first or rate / workers
            name = f"I/O: 2 calls of {LATENCY_S} s, {EACH} at a time for each worker"
            _row(name, workers, rows, wall_s, rate / workers / first, cpu_s)
    with tempfile.TemporaryDirectory() as made:
        folder, first = Path(made), 0.0
        (folder / "p.lmp").write_text(TOOL)
        (folder / "burning.py").write_text(BURN)
        for workers in counts:
            rows = 400
            wall_s, cpu_s = timed(folder, f"ray?workers={workers}&cpus=0.1", rows, workers)
            first = first or rows / wall_s
            _row(
                "CPU: 20 ms of Python",
                workers,
                rows,
                wall_s,
                rows / wall_s / workers / first,
                cpu_s,
            )


def engine(counts: list[int]) -> None:
    """The local engine, one for each worker with one thread."""
    with tempfile.TemporaryDirectory() as made:
        folder, first = Path(made), 0.0
        (folder / "p.lmp").write_text(TINY)
        for workers in counts:
            wall_s, cpu_s = timed(folder, f"ray?workers={workers}&cpus=1", 400, workers)
            first = first or 400 / wall_s
            share = 400 / wall_s / workers / first
            _row("lmc/tiny, one engine a worker", workers, 400, wall_s, share, cpu_s)


def _row(name: str, workers: int, rows: int, wall_s: float, share: float, cpu_s: float) -> None:
    told = f"| {name} | {workers} | {rows} | {wall_s:.1f} | {rows / wall_s:.1f} | {share:.2f} |"
    print(f"{told} {cpu_s:.2f} | {load_of_machine()} |", flush=True)


# --- faults ---


def actors(head: int) -> list[int]:
    """The processes of the workers of a cluster: the children of its children."""
    parents, found = {}, []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, IndexError, ValueError):
            if folder.name.isdigit():
                told = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(told[1])
                if (folder / "cmdline").read_bytes().startswith(b"ray::RayActor"):
                    found.append(int(folder.name))
    return sorted(one for one in found if head in _line(one, parents))


def _line(process: int, parents: Mapping[int, int]) -> list[int]:
    line = [process]
    while line[-1] in parents:
        line.append(parents[line[-1]])
    return line


class Faulty:
    """One program and its rows on a server that counts, run again and again."""

    def __init__(self, server: Loopback, home: Path, rows: int) -> None:
        self.server, self.home, self.rows, self._made = server, home, rows, 0

    def folder(self) -> Path:
        self._made += 1
        folder = self.home / f"{self._made}"
        folder.mkdir()
        given = {"url": self.server.url, "concurrency": 32, "cache": "on"}
        (folder / "p.lmp").write_text(HTTP.format(**given).replace('cache: "on"', "cache: true"))
        lines = [json.dumps({"question": f"row {i}", "answer": "42"}) for i in range(self.rows)]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
        self.server.payloads.clear()
        return folder

    def begin(self, folder: Path, on: str = "ray?workers=4&cpus=0.1&silence=6") -> Any:
        more = ["--on", on] if on else []
        return start(
            folder, CLI, "eval", "p.lmp", "-d", "rows.jsonl", "--metric", "accuracy", "--json",
            *more,
        )  # fmt: skip

    def wait(self, requests: int) -> None:
        while len(self.server.payloads) < requests:
            time.sleep(0.01)

    def told(self, name: str, folder: Path, out: str, calm: bytes, wall_s: float) -> None:
        asked = [json.dumps(payload, sort_keys=True) for payload in self.server.payloads]
        twice = len(asked) - len(set(asked))
        same = _plain(folder) == calm
        figures = json.loads(out)
        print(
            f"| {name} | {same} | {len(set(asked)):,} | {twice} | {figures['failed']} "
            f"| {wall_s:.0f} | {load_of_machine()} |",
            flush=True,
        )


def _plain(folder: Path) -> bytes:
    """The results without the seconds, which no two runs share, and without retries."""
    lines = map(json.loads, (folder / "p.results.jsonl").read_text().splitlines())
    dropped = ("seconds", "retries")
    kept = [{k: v for k, v in line.items() if k not in dropped} for line in lines]
    return "\n".join(map(json.dumps, kept)).encode()


def faults(head: int, rows: int, only: str) -> None:
    print(f"`lmc eval` of {rows:,} rows with two calls each, 32 in flight, 4 workers")
    print("| what happens | the same results | requests | made twice | rows lost | s | machine |")
    print("|---|---|---|---|---|---|---|")
    with Loopback("42", latency_s=0.2) as server, tempfile.TemporaryDirectory() as home:
        faulty = Faulty(server, Path(home), rows)
        folder = faulty.folder()
        start_s = time.perf_counter()
        out = finish(faulty.begin(folder, on=""))
        calm = _plain(folder)
        faulty.told("one process", folder, out, calm, time.perf_counter() - start_s)
        for name in ("nothing", "kill -9 of a worker, 5 times", "a worker is stopped (SIGSTOP)",
                     "kill -9 of the driver, then again"):  # fmt: skip
            if not name.startswith(only):
                continue
            folder = faulty.folder()
            start_s = time.perf_counter()
            process = faulty.begin(folder)
            if "worker" in name:
                for turn in range(5 if "kill" in name else 1):
                    faulty.wait((turn + 1) * rows // 4)
                    sent = signal.SIGKILL if "kill" in name else signal.SIGSTOP
                    while not (found := actors(head)):
                        time.sleep(0.1)
                    os.kill(found[turn % len(found)], sent)
            if "driver" in name:
                faulty.wait(rows // 2)
                left = actors(head)
                process.kill()
                process.communicate()
                left_s = time.perf_counter()
                while any(Path(f"/proc/{one}").exists() for one in left):
                    time.sleep(0.1)
                gone_s = time.perf_counter() - left_s
                process = faulty.begin(folder)
                name += f" (its workers were gone after {gone_s:.1f} s)"
            out = finish(process)
            faulty.told(name, folder, out, calm, time.perf_counter() - start_s)


# --- many rows ---


def rows_of_table(counts: list[int], out: str) -> None:
    """`lmc batch` from and to Parquet, with the memory of the driver as it goes.

    To a file, the driver reads and writes; to a folder, workers do.
    """
    import pyarrow.dataset as tables

    print(
        f"| rows, to {out} | s | rows a second | driver MiB at 10 %, 50 %, 90 % of the time |"
        " driver CPU s | machine |"
    )
    print("|---|---|---|---|---|---|")
    for rows in counts:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "p.lmp").write_text(SCRIPTED)
            script = {"rules": [{"match": "7", "answer": "seven"}], "default": "no"}
            (folder / "s.json").write_text(json.dumps(script))
            write_questions(folder / "in", rows)
            start_s, sizes = time.perf_counter(), []
            cpu_s = 0.0
            command = ("batch", "p.lmp", "-d", "in", "-o", out, "--on", "ray?workers=2&cpus=0.1")
            process = start(folder, CLI, *command)
            while process.poll() is None:
                with suppress(OSError, StopIteration, IndexError):
                    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    sizes.append(int(next(s for s in status if s.startswith("VmRSS")).split()[1]))
                    used = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                    cpu_s = (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
                time.sleep(0.5)
            finish(process)
            wall_s = time.perf_counter() - start_s
            assert tables.dataset(folder / out).count_rows() == rows
            at = [sizes[int(len(sizes) * share)] // 1024 for share in (0.1, 0.5, 0.9)]
            told = ", ".join(map(str, at))
            print(
                f"| {rows:,} | {wall_s:.0f} | {rows / wall_s:,.0f} | {told} | {cpu_s:.0f} |"
                f" {load_of_machine()} |",
                flush=True,
            )


def write_questions(folder: Path, rows: int) -> None:
    """Parquet files of at most a million rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    schema = pa.schema([("question", pa.string())])
    for first in range(0, rows, 1_000_000):
        with pq.ParquetWriter(folder / f"{first:08}.parquet", schema) as writer:
            for start_row in range(first, min(rows, first + 1_000_000), 10_000):
                some = range(start_row, min(rows, start_row + 10_000))
                writer.write_table(pa.table({"question": [f"row {i}" for i in some]}, schema))


# --- what the driver can bear ---


class Echo:
    """A worker that computes nothing: what it may send is answered after a wait."""

    def __init__(self, calls: int, linger_s: float) -> None:
        from lmc.cluster.link import Link

        self.said, self._calls, self._linger_s = asyncio.Event(), calls, linger_s
        self.link = Link(self._serve, self.said.set)

    async def _serve(self, kind: str, content: Any) -> Any:
        if kind == "generate":
            await asyncio.sleep(ECHO_S)
            return [Answer("42", 100, 5)], None
        id, run, _, inputs, sample, _, _ = content
        for number in range(self._calls):
            words = f"{number} {inputs['question']}"
            prompt = f"Answer the question in a word.\n{words}" + " more" * 100
            user = {"role": "user", "content": prompt}
            request = Request("m", ({"role": "system", "content": "Be brief."}, user), index=sample)
            (answer,) = await self.link.call("ask", (id, run, None, request, {}))
        return True, answer.text, Trace(brief=True)

    async def talk(self, number: int, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.said.wait()
            await asyncio.sleep(self._linger_s)
            self.said.clear()
            if message := self.link.take():
                writer.write(_FRAME.pack(number, len(message)) + message)


class LeasingEcho(Echo):
    """An `Echo` that sends within leases, with the accounts of a worker, and without its pool."""

    def __init__(self, calls: int, linger_s: float) -> None:
        super().__init__(calls, linger_s)
        self._budget: Any = None
        self._cache: Any = None
        self._runs = 0

    async def _serve(self, kind: str, content: Any) -> Any:
        from lmc.cluster.leased import DriversCache
        from lmc.requests.leases import LeasedBudget

        id, _, _, inputs, _, _, _ = content
        if self._cache is None:
            terms = pickle.loads(await self.link.call("blob", id.partition(":")[2]))["terms"]
            self._cache = DriversCache(self.link, id) if terms.kept else False
            ask = partial(self._lease, id)
            self._budget = terms.limits and LeasedBudget(terms.limits, ask, partial(self._tell, id))
        self._runs += 1
        for number in range(self._calls):
            answer = await self._answer(f"{number} {inputs['question']}".rjust(64))
        self._runs -= 1
        self._tell(id, all=not self._runs)
        return True, answer.text, Trace(brief=True)

    async def _answer(self, key: str) -> Answer:
        held = await self._budget.reserve(Usage(calls=1)) if self._budget else None
        if self._cache:
            with self._cache.claiming():
                await self._cache.find([key])
                await asyncio.sleep(ECHO_S)
                await self._cache.store({key: Answer("42", 100, 5)})
        else:
            await asyncio.sleep(ECHO_S)
        if held is not None:
            held.settle(Usage(1, 0, 100, 5))
        return Answer("42", 100, 5)

    async def _lease(self, id: str, *content: Any) -> Any:
        return await self.link.call("lease", (id, content))

    def _tell(self, id: str, *, all: bool = False) -> None:
        self.link.tell("used", (id, Usage(1, 0, 100, 5)))
        if self._budget and (news := self._budget.report(all=all)) is not None:
            self.link.tell("report", (id, tuple(news)))


class EchoHost:
    """All echoes, in a process of their own behind one socket."""

    def __init__(self, kind: str, calls: int, workers: int, folder: Path) -> None:
        self._path, self._queues = folder / "s", [asyncio.Queue[bytes]() for _ in range(workers)]
        self._command = [kind, str(calls), str(workers), str(self._path)]
        self.bytes = 0

    async def begin(self) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            here.set_result(writer)
            while True:
                number, size = _FRAME.unpack(await reader.readexactly(_FRAME.size))
                self.bytes += size
                self._queues[number].put_nowait(await reader.readexactly(size))

        here: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_unix_server(connected, self._path)
        command = [sys.executable, __file__, "echoes", "--echoes", *self._command]
        self._process = await asyncio.create_subprocess_exec(*command)
        self._writer = await here

    async def carrier(self) -> EchoCarrier:
        self._given = getattr(self, "_given", -1) + 1
        self._queues[self._given].put_nowait(b"")
        return EchoCarrier(self, self._given)

    async def send(self, number: int, message: bytes) -> None:
        self.bytes += len(message)
        self._writer.write(_FRAME.pack(number, len(message)) + message)

    async def close(self) -> None:
        self._process.kill()
        await self._process.wait()
        self._server.close()


class EchoCarrier:
    """The way to one echo."""

    def __init__(self, host: EchoHost, number: int) -> None:
        self._host, self._number = host, number

    async def send(self, message: bytes) -> None:
        await self._host.send(self._number, message)

    async def hear(self) -> bytes:
        return await self._host._queues[self._number].get()

    async def kill(self) -> None:
        pass


async def echoes(kind: str, calls: int, workers: int, path: str) -> None:
    """The process of the echoes."""
    reader, writer = await asyncio.open_unix_connection(path)
    made = LeasingEcho if kind == "lends" else Echo
    all = [made(calls, 0.0005 * (1 + workers)) for _ in range(workers)]
    talks = [asyncio.ensure_future(echo.talk(i, writer)) for i, echo in enumerate(all)]
    with suppress(asyncio.IncompleteReadError):
        while talks:
            number, size = _FRAME.unpack(await reader.readexactly(_FRAME.size))
            all[number].link.receive(await reader.readexactly(size))


class Named:
    """What the driver knows of the model: nothing is asked here."""

    price, endpoint = None, "echo:m"
    capabilities = Capabilities(seed=True)

    async def generate(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def driver(counts: list[int]) -> None:
    """Calls a second that one driver accounts for, with workers that cost nothing but pickling."""
    register("echo/", lambda name, settings: Named())
    print(
        "| workers | calls of a row | accounts | the driver | calls a second "
        "| ms of the driver a call "
        "| bytes a call |"
    )
    print("|---|---|---|---|---|---|---|")
    accounts = [("none", False, None), ("budget", False, 10**9), ("cache", True, None)]
    accounts.append(("cache and budget", True, 10**9))
    for workers in counts:
        for each in (1, 8):
            for name, kept, budget in accounts:
                for how in ("is asked", "lends"):
                    with tempfile.TemporaryDirectory() as made:
                        told = run_sync(_borne(Path(made), workers, each, kept, budget, how))
                    print(f"| {workers} | {each} | {name} | {how} | {told['rate']:,.0f} "
                          f"| {told['ms']:.3f} | {told['bytes']:,.0f} |", flush=True)  # fmt: skip


async def _borne(
    folder: Path, workers: int, each: int, kept: bool, budget: int | None, how: str
) -> Mapping[str, float]:
    from lmc.measure.evaluate import evaluate
    from lmc.measure.rows import Row
    from lmc.program.measuring import UNSCORED
    from lmc.requests.budget import Budget

    cache = "" if kept else ', cache: "off"'
    (folder / "p.lmp").write_text(
        'model m { name: "echo/m", concurrency: 1000000 }\n'
        f"default {{ model: m{cache} }}\n"
        'generate main(question: str) -> str { """Answer.""" }\n'
    )
    host = EchoHost(how, each, workers, folder)
    await host.begin()
    crew = Crew(host.carrier, workers)
    program = load(folder / "p.lmp", cache=str(folder / "c.db") if kept else False)
    program.__dict__["crew"] = crew
    pool = program.open_pool(budget=Budget(budget) if budget else None)
    executor = program.open_executor(pool)
    most = max(ECHO_CALLS, 4 * each * workers)
    calls = most // each * each
    rows = [Row(f"{i}", {"question": f"q{i}"}) for i in range(calls // each)]
    await evaluate(executor, "main", rows[:workers], UNSCORED)
    host.bytes = 0
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    more = [Row(f"x{i}", {"question": f"x{i}"}) for i in range(calls // each)]
    found = await evaluate(executor, "main", more, UNSCORED)
    wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    assert not found.failed
    sent = host.bytes
    await crew.close()
    await host.close()
    await pool.close()
    return {
        "calls": calls,
        "rate": calls / wall_s,
        "ms": cpu_s / calls * 1000,
        "bytes": sent / calls,
    }


def messages(seconds: float = 3.0) -> None:
    """The messages a second that Ray carries between one driver and its actors."""
    code = """
import asyncio, time, os, logging
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
ray.init("auto", log_to_driver=False, logging_level=logging.ERROR)
class Actor:
    async def tell(self, m): pass
    async def hear(self):
        return b"x" * 1000
actors = [ray.remote(Actor).options(num_cpus=0.1, max_concurrency=64).remote() for _ in range(2)]
async def pump(actor, end, size):
    n = 0
    while time.perf_counter() < end:
        await asyncio.gather(actor.tell.remote(b"x" * size), actor.hear.remote())
        n += 2
    return n
async def main():
    await asyncio.gather(*(a.hear.remote() for a in actors))
    for each in (1, 8):
        begun, cpu = time.perf_counter(), time.process_time()
        pumps = [pump(a, begun + %s, 1000) for a in actors for _ in range(each)]
        n = sum(await asyncio.gather(*pumps))
        print(f"{2 * each} at a time: {n / (time.perf_counter() - begun):,.0f} messages a second, "
              f"{(time.process_time() - cpu) / n * 1000:.2f} ms of the driver each")
asyncio.run(main())
ray.shutdown()
"""
    with tempfile.TemporaryDirectory() as made:
        print(finish(start(Path(made), code % seconds)), end="", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("parts", nargs="*", default=PARTS, metavar="PART")
    options.add_argument("--workers", default="1,2,4,8")
    options.add_argument("--crews", default="1,10,100,1000", help="workers of `driver`")
    options.add_argument("--rows", default="20000,200000")
    options.add_argument("--faulty", type=int, default=400)
    options.add_argument("--only", default="", help="faults whose names begin so")
    options.add_argument("--echoes", nargs=4, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.echoes:
        kind, calls, workers, path = given.echoes
        return asyncio.run(echoes(kind, int(calls), int(workers), path))
    counts = [int(n) for n in given.workers.split(",")]
    if "driver" in given.parts:
        print(f"\ndriver: {load_of_machine()}")
        driver([int(n) for n in given.crews.split(",")])
    if not {*given.parts} - {"driver"}:
        return
    with cluster() as head:
        for part in given.parts:
            print(f"\n{part}: {load_of_machine()}", flush=True)
            if part == "scaling":
                scaling(counts)
            elif part == "engine":
                engine([n for n in counts if n <= 2])
            elif part == "faults":
                faults(head, given.faulty, given.only)
            elif part == "rows":
                rows_of_table([int(n) for n in given.rows.split(",")], "out.parquet")
            elif part == "datasets":
                rows_of_table([int(n) for n in given.rows.split(",")], "out/")
            elif part == "driver":
                messages()


if __name__ == "__main__":
    main()
