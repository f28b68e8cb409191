"""The ASGI application: programs, their routes, and what runs beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.options import takes
from lmc.redaction import logger
from lmc.serve.gate import AsgiApp, Gatekeeper, Receive, Scope, Send
from lmc.serve.hosted import Given, HostedProgram, Loading, Programs, hosted_programs
from lmc.serve.jobs import Jobs
from lmc.serve.keys import ApiKeys
from lmc.serve.metrics import Metrics
from lmc.serve.openapi import document
from lmc.serve.options import ServeOptions
from lmc.serve.runner import RequestRunner
from lmc.serve.tracing import RunLog

if TYPE_CHECKING:
    from lmc.serve.engines import Engines
    from lmc.serve.mcp_tools import McpTools

_log = logger(__name__)


@takes(ServeOptions)
def app(given: Given | Sequence[Given] | Mapping[str, Given], options: ServeOptions) -> ServeApp:
    """An ASGI application that serves programs, for a server or to mount in another application.

    `given` is a loaded program, a file, a folder of programs, several of these, or a mapping from
    names. Programs that are given loaded stay open at the end. Raises: LmcError.
    """
    return serve_app(given, options, Loading())


def serve_app(
    given: Given | Sequence[Given] | Mapping[str, Given],
    options: ServeOptions,
    loading: Callable[[Path], Any],
) -> ServeApp:
    """The same, with a function that loads programs, also anew. Raises: LmcError."""
    from lmc.serve.engines import Engines

    hosted = hosted_programs(given, loading)
    engines = Engines(options.engines, options.adapters or {})
    return ServeApp(hosted, options, loading, engines)


class ServeApp:
    """An ASGI application. What runs beside its requests starts with the first one, or at startup.

    Belongs to the event loop that it is first used on.
    """

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
        self.gate = Gatekeeper(self._routes(), options, ApiKeys(options.keys), self.metrics)
        self.programs.changed.append(self._forget)
        self._stack: AsyncExitStack | None = None
        self._mcp: McpTools | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the lifespan of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self._stack is None:
            await self.start()
        await self.gate(scope, receive, send)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the programs as they are now."""
        return document(self.programs, self.options)

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

    def _forget(self) -> None:
        self.__dict__.pop("document", None)

    def _routes(self) -> AsgiApp:
        from lmc.serve.routes import router

        return router(self)

    async def start(self) -> None:
        """Start what runs beside the requests; once."""
        async with self._starting:
            if self._stack is not None:
                return
            stack = AsyncExitStack()
            for work in (self.jobs, self.log):
                if work is not None:
                    run = work.work() if isinstance(work, Jobs) else work.write()
                    await stack.enter_async_context(_beside(run))
            self._stack = stack

    def drain(self) -> None:
        """Refuse new requests."""
        self.gate.draining = True

    async def stop(self) -> None:
        """End what runs beside the requests, and close the programs."""
        async with self._starting:
            stack, self._stack, self._mcp = self._stack, None, None
        if stack is not None:
            await stack.aclose()
        await self.engines.close()
        await self.programs.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as problem:
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.drain()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


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
