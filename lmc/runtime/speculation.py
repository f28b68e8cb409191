"""Work begun before it is known to be wanted: bounded, only where models idle, else cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmc.runtime.plan import Flow, Step
    from lmc.runtime.pool import ModelPool

Ahead = list["asyncio.Task[Any]"]
RunBranch = Callable[["Step", str, list[Any]], Awaitable[Any]]


@dataclass(slots=True)
class Speculation:
    """How many tasks may run on speculation at once, while the models of a pool have room."""

    limit: int
    pool: ModelPool
    _running: list[Ahead] = field(default_factory=list)

    @asynccontextmanager
    async def branches(self, flow: Flow, run: RunBranch) -> AsyncIterator[Callable[[], None]]:
        """Let a flow begin both branches of a condition before the condition is known."""
        ahead: Ahead = []
        async with self.holding(ahead) as room:

            def begin() -> None:
                for step in flow.undecided():
                    names = list(step.bodies)
                    if step.index not in flow.begun and len(names) <= room():
                        args = [flow.values[i] for i in step.inputs]
                        tasks = [asyncio.ensure_future(run(step, name, args)) for name in names]
                        flow.begun[step.index] = dict(zip(names, tasks))
                        ahead.extend(tasks)

            flow.look_ahead = begin
            yield begin

    @staticmethod
    async def take(branches: Mapping[str, asyncio.Future[Any]], taken: str) -> Any:
        """The value of the branch that is taken; the other one is cancelled."""
        for name, task in branches.items():
            if name != taken:
                task.cancel()
        return await branches[taken]

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
