"""Overhead of a call: lmc against a bare aiohttp client and DSPy, on a loopback server."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAM = '''
record Answer { answer: int }
generate solve(question: str) -> Answer { """Solve the problem.""" }
'''
DSPY_THREADS = 128  # the quickest of 8, 16, 32, 64, 128 and 256
REPLY = "[[ ## answer ## ]]\n42\n[[answer]] 42"  # as DSPy reads it, and as lmc does
SERVER = (sys.executable, "-m", "tests.loopback")
DSPY = """
import sys, time, dspy
url, calls, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dspy.configure(lm=dspy.LM("openai/bench", api_base=url, api_key="x", cache=False))
solve = dspy.Predict("question -> answer: str")
rows = [dspy.Example(question=f"row {i}").with_inputs("question") for i in range(calls)]
for i in range(3): solve(question=f"warm {i}")  # it looks for news of models first
start = time.perf_counter()
if threads == 1:
    for row in rows: solve(**row.inputs())
else:
    solve.batch(rows, num_threads=threads, disable_progress_bar=True)
print(time.perf_counter() - start)
"""


async def bare(url: str, calls: int, concurrency: int) -> float:
    """Seconds that a bare client takes for the same requests."""
    import aiohttp

    gate = asyncio.Semaphore(concurrency)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(i: int) -> None:
            body = {"model": "bench", "messages": [{"role": "user", "content": f"row {i}"}]}
            async with gate, session.post(f"{url}/chat/completions", json=body) as answer:
                await answer.json()

        return await timed(call, calls, concurrency)


def through_lmc(url: str, calls: int, concurrency: int) -> float:
    """Seconds that a typed module takes, cache on, every call a miss."""
    import lmc

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LMC_CACHE_DIR": folder, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "x"}
        model = f'model m {{ name: "openai/bench", concurrency: {concurrency} }}\n'
        Path(folder, "bench.lmp").write_text(PROGRAM + model + "default { model: m }\n")
        solve = lmc.load(Path(folder, "bench.lmp")).solve
        time_it = timed_calls if concurrency == 1 else timed_batch
        return time_it(solve, calls)


async def timed(call: Callable[[int], Awaitable[object]], calls: int, concurrency: int) -> float:
    """Wall time of all calls, one after another or all at once."""
    await call(-1)
    start = time.perf_counter()
    if concurrency == 1:
        for i in range(calls):
            await call(i)
    else:
        await asyncio.gather(*map(call, range(calls)))
    return time.perf_counter() - start


def timed_calls(module: Any, calls: int) -> float:
    """Wall time of calls one after another, as a script makes them."""
    module(question="row -1")
    start = time.perf_counter()
    for i in range(calls):
        module(question=f"row {i}")
    return time.perf_counter() - start


def timed_batch(module: Any, calls: int) -> float:
    """Wall time of all calls as one batch, which keeps 256 of them in flight."""
    module.batch(["row -1"])
    start = time.perf_counter()
    module.batch([f"row {i}" for i in range(calls)])
    return time.perf_counter() - start


def through_dspy(python: str, url: str, calls: int, threads: int) -> float:
    """Seconds that DSPy takes, in its own environment."""
    command = [python, "-c", DSPY, url, str(calls), str(threads)]
    # What was set for lmc would have it look for more models, at each call.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "LMC_"))}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return float(done.stdout.split()[-1])


def measure(
    url: str, calls: int, concurrency: int, runs: int, dspy: str | None
) -> dict[str, list[float]]:
    """Calls a second by client, in alternating runs."""
    rates: dict[str, list[float]] = {"bare aiohttp": [], "lmc": []}
    for _ in range(runs):
        rates["bare aiohttp"].append(calls / asyncio.run(bare(url, calls, concurrency)))
        rates["lmc"].append(calls / through_lmc(url, calls, concurrency))
        if dspy:
            threads = min(concurrency, DSPY_THREADS)
            rates.setdefault("dspy", []).append(calls / through_dspy(dspy, url, calls, threads))
    return rates


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--calls", type=int, default=2000)
    options.add_argument("--dspy", help="a Python with DSPy in it")
    given = options.parse_args()
    print(f"{'calls a second':34} {'min':>8} {'median':>8} {'max':>8}  {'of bare':>8}")
    for latency_ms, concurrency, calls in ((100, 256, given.calls), (0, 1, given.calls // 4)):
        server = subprocess.Popen(
            [*SERVER, "--latency-ms", str(latency_ms), "--answer", REPLY],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            rates = measure(url, calls, concurrency, given.runs, given.dspy)
        finally:
            server.kill()
        base = statistics.median(rates["bare aiohttp"])
        for client, found in rates.items():
            middle = statistics.median(found)
            name = f"{client}, {latency_ms} ms, {concurrency} at once"
            print(
                f"{name:34} {min(found):8.0f} {middle:8.0f} {max(found):8.0f}  {middle / base:8.2f}"
            )


if __name__ == "__main__":
    main()
