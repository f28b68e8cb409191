"""Keep the runs of a server in the trace store, in batches and beside the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from lmc.diagnostics import LmcError
from lmc.redaction import logger
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run, TraceStore

_log = logger(__name__)
_MOST = 10_000  # runs that wait to be written; more are dropped
_AT_ONCE = 200
_PROGRAMS = 64  # whose parameters are kept ready


class RunLog:
    """Writes runs to a trace store. A store that fails never stops a run."""

    def __init__(self, place: str) -> None:
        self._store = TraceStore(place)
        self._queue: asyncio.Queue[tuple[Run, dict[str, Any]]] = asyncio.Queue(_MOST)
        self._known: dict[int, tuple[Parameters, str, dict[str, Any]]] = {}

    def open(self) -> None:
        """Open the store. Raises: LmcError[cannot-read, …]."""
        self._store.open()

    def digest(self, parameters: Parameters) -> str:
        """The name of a program's parameters in the store."""
        return self._of(parameters)[1]

    def add(self, run: Run, parameters: Parameters) -> None:
        """Keep a run, soon."""
        try:
            self._queue.put_nowait((run, self._of(parameters)[2]))
        except asyncio.QueueFull:
            _log.warning("a run is not in the trace store, which is too slow for so many")

    def _of(self, parameters: Parameters) -> tuple[Parameters, str, dict[str, Any]]:
        from lmc.optimizers.compilation.recording import digest_of

        known = self._known.get(id(parameters))
        if known is None:
            known = parameters, digest_of(parameters), parameters.to_json()
            self._known = {**dict(list(self._known.items())[-_PROGRAMS:]), id(parameters): known}
        return known

    async def work(self) -> None:
        """Write what comes, until it is cancelled; then what is left."""
        try:
            while True:
                await self._flush([await self._queue.get()])
        finally:
            if not self._queue.empty():
                await asyncio.shield(self._flush([]))
            await asyncio.to_thread(self._store.close)

    async def _flush(self, some: list[tuple[Run, dict[str, Any]]]) -> None:
        while len(some) < _AT_ONCE and not self._queue.empty():
            some.append(self._queue.get_nowait())
        await asyncio.to_thread(self._add, some)
        if not self._queue.empty():
            await self._flush([])

    def _add(self, some: list[tuple[Run, dict[str, Any]]]) -> None:
        by_parameters: dict[str, tuple[list[Run], dict[str, Any]]] = {}
        for run, parameters in some:
            by_parameters.setdefault(run.parameters, ([], parameters))[0].append(run)
        for runs, parameters in by_parameters.values():
            try:
                self._store.add(runs, parameters)
            except LmcError as problem:
                _log.warning("%s runs are not in the trace store: %s", len(runs), problem)
