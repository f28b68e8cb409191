"""The driver's workers: starts them, gives them runs, replaces those that are lost.

A worker is lost if its process ends, or if nothing was heard of it for `silence_s`: then it may
be cut off, and is killed. Its runs are done again by others. What it had asked already is in the
cache of the driver, and what was in flight is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context, ContextVar
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from lmc.cluster.link import Link, LinkLost
from lmc.diagnostics import LmcError
from lmc.redaction import logger
from lmc.requests.payers import Payers, payers, paying
from lmc.runtime.failures import Attempts, CallFailure
from lmc.tasks.foreign import said

if TYPE_CHECKING:
    from lmc.cluster.lender import Lender
    from lmc.ir.graph import Graph
    from lmc.requests.pool import ModelPool
    from lmc.runtime.traces import Trace
    from lmc.training.lora import TrainingJob, TrainingProgress

_log = logger(__name__)
EACH_IN_FLIGHT = 256  # runs of a worker at a time
LEAST_IN_FLIGHT = 2048
SILENCE_S = 60.0
START_S = 300.0  # the first worker must be there
MOST_TRIES = 4  # workers that may be lost on the same run
MOST_LOST = 8  # of one place in a row, before any of them did something


class Carrier(Protocol):
    """The way to one worker. What it raises means that the worker is lost."""

    async def send(self, message: bytes) -> None:
        """Bring a message to the worker."""
        ...

    async def hear(self) -> bytes:
        """The next message of the worker. It is empty if the worker has nothing to say for long."""
        ...

    async def kill(self) -> None:
        """End the worker, whatever it does."""
        ...


class FarRuns(Protocol):
    """What workers run: an executor that they know by its id."""

    @property
    def id(self) -> str:
        """What workers know it by."""
        ...

    def graph(self, name: str) -> Graph:
        """The graph of a module or pipeline."""
        ...


class Hand:
    """One worker, as the driver sees it."""

    def __init__(self, crew: Crew, number: int, carrier: Carrier) -> None:
        self.crew, self.number, self.carrier = crew, number, carrier
        self.load, self.up, self.served = 0, False, 0
        self._ready = asyncio.Event()
        self.link = Link(self._serve, self._ready.set, self._told)
        self._kept: set[Any] = set()  # questions whose answers the driver stores

    async def work(self) -> None:
        """Carry messages until the worker is lost. Returns then."""
        tasks = [asyncio.ensure_future(each) for each in (self._send(), self._hear())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if problem := task.exception():
                    _log.warning("worker %s is lost: %s", self.number, said(problem)[:300])
        finally:
            for task in tasks:
                task.cancel()
            self.up = False
            self.link.lose(self._kept.__contains__)
            for lender in list(self.crew.lenders.values()):
                lender.lose(self)
            await _surely(self.carrier.kill())

    async def _send(self) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            while (message := self.link.take()) is not None:
                async with asyncio.timeout(self.crew.silence_s):
                    await self.carrier.send(message)

    async def _hear(self) -> None:
        self._heard(await self.carrier.hear())  # it may have to wait for its place
        self.up = True
        self.crew.arrived(self)
        while True:
            async with asyncio.timeout(self.crew.silence_s):
                message = await self.carrier.hear()
            self._heard(message)

    def _heard(self, message: bytes) -> None:
        if message:
            self.served += 1
            self.link.receive(message)

    def _told(self, kind: str, content: Any) -> None:
        id, told = content
        if kind == "rows":
            self.crew.hear_rows(id, told)
            return
        if (lender := self.crew.lenders.get(id)) is not None:
            lender.hear(self, kind, told)

    async def _serve(self, kind: str, content: Any) -> Any:
        if kind == "ask":
            return await self._answer(*content)
        if kind in ("lease", "find", "await"):
            if (lender := self.crew.lenders.get(content[0])) is None:  # nobody waits for the run
                raise LinkLost
            return await lender.serve(self, kind, content[1])
        if kind == "blob":
            return self.crew.blobs[content]
        if kind == "resend":
            await self.crew.resend(content)
            return None
        if kind == "trained":
            self.crew.report(*content)
            return None
        if kind == "checkpoint":
            return await self.crew.checkpoint(*content)
        if kind == "adapter":
            from lmc.models.adapters import adapter_store

            return await asyncio.to_thread(adapter_store().find(content).files)
        raise ValueError(kind)

    async def _answer(
        self, id: str, run: int, model: str | None, request: Any, options: dict[str, Any]
    ) -> Any:
        pool, wholes = self.crew.pools.get(id), self.crew.runs.get(run)
        if pool is None or wholes is None:  # the run ended, or is done elsewhere
            raise LinkLost
        asking.set(self)
        task = asyncio.current_task()
        if pool.keeps(model, options.get("cache")):
            self._kept.add(task)
        try:
            with paying(*wholes):
                return await pool.ask(model, request, **options)
        finally:
            self._kept.discard(task)


# The worker whose question is being answered. It sends the request too, if one is needed.
asking: ContextVar[Hand | None] = ContextVar("lmc_asking", default=None)


class Crew:
    """The workers of one place. It belongs to lmc's event loop, on which the first use starts it.

    `start` starts a worker. `size` is how many there are. Their names begin with `name`, by which
    tasks of the cluster find them. They leave `free_cpus` to these.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Carrier]],
        size: int,
        *,
        silence_s: float = SILENCE_S,
        stop: Callable[[], Awaitable[None]] | None = None,
        name: str = "",
        free_cpus: float = 0.0,
    ) -> None:
        self.size, self.silence_s = size, silence_s
        self.name, self.free_cpus = name, free_cpus
        self.in_flight = max(LEAST_IN_FLIGHT, EACH_IN_FLIGHT * size)
        self.blobs: dict[str, bytes] = {}
        self.pools: dict[str, ModelPool] = {}  # by the ids of executors
        self.lenders: dict[str, Lender] = {}  # of executors whose workers need not ask
        self.runs: dict[int, Payers] = {}  # in progress, with who pays for them beside the pool
        self.hands: list[Hand] = []
        self._by_load: list[tuple[int, int, Hand]] = []  # a heap, with entries that are past
        self.lost = 0
        self._start, self._stop = start, stop
        self._places: list[asyncio.Task[None]] = []
        self._numbers, self._runs = itertools.count(), itertools.count()
        self._pool_numbers: WeakKeyDictionary[ModelPool, int] = WeakKeyDictionary()
        self._reports: dict[int, Callable[[TrainingProgress], None]] = {}
        self._heard_rows: dict[int, Callable[[int], None]] = {}
        self._trainings: dict[int, Path] = {}  # where their checkpoints are
        self._resends: dict[int, Callable[[], Awaitable[None]]] = {}
        self._changed: asyncio.Event | None = None
        self._problem: BaseException | None = None

    async def run(
        self, executor: FarRuns, name: str, inputs: dict[str, Any], sample: int, *, brief: bool
    ) -> tuple[bool, Any, Trace]:
        """Run a program on a worker, and again on another one if that is lost.

        Returns whether it ran, the result or failure, and the trace. Raises: CallFailure if too
        many workers are lost on it, LmcError[no-workers].
        """
        number = next(self._runs)
        self.runs[number] = payers()
        try:
            for _ in range(MOST_TRIES):
                hand = await self.free_hand()
                self._weigh(hand, 1)
                try:
                    asks = bool(self.runs[number])  # as others pay too
                    found = await hand.link.call(
                        "run", (executor.id, number, name, inputs, sample, brief, asks)
                    )
                    ran: tuple[bool, Any, Trace] = found
                    return ran
                except LinkLost:
                    continue
                finally:
                    self._weigh(hand, -1)
        finally:
            del self.runs[number]
        words = f"{MOST_TRIES} workers were lost on it, one after the other"
        message, span = f"`{name}` has no result: {words}", executor.graph(name).span
        raise CallFailure(name, span, message, Attempts(), infrastructure=True)

    def open_runs(self, heard: Callable[[int], None] = lambda rows: None) -> int:
        """The number of runs that do not come from the driver. `heard` is told of rows."""
        number = next(self._runs)
        self.runs[number], self._heard_rows[number] = payers(), heard
        return number

    def hear_rows(self, number: int, rows: int) -> None:
        """A worker has results of rows that it did not get from the driver."""
        self._heard_rows[number](rows)

    async def train(
        self,
        backend: str,
        job: TrainingJob,
        folder: str,
        report: Callable[[TrainingProgress], None],
    ) -> dict[str, bytes]:
        """The files of an adapter that a worker trains. Raises: LmcError, as `train_adapter`."""
        number = next(self._numbers)
        self._reports[number], self._trainings[number] = report, Path(folder) / job.key
        try:
            for _ in range(MOST_TRIES):
                hand = await self.free_hand()
                self._weigh(hand, EACH_IN_FLIGHT)  # others take the runs
                try:
                    files: dict[str, bytes] = await hand.link.call(
                        "train", (backend, job, folder, number)
                    )
                    return files
                except LinkLost:
                    continue
                finally:
                    self._weigh(hand, -EACH_IN_FLIGHT)
        finally:
            del self._reports[number], self._trainings[number]
        message = f"{MOST_TRIES} workers were lost on the same training, one after the other"
        raise LmcError.of("no-workers", message, help="see whether they have the memory it takes")

    def report(self, number: int, progress: TrainingProgress) -> None:
        """Hear how far a training is."""
        if (told := self._reports.get(number)) is not None:
            told(progress)

    async def checkpoint(
        self, number: int, name: str | None, files: Mapping[str, bytes] | None
    ) -> tuple[str, dict[str, bytes]] | bool | None:
        """Keep the checkpoint of a worker, or give the newest one, if no `name` is given.

        Without `files`, returns whether it is here already.
        """
        from lmc.cluster import checkpoints

        if (place := self._trainings.get(number)) is None:
            return None
        if name is None:
            found = checkpoints.newest(place)
            if found is None:
                return None
            return found.name, await asyncio.to_thread(checkpoints.read, found)
        here = checkpoints.newest(place)
        if files is None or (here is not None and here.name == name):
            return here is not None and here.name == name
        await asyncio.to_thread(checkpoints.write, place, name, files)
        return True

    async def free_hand(self) -> Hand:
        """The worker with the least to do. Raises: LmcError[no-workers], if none comes."""
        if not self._places:
            self._begin()
        while True:
            while self._by_load:
                load, _, hand = self._by_load[0]
                if hand.up and hand.load == load:
                    return hand
                heappop(self._by_load)  # it has another load now, or is lost
            await self._change()

    def arrived(self, hand: Hand) -> None:
        """A worker is there."""
        self._weigh(hand, 0)
        self._tell()

    def _weigh(self, hand: Hand, more: int) -> None:
        hand.load += more
        if hand.up:
            heappush(self._by_load, (hand.load, hand.number, hand))
        if len(self._by_load) > 8 * (len(self.hands) + 8):
            self._by_load = [(h.load, h.number, h) for h in self.hands if h.up]
            heapify(self._by_load)

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def keep(self, blob: bytes) -> str:
        """Keep bytes for workers that ask for them by their hash."""
        name = hashlib.sha256(blob).hexdigest()
        self.blobs[name] = blob
        return name

    def number_of(self, pool: ModelPool) -> int:
        """The number of a pool, for workers that have several parts of it."""
        if pool not in self._pool_numbers:
            self._pool_numbers[pool] = next(self._numbers)
        return self._pool_numbers[pool]

    def listen(self, resend: Callable[[], Awaitable[None]] | None) -> int | None:
        """The number by which a worker tells that it sends a request again."""
        if resend is None:
            return None
        number = next(self._numbers)
        self._resends[number] = resend
        return number

    def listen_no_more(self, number: int | None) -> None:
        """Forget a number."""
        if number is not None:
            self._resends.pop(number, None)

    async def resend(self, number: int) -> None:
        """Charge a request that a worker sends again. Raises: ModelFailure."""
        if (charge := self._resends.get(number)) is not None:
            await charge()

    async def close(self) -> None:
        """End all workers."""
        places, self._places = self._places, []
        for place in places:
            place.cancel()
        await asyncio.gather(*places, return_exceptions=True)
        self.hands.clear()
        if self._stop is not None:
            await self._stop()

    def _begin(self) -> None:
        self._changed, self._problem = asyncio.Event(), None
        start = asyncio.get_running_loop().create_task  # who comes first does not pay for all
        self._places = [start(self._place(), context=Context()) for _ in range(self.size)]

    async def _place(self) -> None:
        """Keep one worker at work: start another one where it is lost."""
        failed = 0
        while failed < MOST_LOST:
            try:
                carrier = await self._start()
            except Exception as problem:
                self._problem, failed = problem, failed + 1
                await asyncio.sleep(min(0.1 * 2**failed, 10.0))
                continue
            hand = Hand(self, next(self._numbers), carrier)
            self.hands.append(hand)
            try:
                await hand.work()
            finally:
                self.hands.remove(hand)
            self.lost += 1
            failed = 0 if hand.served else failed + 1
            await asyncio.sleep(min(0.1 * 2**failed, 10.0) if failed else 0)
        self._tell()

    async def _change(self) -> None:
        """Wait until a worker is there. Raises: LmcError[no-workers]."""
        assert self._changed is not None
        if all(place.done() for place in self._places):
            raise _no_workers(self._problem)
        try:
            async with asyncio.timeout(START_S):
                await self._changed.wait()
        except TimeoutError:
            raise _no_workers(self._problem) from None
        self._changed.clear()


async def _surely(kill: Coroutine[Any, Any, None]) -> None:
    """Kill a worker, also if the caller is cancelled meanwhile. Whatever it says is not news."""
    task = asyncio.ensure_future(kill)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await task
        raise
    except Exception:
        return


def _no_workers(problem: BaseException | None) -> LmcError:
    why = f": {said(problem)}" if problem is not None else ""
    message = f"no worker of the cluster could be started{why}"
    help = "see that the cluster has the CPUs and GPUs that each worker wants, and lmc installed"
    return LmcError.of("no-workers", message, help=help)
