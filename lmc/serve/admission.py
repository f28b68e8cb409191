"""Admission: so many requests run at one time, so many wait in order, and the rest is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from lmc.diagnostics import LmcError


class Admission:
    """Places for runs. Entering the block waits for one. Belongs to one event loop."""

    def __init__(self, most: int, queue: int) -> None:
        self.most, self.queue = most, queue
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        """Raises: LmcError[too-busy] if too many wait already."""
        if self.running < self.most:
            self.running += 1
            return
        if len(self._waiting) >= self.queue:
            message = f"{self.running} runs are in progress, and {self.waiting} wait"
            raise LmcError.of("too-busy", message, help="try again later")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # it was given a place at the same moment
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            raise

    async def __aexit__(self, *exc: object) -> None:
        self._leave()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
