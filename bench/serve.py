"""What `lmc serve` costs beside a bare Starlette handler, and what it keeps when things go wrong.

`python bench/serve.py` starts a backend with a fixed latency, a server of one program, and a bare
handler that asks the same backend by aiohttp. Both get the same load in turns, in one run:
`--clients` requests at once, `--rounds` times. Then clients leave in the middle, and a server is
killed in the middle of a job. All of it is on loopback, in processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

ROOT = Path(__file__).parents[1]
PROGRAM = """
model m { name: "openai/m", temperature: 0, concurrency: 4096 }
generate main(question: str) -> str { model: m }
"""
LMC = "from lmc.cli.main import main; main()"


# --- the backend ---


def backend(latency_s: float) -> None:
    """A model that answers after a while. `GET /counts` says what it was asked."""
    counts = {"asked": 0, "answered": 0, "in_flight": 0}

    async def answer(request: web.Request) -> web.Response:
        payload = await request.json()
        counts["asked"] += 1
        counts["in_flight"] += 1
        try:
            slow = "slow" in payload["messages"][-1]["content"]
            await asyncio.sleep(latency_s * (20 if slow else 1))
            counts["answered"] += 1
        finally:
            counts["in_flight"] -= 1
        message = {"role": "assistant", "content": "said"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        return web.json_response({"choices": [choice], "usage": usage})

    async def told(request: web.Request) -> web.Response:
        return web.json_response(counts)

    async def serve() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", answer), web.get("/counts", told)])
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        print(f"serving at http://127.0.0.1:{port},", flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


# --- the bare handler ---


def bare(url: str) -> None:
    """The least that a handler does: ask the backend, and pass its text on."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    session: aiohttp.ClientSession | None = None

    async def run(request: Request) -> JSONResponse:
        nonlocal session
        if session is None:
            connector = aiohttp.TCPConnector(limit=0)
            session = aiohttp.ClientSession(connector=connector)
        body = await request.json()
        messages = [{"role": "user", "content": body["question"]}]
        asked = {"model": "m", "messages": messages, "temperature": 0}
        async with session.post(f"{url}/v1/chat/completions", json=asked) as answer:
            found = await answer.json()
        return JSONResponse({"result": found["choices"][0]["message"]["content"]})

    from lmc.serve.server import bound_socket

    listener = bound_socket("127.0.0.1", 0)
    print(f"serving at http://127.0.0.1:{listener.getsockname()[1]},", flush=True)
    app = Starlette(routes=[Route("/run/main", run, methods=["POST"])])
    config = uvicorn.Config(app, access_log=False, log_level="warning", loop="uvloop")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


# --- the load ---


