"""The ASGI application: programs behind a gate, for a server or to mount in another application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmc.options import takes
from lmc.serve.engines import Engines
from lmc.serve.gate import Gatekeeper, Receive, Scope, Send
from lmc.serve.hosted import Given, HostedProgram, Loading, hosted_programs
from lmc.serve.keys import ApiKeys
from lmc.serve.options import ServeOptions
from lmc.serve.routes import router
from lmc.serve.state import ServerState
from lmc.serve.traced import TracedApp


@takes(ServeOptions)
def app(given: Given | Sequence[Given] | Mapping[str, Given], options: ServeOptions) -> ServeApp:
    """An ASGI application that serves programs, for a server or to mount in another application.

    `given` is a loaded program, a file, a folder of programs, several of these, or a mapping from
    names. Programs that are given loaded stay open at the end. Raises: LmcError.
    """
    loading = Loading()
    return serve_app(hosted_programs(given, loading), options, loading)


def serve_app(
    hosted: Sequence[HostedProgram], options: ServeOptions, loading: Callable[[Path], Any]
) -> ServeApp:
    """The same for programs that have names, with a function that loads them again.

    Raises: LmcError.
    """
    engines = Engines(options.engines, options.adapters or {})
    state = ServerState(hosted, options, loading, engines)
    state.open()
    return ServeApp(state)


class ServeApp:
    """An ASGI application. What runs beside its requests starts with the first one, or at startup.

    Belongs to the event loop that it is first used on.
    """

    def __init__(self, state: ServerState) -> None:
        self.state, options = state, state.options
        inner = TracedApp(router(state), state.spans)
        self.gate = Gatekeeper(inner, options, ApiKeys(options.keys), state.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the lifespan of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self.state.started:
            await self.state.start()
        await self.gate(scope, receive, send)

    async def ready(self) -> None:
        """Check what would fail at the first request, and start. Raises: LmcError."""
        await self.state.preflight()
        await self.state.start()

    async def reload(self) -> None:
        """Load the programs again. What does not load stays as it is."""
        failures = await self.state.programs.reload()
        self.state.metrics.reloads.labels("failed" if failures else "ok").inc()

    def files(self) -> list[Path]:
        """The files of the programs, those that they import included."""
        found: list[Path] = []
        for hosted in self.state.programs:
            if hosted.path is not None:
                found += [hosted.path, *_source_files(hosted.program)]
        return found

    def drain(self) -> None:
        """Refuse new requests."""
        self.gate.draining = self.state.draining = True

    async def stop(self) -> None:
        """End what runs beside the requests, and close the programs."""
        await self.state.stop()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.state.start()
        except Exception as problem:
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.drain()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _source_files(program: Any) -> list[Path]:
    """The files of a program's sources. An artifact has none."""
    if program.checked is None:
        return []
    spans = (graph.span for graph in program.graph.graphs.values())
    return list({span.source.path for span in spans if span and span.source.path})
