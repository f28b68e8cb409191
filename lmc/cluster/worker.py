"""A worker: runs programs for a driver, and asks models when the driver lets it.

It has no cache and no budget of its own: it asks the driver for each call of a model, or for a
lease. In the first case the driver calls this worker's backend if an answer has to be made.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lmc.cluster import checkpoints
from lmc.cluster.leased import AskingPool, LeasingPool, asks_always, run_number
from lmc.cluster.link import Link
from lmc.diagnostics import LmcError
from lmc.measure.blocks import BlockRows, block_results
from lmc.models.adapters import Adapter, adapter_store, is_adapter_id
from lmc.models.base import Answer, Backend, Capabilities, Request
from lmc.models.registry import open_backend
from lmc.requests.pacing import Gate
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import Trace

if TYPE_CHECKING:
    from lmc.training.lora import TrainingJob, TrainingProgress

T = TypeVar("T")
MOST_EXECUTORS = 64  # candidates whose runs a worker is ready for
MOST_PROGRAMS = 8


class RowWorker:
    """The worker's end of a link. `ready` is called when there is something to send."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self.link = Link(self._serve, ready, self._hear)
        self._executors: OrderedDict[str, asyncio.Future[Executor]] = OrderedDict()
        self._programs: OrderedDict[str, asyncio.Future[dict[str, Any]]] = OrderedDict()
        self._backends: dict[str, tuple[Backend, str]] = {}
        self._named: dict[str, Backend] = {}  # by the hash of name and settings
        self._told: dict[str, Capabilities] = {}
        self.home: Callable[[str], Path] = Path  # where a training's folder of the driver is here
        self._brought: dict[int, str] = {}  # the last checkpoint, by training
        self._gates: dict[Any, Gate] = {}
        self._pools: dict[str, AskingPool] = {}  # by the ids of executors
        self._runs: Counter[str] = Counter()  # in progress

    async def close(self) -> None:
        """Close all backends."""
        backends = [backend for backend, _ in self._backends.values()]
        await asyncio.gather(*(b.close() for b in backends), return_exceptions=True)

    async def _serve(self, kind: str, content: Any) -> Any:
        if kind == "run":
            return await self._run(*content)
        if kind == "generate":
            return await self._generate(*content)
        if kind == "train":
            return await self._train(*content)
        raise ValueError(kind)

    def _hear(self, kind: str, content: Any) -> None:
        if kind == "recall" and (pool := self._pools.get(content)) is not None:
            pool.recall()

    async def _run(
        self,
        id: str,
        run: int,
        name: str,
        inputs: Mapping[str, Any],
        sample: int,
        brief: bool,
        asks: bool,
    ) -> tuple[bool, Any, Trace]:
        run_number.set(run)
        asks_always.set(asks)
        trace = Trace(brief=brief)
        executor = await _held(self._executors, id, self._executor, MOST_EXECUTORS)
        self._runs[id] += 1
        try:
            result = await executor.run(name, inputs, trace=trace, sample=sample)
        except LmcError as failure:
            return False, failure, _shortened(trace)
        finally:
            self._ended(id)
        return True, result, _shortened(trace)

    async def rows(self, id: str, run: int, name: str, rows: BlockRows, table: Any) -> Any:
        """The results of the rows of a table, which do not come from the driver.

        Raises: LmcError, as `block_results`.
        """
        run_number.set(run)
        asks_always.set(False)
        executor = await _held(self._executors, id, self._executor, MOST_EXECUTORS)
        self._runs[id] += 1
        try:
            results = await block_results(executor, name, rows, table)
        finally:
            self._ended(id)
        self.link.tell("rows", (run, table.num_rows))
        return results

    def _ended(self, id: str) -> None:
        """A run ended: the driver hears what it spent before it hears of the end."""
        self._runs[id] -= 1
        if (pool := self._pools.get(id)) is not None:
            pool.report(all=not self._runs[id])
            if not self._runs[id] and id not in self._executors:
                del self._pools[id], self._runs[id]

    async def _executor(self, id: str) -> Executor:
        own = pickle.loads(await self._blob(id.partition(":")[2]))  # noqa: S301 - the driver's
        program = await _held(self._programs, own["program"], self._program, MOST_PROGRAMS)
        parameters: Parameters = own["parameters"]
        given = ("models", "default", "backends", "base_dir", "consent")
        options = {name: program[name] for name in given} | {"opener": self._open}
        terms = own["terms"]
        for old in [old for old in self._pools if old not in self._executors]:
            if not self._runs[old]:
                del self._pools[old]
        pool = self._pools[id] = (
            AskingPool(self.link, id, **options)
            if terms is None
            else LeasingPool(self.link, id, terms, self._gates, self._bring, **options)
        )
        return Executor(
            program["graph"],
            pool,
            parameters,
            base_dir=program["base_dir"],
            consent=program["consent"],
            **own["options"],
        )

    async def _program(self, name: str) -> dict[str, Any]:
        program: dict[str, Any] = pickle.loads(await self._blob(name))  # noqa: S301 - the driver's
        os.environ.update(program["env"])
        return program

    async def _blob(self, name: str) -> bytes:
        blob: bytes = await self.link.call("blob", name)
        return blob

    def _open(self, name: str, settings: Mapping[str, Any]) -> tuple[Backend, str]:
        """A backend that all programs of this worker share, if their settings are equal."""
        consent = settings.get("consent")
        plain = {k: v for k, v in settings.items() if k != "consent"}
        key = repr((name, sorted(plain.items()), consent and (consent.base_url, consent.hosts)))
        if key not in self._backends:
            self._backends[key] = open_backend(name, settings)
        return self._backends[key]

    async def _generate(
        self, named: str, request: Request, number: int | None
    ) -> tuple[list[Answer], Capabilities | None]:
        backend = await self._backend(named)
        if number is not None:
            request = replace(request, on_resend=lambda: self.link.call("resend", number))
        if request.adapter is not None and is_adapter_id(request.adapter):
            await self._bring(request.adapter)
        answers = list(await backend.generate(request))
        can = backend.capabilities
        if self._told.setdefault(named, can) == can:
            return answers, None
        self._told[named] = can
        return answers, can

    async def _backend(self, named: str) -> Backend:
        if named not in self._named:
            told = pickle.loads(await self._blob(named))  # noqa: S301 - the driver's
            os.environ.update(told["env"])
            self._named[named] = self._open(told["name"], told["settings"])[0]
        return self._named[named]

    async def _train(
        self, named: str, job: TrainingJob, folder: str, number: int
    ) -> dict[str, bytes]:
        from lmc.training.lora import train_adapter

        source = getattr(await self._backend(named), "source", job.source)
        store, stopped, teacher = adapter_store(), threading.Event(), job.teacher

        async def here(adapter: Adapter | None) -> Adapter | None:
            if adapter is None:
                return None
            await self._bring(adapter.id)
            return store.find(adapter.id)

        if teacher is not None:  # another model than the student's own is in a shared folder
            own = source if teacher.base == job.base else teacher.source
            teacher = replace(teacher, source=own, adapter=await here(teacher.adapter))
        start = await here(job.start)
        job = replace(job, source=source, start=start, teacher=teacher)  # in this machine's folders
        loop, home = asyncio.get_running_loop(), self.home(folder)
        await self._go_on(number, home / job.key)

        def tell(now: TrainingProgress) -> None:
            asyncio.run_coroutine_threadsafe(self._trained(number, now, home / job.key), loop)

        stop = stopped.is_set
        work = asyncio.to_thread(train_adapter, job, home, store, tell, stop)
        try:
            made = await work
        except asyncio.CancelledError:
            stopped.set()  # a thread cannot be cancelled; it saves a checkpoint and ends
            raise
        return made.files()

    async def _go_on(self, number: int, place: Path) -> None:
        """Have the driver's newest checkpoint too: that of a worker which was lost meanwhile."""
        here = checkpoints.newest(place)
        if here is not None and await self.link.call("checkpoint", (number, here.name, None)):
            return
        if found := await self.link.call("checkpoint", (number, None, None)):
            await asyncio.to_thread(checkpoints.write, place, *found)

    async def _trained(self, number: int, now: TrainingProgress, place: Path) -> None:
        """Tell the driver how far a training is, and bring it a new checkpoint."""
        await self.link.call("trained", (number, now))
        found = checkpoints.newest(place)
        if found is None or self._brought.get(number) == found.name:
            return
        self._brought[number] = found.name
        if not await self.link.call("checkpoint", (number, found.name, None)):
            with suppress(FileNotFoundError):  # the trainer removes old ones
                files = await asyncio.to_thread(checkpoints.read, found)
                await self.link.call("checkpoint", (number, found.name, files))

    async def _bring(self, adapter: str) -> None:
        """Have the weights of an adapter on this machine."""
        store = adapter_store()
        try:
            store.find(adapter)
        except LmcError:
            files = await self.link.call("adapter", adapter)
            await asyncio.to_thread(store.add_files, files)


def _shortened(trace: Trace) -> Trace:
    """A trace without its calls and regions, if nobody reads more than what they used."""
    return Trace(found=trace.usage) if trace.brief else trace


async def _held(
    known: OrderedDict[str, asyncio.Future[T]], key: str, make: Callable[[str], Any], most: int
) -> T:
    """What is known by a key; it is made once, and those used longest ago are forgotten."""
    if key not in known:
        known[key] = asyncio.ensure_future(make(key))
        while len(known) > most:
            known.popitem(last=False)
    known.move_to_end(key)
    try:
        return await asyncio.shield(known[key])
    except Exception:
        known.pop(key, None)
        raise
