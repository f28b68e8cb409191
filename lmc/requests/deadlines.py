"""Time limits of many calls with one timer. One timer per call would be the main cost of a call.

A limit ends its task as `asyncio.timeout` does, up to `TICK_S` seconds late.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

TICK_S = 0.05


class Deadlines:
    """The open limits. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: set[Limit] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def limit(self, seconds: float | None) -> Limit:
        """A `with` block that raises TimeoutError after `seconds`. None means no limit."""
        return Limit(self, seconds)

    def add(self, limit: Limit) -> None:
        """Start to watch a limit."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:  # a fork has its own loop
            self._loop, self._timer = loop, loop.call_later(TICK_S, self._look)
        self._open.add(limit)

    def remove(self, limit: Limit) -> None:
        """Stop watching a limit."""
        self._open.discard(limit)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for limit in [limit for limit in self._open if limit.end_s <= now_s]:
            self._open.discard(limit)
            limit.expire()
        self._timer = loop.call_later(TICK_S, self._look) if self._open else None


class Limit:
    """A `with` block of one task that ends at its time limit."""

    __slots__ = ("_before", "_deadlines", "_expired", "_seconds", "_task", "end_s")

    def __init__(self, deadlines: Deadlines, seconds: float | None) -> None:
        self._deadlines, self._seconds = deadlines, seconds
        self._expired = False

    def __enter__(self) -> None:
        if self._seconds is not None:
            task = asyncio.current_task()
            assert task is not None
            self._task, self._before = task, task.cancelling()
            self.end_s = task.get_loop().time() + self._seconds
            self._deadlines.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._seconds is None:
            return
        self._deadlines.remove(self)
        own = self._expired and self._task.uncancel() <= self._before
        if own and kind is asyncio.CancelledError:  # not a cancellation from outside
            raise TimeoutError from error

    def expire(self) -> None:
        """End the block, since its time is over."""
        self._expired = True
        self._task.cancel()
