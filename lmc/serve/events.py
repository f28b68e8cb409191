"""Server-sent events: a result while it is written, and comments that keep the connection open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from lmc.diagnostics import LmcError
from lmc.program.streams import changes
from lmc.prompts.growth import ABSENT
from lmc.runtime.streaming import Listener, snapshots
from lmc.serve.gate import Receive, Scope, Send, while_there
from lmc.serve.problems import ClientLeft, internal, json_bytes, problem_json
from lmc.serve.runner import RequestRunner, RunRequest, RunResult

Say = Callable[[bytes], Awaitable[None]]


class EventResponse:
    """A response whose body is written by a function, while the client is there.

    The function gets what sends a piece of the body. It has to answer failures by itself.
    """

    def __init__(self, write: Callable[[Say], Awaitable[None]], ping_s: float) -> None:
        self._write, self._ping_s = write, ping_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response. Raises: ClientLeft."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        headers.append((b"x-accel-buffering", b"no"))  # nginx would hold the events back
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def say(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        await while_there(receive, self._with_pings(say))
        await send({"type": "http.response.body", "body": b""})

    async def _with_pings(self, say: Say) -> None:
        async def ping() -> None:
            while True:
                await asyncio.sleep(self._ping_s)
                await say(b": still running\n\n")

        pings = asyncio.ensure_future(ping())
        try:
            await self._write(say)
        finally:
            pings.cancel()


def event(name: str, data: Any) -> bytes:
    """One event. Its data are JSON, so they have no line ends."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json_bytes(data))


def run_events(
    runner: RequestRunner, request: RunRequest, root: str, *, whole: bool
) -> Callable[[Say], Awaitable[None]]:
    """What writes the events of a run: `delta` or `partial`, then `result` or `error`."""

    async def write(say: Say) -> None:
        try:
            async with aclosing(growing(runner, request)) as values:
                before: Any = ABSENT
                async for value in values:
                    if isinstance(value, RunResult):
                        await say(event("result", value.as_json()))
                    elif whole:
                        await say(event("partial", {"value": value}))
                    else:
                        for change in changes(before, value):
                            await say(event("delta", change.as_json()))
                        before = value
        except ClientLeft:
            raise
        except LmcError as failure:
            await say(event("error", problem_json(failure, request.id, root)))
        except Exception as bug:
            await say(event("error", problem_json(internal(bug, request.id), request.id, root)))

    return write


async def growing(runner: RequestRunner, request: RunRequest) -> AsyncGenerator[Any, None]:
    """The JSON value of a result as it grows, each time whole, and at last the RunResult.

    Raises: LmcError.
    """
    results: list[RunResult] = []

    async def start(hear: Callable[[Any], None]) -> Any:
        results.append(await runner.run(request, listener=Listener(hear)))
        return results[0].value

    async with aclosing(snapshots(start)) as values:
        async for value in values:
            yield value
    yield results[0]
