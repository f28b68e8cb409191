"""A worker: runs programs for a driver, and asks models when the driver lets it.

It has no cache and no budget. Each call of a model is a question to the driver. If an answer has to
be made, the driver calls this worker's backend.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lmc.cluster.link import Link
from lmc.diagnostics import LmcError
from lmc.models.adapters import adapter_store, is_adapter_id
from lmc.models.base import Answer, Backend, Capabilities, Request
from lmc.models.registry import open_backend
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import Trace

if TYPE_CHECKING:
    from lmc.training.lora import TrainingJob, TrainingProgress

T = TypeVar("T")
MOST_EXECUTORS = 64  # candidates whose runs a worker is ready for
MOST_PROGRAMS = 8
_run: ContextVar[int] = ContextVar("lmc_run", default=-1)


class AskingPool(ModelPool):
    """A pool that has the driver answer. Its backends tell what they can do, and are not asked."""

    own_budgets = False

    def __init__(self, link: Link, id: str, **options: Any) -> None:
        super().__init__(**options)
        self._link, self._id = link, id

    async def ask(self, model: str | None, request: Request, **options: Any) -> list[Answer]:
        """As `ModelPool.ask` of the driver's pool."""
        content = (self._id, _run.get(), model, request, options)
        answers: list[Answer] = await self._link.call("ask", content)
        return answers

    async def close(self) -> None:
        """The worker closes the backends."""


class RowWorker:
    """The worker's end of a link. `ready` is called when there is something to send."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self.link = Link(self._serve, ready)
        self._executors: OrderedDict[str, asyncio.Future[Executor]] = OrderedDict()
        self._programs: OrderedDict[str, asyncio.Future[dict[str, Any]]] = OrderedDict()
        self._backends: dict[str, tuple[Backend, str]] = {}
        self._named: dict[str, Backend] = {}  # by the hash of name and settings
        self._told: dict[str, Capabilities] = {}

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

    async def _run(
        self, id: str, run: int, name: str, inputs: Mapping[str, Any], sample: int, brief: bool
    ) -> tuple[bool, Any, Trace]:
        _run.set(run)
        trace = Trace(brief=brief)
        executor = await _held(self._executors, id, self._executor, MOST_EXECUTORS)
        try:
            result = await executor.run(name, inputs, trace=trace, sample=sample)
        except LmcError as failure:
            return False, failure, _shortened(trace)
        return True, result, _shortened(trace)

    async def _executor(self, id: str) -> Executor:
        own = pickle.loads(await self._blob(id.partition(":")[2]))  # noqa: S301 - the driver's
        program = await _held(self._programs, own["program"], self._program, MOST_PROGRAMS)
        parameters: Parameters = own["parameters"]
        pool = AskingPool(
            self.link,
            id,
            models=program["models"],
            default=program["default"],
            backends=program["backends"],
            base_dir=program["base_dir"],
            consent=program["consent"],
            opener=self._open,
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
        start, store, stopped = job.start, adapter_store(), threading.Event()
        if start is not None:
            await self._bring(start.id)
            start = store.find(start.id)
        job = replace(job, source=source, start=start)  # in the folders of this machine
        loop = asyncio.get_running_loop()

        def tell(now: TrainingProgress) -> None:
            told = self.link.call("trained", (number, now))
            asyncio.run_coroutine_threadsafe(told, loop)

        stop = stopped.is_set
        work = asyncio.to_thread(train_adapter, job, Path(folder), store, tell, stop)
        try:
            made = await work
        except asyncio.CancelledError:
            stopped.set()  # a thread cannot be cancelled; it saves a checkpoint and ends
            raise
        return made.files()

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
