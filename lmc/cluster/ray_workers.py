"""Workers as actors of Ray: each is a process on some machine of the cluster."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lmc.cluster.crew import Crew
from lmc.diagnostics import LmcError
from lmc.redaction import logger
from lmc.tasks.foreign import said

if TYPE_CHECKING:
    from lmc.cluster.place import ClusterPlace

_log = logger(__name__)
BEAT_S = 2.0  # a worker with nothing to say says that
LINGER_S = 0.001  # how long it waits for more to say, for each worker of the cluster, half of this
STORE_BYTES = 300 << 20  # shared memory of a cluster that is started here
SPARE_CPUS = 1  # for Ray Data, which reads and writes datasets
CALLS_AT_ONCE = 64  # of an actor: one that hears, some that send, those of tables


class RayActor:
    """What runs in the process of a worker. Messages come and go through two methods."""

    def __init__(self, linger_s: float, beat_s: float) -> None:
        from lmc.cluster.worker import RowWorker
        from lmc.tasks.loop import event_loop

        self._linger_s, self._beat_s = linger_s, beat_s
        self._loop = event_loop()
        self._said = asyncio.Event()  # of lmc's loop
        self._worker = RowWorker(self._said.set)
        self._first = True

    async def tell(self, message: bytes) -> None:
        """Take a message of the driver."""
        self._loop.call_soon_threadsafe(self._worker.link.receive, message)

    async def hear(self) -> bytes:
        """The next message for the driver."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._next(), self._loop))

    async def up(self) -> bool:
        """Whether it is there: by the answer."""
        return True

    async def rows(self, *order: Any) -> Any:
        """As `RowWorker.rows`."""
        work = asyncio.run_coroutine_threadsafe(self._worker.rows(*order), self._loop)
        return await asyncio.wrap_future(work)

    async def _next(self) -> bytes:
        if self._first:
            self._first = False
            return b""
        try:
            async with asyncio.timeout(self._beat_s):
                await self._said.wait()
        except TimeoutError:
            return b""
        await asyncio.sleep(self._linger_s)
        self._said.clear()
        return self._worker.link.take() or b""


class RayCarrier:
    """The way to one actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def send(self, message: bytes) -> None:
        """Bring a message to the actor."""
        await self._actor.tell.remote(message)

    async def hear(self) -> bytes:
        """The next message of the actor."""
        message: bytes = await self._actor.hear.remote()
        return message

    async def kill(self) -> None:
        """Kill its process."""
        await asyncio.to_thread(self._kill)

    def _kill(self) -> None:
        import ray

        if ray.is_initialized():  # else Ray would start another cluster to look for it
            ray.kill(self._actor, no_restart=True)


class RayCluster:
    """A connection to Ray. It is made here, by whoever opens a program, and not on lmc's loop.

    Raises: LmcError[missing-extra, no-workers].
    """

    def __init__(self, place: ClusterPlace) -> None:
        self.place, self._ray = place, _ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            _connect(self._ray, place)
        held = self._ray.cluster_resources()
        self.gpus = _share(place.gpus, 1.0 if held.get("GPU") else 0.0)
        self.cpus = _share(place.cpus, 1.0)
        room = max(held.get("CPU", 1.0) - SPARE_CPUS, 1.0)
        each = [(room, self.cpus), (held.get("GPU", 0.0), self.gpus)]
        fitting = [there / wanted for there, wanted in each if wanted]
        self.workers = place.workers or max(1, int(min(fitting, default=1.0)))
        self.free_cpus = held.get("CPU", 1.0) - self.workers * self.cpus
        self.name = f"lmc-{uuid4().hex}-"

    def crew(self) -> Crew:
        """The workers, which start when they are first needed."""
        linger_s = LINGER_S / 2 * (1 + self.workers)
        beat_s = min(BEAT_S, self.place.silence_s / 4)
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_concurrency": CALLS_AT_ONCE}
        kind, numbers = self._ray.remote(RayActor), itertools.count()

        async def start() -> RayCarrier:
            if not self._ray.is_initialized():
                raise ConnectionError("the connection to Ray is closed")
            named = kind.options(name=f"{self.name}{next(numbers)}", **options)
            return RayCarrier(named.remote(linger_s, beat_s))

        return Crew(
            start,
            self.workers,
            silence_s=self.place.silence_s,
            stop=self._close,
            name=self.name,
            free_cpus=self.free_cpus,
        )

    async def _close(self) -> None:
        if self._own:
            await asyncio.to_thread(self._ray.shutdown)


def _share(given: float | None, usual: float) -> float:
    return usual if given is None else given


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # It would print on standard output that a worker died; the driver logs that itself.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        help = 'pip install "lmc-lang[ray]"'
        raise LmcError.of("missing-extra", "`--on ray` needs Ray", help=help) from None
    return ray


def _connect(ray: Any, place: ClusterPlace) -> None:
    """Connect to a cluster, or start one on this machine. Raises: LmcError[no-workers]."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if place.address is not None:
            ray.init(place.address, **quiet)
        elif os.environ.get("RAY_ADDRESS"):
            ray.init("auto", **quiet)
        else:
            _start(ray, place, quiet)
    except Exception as problem:  # Ray raises whatever its parts do
        where = place.address or os.environ.get("RAY_ADDRESS") or "a cluster on this machine"
        message = f"cannot use {where}: {said(problem)}"
        help = "start one with `ray start --head`, and give its address"
        raise LmcError.of("no-workers", message, help=help) from None


def _start(ray: Any, place: ClusterPlace, quiet: dict[str, Any]) -> None:
    """A cluster of this machine, with the CPUs that the workers want even if it has fewer."""
    wanted = (place.workers or 0) * _share(place.cpus, 1.0)
    cpus = max(os.cpu_count() or 1, int(wanted + 0.999)) + SPARE_CPUS
    more: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    ray.init("local", num_cpus=cpus, **more, **quiet)