class Started:
    """A process that says where it serves."""

    def __init__(self, *command: str, cwd: Path = ROOT) -> None:
        env = os.environ | {"OPENAI_API_KEY": "k", "PYTHONPATH": str(ROOT)}
        env["LMC_CACHE_DIR"] = str(cwd / "cache")
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=cwd, env=env, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"serving at (\S+),", line):
                self.url = found[1]
                return
        raise SystemExit(f"{command} did not start")

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait."""
        self.process.send_signal(number)
        self.process.communicate()


async def load(session: aiohttp.ClientSession, url: str, clients: int, tag: str) -> list[float]:
    """The seconds of each of so many requests at once; an error is infinite."""

    async def one(number: int) -> float:
        start_s = time.perf_counter()
        try:
            asked = {"question": f"{tag} {number}"}
            async with session.post(f"{url}/run/main", json=asked) as answer:
                found = await answer.json()
                right = answer.status == 200 and found["result"] == "said"
            if not right:
                print(f"  {answer.status}: {json.dumps(found)[:200]}")
        except (aiohttp.ClientError, TimeoutError) as problem:
            right = False
            print(f"  {problem!r}")
        return time.perf_counter() - start_s if right else float("inf")

    return await asyncio.gather(*(one(number) for number in range(clients)))


async def counts(session: aiohttp.ClientSession, url: str) -> dict[str, int]:
    async with session.get(f"{url}/counts") as answer:
        found: dict[str, int] = await answer.json()
        return found


async def until(
    session: aiohttp.ClientSession, url: str, holds: Callable[[dict[str, int]], bool]
) -> dict[str, int]:
    """The counts of the backend, once something holds of them."""
    while not holds(now := await counts(session, url)):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.01)
    return now


def figures(times: list[float]) -> dict[str, float]:
    good = sorted(t for t in times if t != float("inf"))
    return {
        "requests": len(times),
        "errors": len(times) - len(good),
        "p50_ms": 1000 * statistics.median(good),
        "p99_ms": 1000 * good[min(len(good) - 1, int(0.99 * len(good)))],
    }


async def compare(args: argparse.Namespace, urls: dict[str, str]) -> None:
    """The load in turns, and the ratio of both. Each turn has connections of its own."""
    times: dict[str, list[float]] = {name: [] for name in urls}

    async def turn(name: str, tag: str) -> list[float]:
        timeout = aiohttp.ClientTimeout(total=300)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            return await load(session, urls[name], args.clients, tag)

    for name in urls:  # code is warm, and so are connections to the backend
        await turn(name, "warm")
    for number in range(args.rounds):
        for name in list(urls) if number % 2 else list(urls)[::-1]:
            times[name] += await turn(name, f"{name}{number}")
    found = {name: figures(some) for name, some in times.items()}
    print(f"{args.clients} requests at once, {args.rounds} rounds, backend {args.latency_ms} ms")
    for name, one in found.items():
        shown = ", ".join(f"{key} {value:.0f}" for key, value in one.items())
        print(f"  {name:12} {shown}")
    for key in ("p50_ms", "p99_ms"):
        print(f"  lmc / bare   {key} {found['lmc'][key] / found['bare'][key]:.2f}")


async def abandon(args: argparse.Namespace, url: str, model: str) -> None:
    """Clients that leave in the middle: how many calls go on without them."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        before = await counts(session, model)
        tasks = [
            asyncio.ensure_future(load(session, url, 1, f"slow {number}"))
            for number in range(args.leaving)
        ]
        await until(session, model, lambda now: now["in_flight"] >= args.leaving)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        start_s = time.perf_counter()
        now = await until(session, model, lambda now: not now["in_flight"])
        took_s = time.perf_counter() - start_s
    print(f"{args.leaving} clients left: no call in progress after {took_s:.2f} s,")
    print(f"  {now['answered'] - before['answered']} of their calls were answered")


async def kill(args: argparse.Namespace, start: Any, model: str) -> None:
    """A server that is killed in the middle of a job: what it keeps, and what is paid twice."""
    server = start()
    async with aiohttp.ClientSession() as session:
        before = (await counts(session, model))["asked"]
        rows = [{"question": f"row {number}"} for number in range(args.rows)]
        async with session.post(f"{server.url}/jobs/main", json={"rows": rows}) as answer:
            assert answer.status == 202
            id = (await answer.json())["id"]
        await until(session, model, lambda now: now["asked"] - before >= args.rows // 3)
    server.end(signal.SIGKILL)
    async with aiohttp.ClientSession() as session:
        killed_at = (await counts(session, model))["asked"] - before
    server = start()
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{server.url}/jobs/{id}") as answer:
                job = await answer.json()
            if job["state"] == "done":
                break
            await asyncio.sleep(0.1)
        asked = (await counts(session, model))["asked"] - before
    server.end()
    print(f"killed after {killed_at} of {args.rows} calls: {job['succeeded']} rows have an answer,")
    print(f"  {asked - args.rows} calls were sent twice (at most 32 were in flight)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--leaving", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--backend", action="store_true")
    parser.add_argument("--bare", metavar="URL")
    args = parser.parse_args()
    if args.backend:
        backend(args.latency_ms / 1000)
    elif args.bare:
        bare(args.bare)
    else:
        measure(args)


def measure(args: argparse.Namespace) -> None:
    this = str(Path(__file__).resolve())
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        (cwd / "bench.lmp").write_text(PROGRAM)
        model = Started(this, "--backend", "--latency-ms", str(args.latency_ms))
        serve = ["-c", LMC, "serve", "bench.lmp", "--port", "0", "--base-url", f"{model.url}/v1"]
        serve += ["--runs", "1024"]
        lmc = Started(*serve, "--no-cache", "--jobs", "off", cwd=cwd)
        plain = Started(this, "--bare", model.url)
        try:
            asyncio.run(compare(args, {"lmc": lmc.url, "bare": plain.url}))
            asyncio.run(abandon(args, lmc.url, model.url))
            lmc.end()
            asyncio.run(kill(args, lambda: Started(*serve, cwd=cwd), model.url))
        finally:
            for process in (plain, model, lmc):
                if process.process.poll() is None:
                    process.end()


if __name__ == "__main__":
    main()
