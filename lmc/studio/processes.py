"""Processes that a studio starts: their lines of JSON, what they said, and a sure end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError

MOST_AT_ONCE = 4
MOST_LINE = 64 << 20  # bytes
MOST_SAID = 64 << 10  # bytes of what a process says, the last ones
GRACE_S = 5.0  # between the wish and the end


class Processes:
    """The processes that run now. Belongs to one event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[Process] = set()

    @asynccontextmanager
    async def started(
        self, command: Sequence[str], given: Any = None, *, most: int = MOST_AT_ONCE
    ) -> AsyncIterator[Process]:
        """Start a Python module with arguments. It ends with the block, and its children too.

        Raises: LmcError[too-busy].
        """
        if len(self._running) >= most:
            message = f"{most} processes run already"
            raise LmcError.of("too-busy", message, help="stop one of them")
        process = await _start(command, given, self._folder)
        self._running.add(process)
        try:
            yield process
        finally:
            try:
                await process.end()
            finally:
                self._running.discard(process)

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(process.end() for process in list(self._running)))


class Process:
    """A process with its own group, so that what it starts ends with it."""

    def __init__(self, inner: asyncio.subprocess.Process) -> None:
        self._inner = inner
        self._said = bytearray()
        self._hearing = asyncio.ensure_future(self._hear())

    @property
    def said(self) -> str:
        """The end of what it wrote for people."""
        return self._said.decode("utf-8", "replace")

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._inner.returncode

    async def lines(self) -> AsyncGenerator[dict[str, Any]]:
        """The objects that it writes, each on a line; at last it has ended."""
        assert self._inner.stdout is not None
        while line := await self._inner.stdout.readline():
            found = _object(line)
            if found is not None:
                yield found
            else:  # words for people
                self._said += line
        await self._inner.wait()
        await self._hearing

    async def wait(self) -> int:
        """Wait for its end."""
        async with aclosing(self.lines()) as lines:
            async for _ in lines:
                pass
        return await self._inner.wait()

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        self._signal(signal.SIGINT)

    async def end(self) -> None:
        """End it, kindly at first."""
        for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            if self.code is None:
                self._signal(number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_S):
                        await self._inner.wait()
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))  # what it left behind
        self._hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._hearing

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._inner.pid, number)
            elif self.code is None:
                self._inner.send_signal(number)

    async def _hear(self) -> None:
        assert self._inner.stderr is not None
        while piece := await self._inner.stderr.read(1 << 14):
            self._said += piece
            del self._said[:-MOST_SAID]


def _object(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return None


async def _start(command: Sequence[str], given: Any, folder: Path) -> Process:
    # -P: no module of the folder takes the place of one of Python or lmc.
    inner = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", *command,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MOST_LINE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )  # fmt: skip
    assert inner.stdin is not None
    with contextlib.suppress(ConnectionError):
        if given is not None:
            inner.stdin.write(json.dumps(given).encode())
            await inner.stdin.drain()
        inner.stdin.close()
    return Process(inner)
