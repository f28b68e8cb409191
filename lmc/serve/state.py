"""What the endpoints of a server share: its programs, models, jobs, limits and figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.requests.payers import paying
from lmc.requests.spans import Spans
from lmc.serve.engines import Engines
from lmc.serve.hosted import HostedProgram, Programs
from lmc.serve.jobs import Jobs
from lmc.serve.metrics import Metrics
from lmc.serve.openapi import document
from lmc.serve.options import ServeOptions
from lmc.serve.runner import RequestRunner
from lmc.serve.tracing import RunLog

if TYPE_CHECKING:
    from lmc.serve.mcp_tools import McpTools


class ServerState:
    """The state of one server. Belongs to the event loop that it is first used on."""

    def __init__(
        self,
        hosted: Sequence[HostedProgram],
        options: ServeOptions,
        loading: Callable[[Path], Any],
        engines: Engines,
    ) -> None:
        self.options, self.engines = options, engines
        self.metrics = Metrics()
        self.programs = Programs(hosted, loading)
        self.log = RunLog(str(options.traces)) if options.traces else None
        self.runner = RequestRunner(self.programs, options, self.metrics, self.log)
        self.jobs = Jobs(self.runner, Path(options.jobs)) if options.jobs else None
        self.programs.changed.append(self._forget)
        self.draining = False
        self._stack: AsyncExitStack | None = None
        self._mcp: McpTools | None = None
        self._starting = asyncio.Lock()

    def open(self) -> None:
        """Open the files that it needs. Raises: LmcError."""
        for part in (self.jobs, self.log):
            if part is not None:
                part.open()

    async def preflight(self) -> None:
        """Check what would fail at the first request. Raises: LmcError with all of it."""
        with paying(*self.runner.budgets()):
            await self.programs.preflight()

    def spans(self) -> Spans | None:
        """What tells a tracing tool of the requests: that of a program which is traced."""
        found = (hosted.program.spans for hosted in self.programs)
        return next((spans for spans in found if spans is not None), None)

    @property
    def started(self) -> bool:
        """Whether what runs beside the requests was started."""
        return self._stack is not None

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the programs as they are now."""
        return document(self.programs, self.options)

    def _forget(self) -> None:
        self.__dict__.pop("document", None)

    async def mcp(self) -> McpTools:
        """The MCP application. Its package takes long to import, so the first request does that."""
        if self._mcp is None:
            module = await asyncio.to_thread(import_module, "lmc.serve.mcp_tools")
            async with self._starting:
                if self._mcp is None:
                    assert self._stack is not None
                    tools: McpTools = module.McpTools(self.runner)
                    await self._stack.enter_async_context(_beside(tools.serve()))
                    await tools.ready.wait()
                    self._mcp = tools
        return self._mcp

    async def start(self) -> None:
        """Start what runs beside the requests; once."""
        async with self._starting:
            if self._stack is not None:
                return
            stack = AsyncExitStack()
            for part in (self.jobs, self.log):
                if part is not None:
                    await stack.enter_async_context(_beside(part.work()))
            self._stack = stack

    async def stop(self) -> None:
        """End what runs beside the requests, and close the programs."""
        async with self._starting:
            stack, self._stack, self._mcp = self._stack, None, None
        if stack is not None:
            await stack.aclose()
        await self.engines.close()
        await self.programs.close()


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the block. Its end cancels it and waits for its cleanup."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
