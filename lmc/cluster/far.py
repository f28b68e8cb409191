"""What stands in the driver for things that are elsewhere: backends, and runs of a program.

The driver keeps the accounts: cache, journal, budgets, limits of each model, retries, fallbacks.
A run goes to a worker. Each call of a model in it comes back to the driver as a question, which the
driver's own pool answers like any other: from the cache, from an equal request in flight, or by
letting the worker that asked send the request. So nothing is spent that the driver did not grant.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.cluster.crew import Crew, asking
from lmc.cluster.lender import Lender, lends
from lmc.cluster.link import LinkLost
from lmc.consent import HOSTS_VARIABLE, PATHS_VARIABLE
from lmc.frozen import frozen
from lmc.models.adapters import Adapter, adapter_store
from lmc.models.base import Answer, Backend, Capabilities, ModelFailure, Price, Request
from lmc.models.registry import open_backend, provider_of
from lmc.redaction import logger
from lmc.runtime.executor import Executor
from lmc.runtime.traces import Trace
from lmc.values.taking import holds_media

if TYPE_CHECKING:
    from lmc.ir.graph import Graph
    from lmc.requests.pool import ModelPool
    from lmc.training.lora import TrainingJob, TrainingProgress

_log = logger(__name__)
_numbers = itertools.count(1)
_OF_ADDRESS = ("API_KEY", "API_BASE", "BASE_URL")


class FarBackend:
    """A backend that workers open and ask. Here it is opened for what is known of it only."""

    trains = False  # step by step, as each worker has an engine of its own

    def __init__(self, crew: Crew, opened: Backend, name: str, settings: Mapping[str, Any]) -> None:
        self._crew, self._opened = crew, opened
        self._name, self._settings = name, settings
        self.endpoint = opened.endpoint
        self.capabilities: Capabilities = opened.capabilities
        self.price: Price | None = opened.price
        self._blob = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_opened"], name)

    async def generate(self, request: Request) -> Sequence[Answer]:
        """The answers of the worker that asks, else of the one with the least to do.

        Raises: ModelFailure, its own or `connection` if the worker is lost.
        """
        crew = self._crew
        hand = asking.get()
        if hand is None or hand.link.lost:
            hand = await crew.free_hand()
        sent, number = _plain(request), crew.listen(request.on_resend)
        try:
            answers, can = await hand.link.call("generate", (self._known(), sent, number))
        except LinkLost:
            words = f"the worker that asked `{self._name}` is lost"
            raise ModelFailure("connection", words, retryable=True) from None
        finally:
            crew.listen_no_more(number)
        if can is not None:
            self.capabilities = can
        if request.on_text is not None and request.n == 1:
            request.on_text(answers[0].text)
        answered: Sequence[Answer] = answers
        return answered

    async def train_elsewhere(
        self, job: TrainingJob, folder: Path, report: Callable[[TrainingProgress], None]
    ) -> Adapter:
        """Train an adapter of this model on a worker, with its CPUs and GPUs.

        As `train_adapter`. Checkpoints are in `folder`, if the machines share it.
        """
        from lmc.training.lora import drop_checkpoints

        store = adapter_store()
        if (made := store.recall(job.key)) is None:
            files = await self._crew.train(self._known(), job, str(folder), report)
            made = await asyncio.to_thread(store.add_files, files)
            store.remember(job.key, made)
            await asyncio.to_thread(drop_checkpoints, folder / job.key)
        return made

    async def close(self) -> None:
        """Workers close theirs when they end."""
        await self._opened.close()

    def _known(self) -> str:
        """What workers know this backend by."""
        if not self._blob:
            known = {"name": self._name, "settings": self._settings}
            env = environment([self._name], self._settings)
            self._blob = self._crew.keep(dumps(known | {"env": env}))
        return self._blob


@frozen
class Shadow:
    """What a worker has to know of a backend that only the driver has."""

    endpoint: str
    capabilities: Capabilities
    price: Price | None

    async def generate(self, request: Request) -> Sequence[Answer]:
        """The driver is asked instead."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to close."""


def _plain(r: Request) -> Request:
    """A request without what listens to it."""
    if r.on_text is None and r.on_resend is None:
        return r
    return Request(  # `replace` would be slower
        r.model, r.messages, r.sampling, r.schema, r.grammar, r.adapter, r.n, r.index,
        r.logprobs, r.timeout_s, tools=r.tools, media=r.media,
    )  # fmt: skip


def opening(crew: Crew) -> Callable[[str, Mapping[str, Any]], tuple[Backend, str]]:
    """How a pool opens the backends of model names if workers are to ask them.

    What answers in an order of its own, such as a list of answers, stays in the driver, and so does
    what gathers requests for a batch.
    """

    def open(name: str, settings: Mapping[str, Any]) -> tuple[Backend, str]:
        backend, model = open_backend(name, settings)
        if not backend.capabilities.cacheable or backend.capabilities.deferred:
            return backend, model
        return FarBackend(crew, backend, name, settings), model

    return open


