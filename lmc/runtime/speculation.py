"""Work begun before it is known to be wanted: bounded, only where models idle, else cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmc.runtime.pool import ModelPool

Ahead = Sequence["asyncio.Task[Any]"]


@dataclass(slots=True)
class Speculation:
    """How many tasks may run on speculation at once, while the models of a pool have room."""

    limit: int
    pool: ModelPool
    _running: list[Ahead] = field(default_factory=list)

    @asynccontextmanager
    async def holding(self, ahead: Ahead) -> AsyncIterator[Callable[[], int]]:
        """Count what runs ahead in a list, and cancel what is left of it in the end.

        Gives a function that says how many more may be added.
        """
        self._running.append(ahead)
        try:
            yield self._room
        finally:
            self._running = [other for other in self._running if other is not ahead]
            for task in ahead:
                task.cancel()
            if ahead:
                await asyncio.wait(ahead)

    def _room(self) -> int:
        if not self.limit or not self.pool.idle():
            return 0
        return max(0, self.limit - sum(map(len, self._running)))
