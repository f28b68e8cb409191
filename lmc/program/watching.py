"""Callbacks that see each call of a model as it ends, and that cannot break or block a run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from lmc.program.reports import CallReport, call_report
from lmc.redaction import logger
from lmc.runtime.traces import CallTrace
from lmc.tasks.foreign import TooLong, call_foreign, said

_log = logger(__name__)

OnCall = Callable[[CallReport], object | Awaitable[object]]
PATIENCE_S = 10.0  # for one call of the callback
_telling: ContextVar[bool] = ContextVar("_telling", default=False)


class Watcher:
    """Passes calls to a callback, one after the other, outside of lmc's event loop.

    What the callback raises is logged. One that does not return in time is not called again. Calls
    of models that the callback itself makes are not passed to it. Belongs to one event loop.
    """

    def __init__(self, callback: OnCall) -> None:
        self._callback = callback
        self._waiting: deque[CallReport] = deque()
        self._task: asyncio.Task[None] | None = None
        self._off = False

    def __call__(self, call: CallTrace) -> None:
        """Take a call that ended."""
        if self._off or _telling.get():
            return
        self._waiting.append(call_report(call))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._tell_all())

    async def settle(self) -> None:
        """Wait until the callback has seen all calls so far."""
        if self._task is not None and not self._task.done() and not _telling.get():
            await asyncio.shield(self._task)

    async def _tell_all(self) -> None:
        _telling.set(True)  # also for a coroutine of the callback
        while self._waiting:
            await self._tell(self._waiting.popleft())

    async def _tell(self, report: CallReport) -> None:
        def tell() -> object:
            _telling.set(True)  # in the thread of the callback
            return self._callback(report)

        try:
            await call_foreign(tell, lambda _: None, PATIENCE_S)
        except TooLong as problem:
            _log.warning("`on_call` %s, and is not called again", problem)
            self._off = True
            self._waiting.clear()
        except Exception as problem:
            _log.warning("`on_call` raised %s", said(problem))
