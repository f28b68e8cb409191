"""Speculation: start work before it is known to be needed, in bounds, only while models idle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmc.ir.reach import keeps, pure_tools, reached_tools

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph
    from lmc.requests.pool import ModelPool
    from lmc.runtime.plan import Flow, Plan, PlannedNode

Ahead = list["asyncio.Task[Any]"]
RunBranch = Callable[["PlannedNode", str, list[Any]], Awaitable[Any]]


@dataclass(slots=True)
class Speculation:
    """Limits how many speculative tasks run at once, while the models of a pool have room.

    Work that calls a tool without `pure` is never started early, since such a tool may have side
    effects.
    """

    limit: int
    program: ProgramGraph
    pool: ModelPool
    _running: list[Ahead] = field(default_factory=list)

    def allows(self, plan: Plan) -> bool:
        """Whether a body may run before it is known to be needed."""
        if not self.limit:
            return False
        if set(reached_tools(self.program, plan.graph)) - pure_tools(self.program):
            return False
        return not self.program.stores or not keeps(self.program, plan.graph)

    @asynccontextmanager
    async def branches(self, flow: Flow, run: RunBranch) -> AsyncIterator[Callable[[], None]]:
        """Let a flow start both branches of a condition before the condition is known."""
        ahead: Ahead = []
        async with self.holding(ahead) as room:

            def begin() -> None:
                for planned in flow.undecided():
                    names = list(planned.bodies)
                    free = all(self.allows(body) for body in planned.bodies.values())
                    if free and planned.index not in flow.begun and len(names) <= room():
                        args = [flow.values[i] for i in planned.inputs]
                        tasks = [asyncio.ensure_future(run(planned, name, args)) for name in names]
                        flow.begun[planned.index] = dict(zip(names, tasks))
                        ahead.extend(tasks)

            flow.look_ahead = begin
            yield begin

    @staticmethod
    async def take(branches: Mapping[str, asyncio.Future[Any]], taken: str) -> Any:
        """The value of the branch that is taken. The other branch is cancelled."""
        for name, task in branches.items():
            if name != taken:
                task.cancel()
        return await branches[taken]

    @asynccontextmanager
    async def begun(
        self, decision: Plan | None, work: Plan, run: Callable[[], Coroutine[Any, Any, Any]]
    ) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
        """Start work while the calls of a decision are still pending.

        Yields a function that does the work, or returns the work already started.
        """
        ahead: Ahead = []
        async with self.holding(ahead) as room:
            if decision is not None and not decision.pure and self.allows(work) and room():
                ahead.append(asyncio.ensure_future(run()))
            yield lambda: ahead[0] if ahead else run()

    @asynccontextmanager
    async def holding(self, ahead: Ahead) -> AsyncIterator[Callable[[], int]]:
        """Count the speculative tasks of a list, and cancel the remaining ones at the end.

        Yields a function that says how many more may be added.
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
            for task in ahead:
                if not task.cancelled():
                    task.exception()  # mark the error as seen: nobody needs this work

    def _room(self) -> int:
        if not self.limit or not self.pool.idle():
            return 0
        running = sum(not task.done() for ahead in self._running for task in ahead)
        return max(0, self.limit - running)