class FarExecutor(Executor):
    """An executor whose runs are on workers.

    A run stays here if it needs what is here only: a place among the rows of a batch, stubs, a
    listener, stores, media, or whoever watches it. Its calls of models go to workers all the same.
    """

    def __init__(self, crew: Crew, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.crew, self.in_flight = crew, crew.in_flight
        shipped = ("training", "model", "temperature", "vary", "branch")
        self._options = {key: options.get(key) for key in shipped}
        self._options["speculate"] = options.get("speculate", 0)
        self._id = ""
        self._home: dict[str, str] = {}  # why the runs of a target stay here, or nothing

    async def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        trace: Trace | None = None,
        sample: int = 0,
        **watching: Any,
    ) -> Any:
        """As `Executor.run`."""
        if any(given is not None for given in watching.values()) or self.stays(name):
            return await super().run(name, inputs, trace=trace, sample=sample, **watching)
        brief = trace is None or trace.brief
        ran, value, found = await self.crew.run(self, name, dict(inputs), sample, brief=brief)
        if trace is not None:
            trace.calls, trace.regions, trace.found = found.calls, found.regions, found.found
        if not ran:
            raise value
        return value

    @property
    def id(self) -> str:
        """What workers know this executor by."""
        if not self._id:
            self._id = self._register()
        return self._id

    def stays(self, name: str) -> str:
        """Why the runs of a module or pipeline stay in the driver; nothing if they do not."""
        if name not in self._home:
            self._home[name] = self._reason(self.graph(name))
        return self._home[name]

    def _reason(self, graph: Graph) -> str:
        if self.watch is not None or self.pool.spans is not None:
            return "its runs are watched, by `on_call` or by OpenTelemetry"
        if any(holds_media(port.type) for port in graph.inputs):
            return "it takes images, audio or files"
        if self.program.stores and self._reached_stores(graph):
            return "it reads stores"
        return "" if self._portable() else "Python cannot send its functions"

    def _portable(self) -> bool:
        """Whether workers can have the program. A function of the caller may hold anything."""
        try:
            return bool(self.id)
        except (pickle.PicklingError, TypeError, AttributeError) as problem:
            _log.warning("the runs stay in this process, as workers cannot have them: %s", problem)
            return False

    def _register(self) -> str:
        crew, pool = self.crew, self.pool
        program = {
            "graph": self.program,
            "models": pool.models,
            "default": pool.default,
            "backends": shadows(pool),
            "base_dir": self.base_dir,
            "consent": self.consent,
            "env": environment(_names(self), *pool.models.values(), pool.default),
        }
        own: dict[str, Any] = {"parameters": self.parameters, "options": self._options}
        lender = Lender(pool, crew.number_of(pool), crew.size) if lends(pool) else None
        own["terms"] = None if lender is None else lender.terms
        blob = crew.keep(dumps(own | {"program": crew.keep(dumps(program))}))
        id = f"{next(_numbers)}:{blob}"
        crew.pools[id] = pool
        weakref.finalize(self, crew.pools.pop, id, None)
        if lender is not None:
            lender.id, crew.lenders[id] = id, lender
            weakref.finalize(self, crew.lenders.pop, id, None)
        return id


def shadows(pool: ModelPool) -> dict[str, Shadow]:
    """The backends that the application gave, as workers see them."""
    given = pool.given_backends.items()
    return {name: Shadow(b.endpoint, b.capabilities, b.price) for name, b in given}


def dumps(value: Any) -> bytes:
    """Pickle a value, with functions that no module has if Ray is there to do it."""
    try:
        from ray import cloudpickle
    except ImportError:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pickled: bytes = cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return pickled


def environment(names: Iterable[str], *settings: Mapping[str, Any]) -> dict[str, str]:
    """The variables that the backends of some models read: keys, addresses, and what is allowed."""
    wanted = {HOSTS_VARIABLE, PATHS_VARIABLE}
    for name in names:
        prefix = name.partition("/")[0].upper().replace("-", "_")
        wanted |= {f"{prefix}_{end}" for end in _OF_ADDRESS}
        if (own := provider_of(name).key_env) is not None:
            wanted.add(own)
    wanted |= {str(one["api_key_env"]) for one in settings if one.get("api_key_env")}
    return {name: value for name in sorted(wanted) if (value := os.environ.get(name)) is not None}


def _names(executor: Executor) -> list[str]:
    """The full names of the models that the runs of an executor may ask."""
    pool, given = executor.pool, executor.parameters.modules.values()
    own = [executor.model, *(p.model for p in given), *(p.embedder for p in given)]
    declared = [*pool.models, pool.default.get("model"), *own]
    named = [name for name in declared if isinstance(name, str)]
    return [full for name in named if "/" in (full := pool.full_name(name))]
