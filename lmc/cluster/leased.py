"""A worker's side of leases: it sends requests itself, within what the driver lent it.

The pool is that of one process, with a budget that is leased in blocks and a cache that is the
driver's. What cannot be shared out is asked of the driver: models with few requests in flight, with
limits per minute or a budget of their own, and answers that are kept in the memory of one process.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.cluster.link import Link
from lmc.diagnostics import LmcError
from lmc.models.adapters import is_adapter_id
from lmc.models.base import Answer, Request
from lmc.requests.bound import BoundModel, fallbacks
from lmc.requests.cache import IN_MEMORY, Cache
from lmc.requests.leases import Grant, LeasedBudget, Report, Wish
from lmc.requests.pacing import Gate
from lmc.requests.pool import ModelPool
from lmc.requests.sending import Sender, Sending
from lmc.requests.usage import Usage
from lmc.tasks.together import shared

if TYPE_CHECKING:
    from lmc.cluster.lender import Terms

MOST_RECENT = 4096  # answers that a worker remembers until the driver certainly has them
run_number: ContextVar[int] = ContextVar("lmc_run", default=-1)
asks_always: ContextVar[bool] = ContextVar("lmc_asks", default=False)
_held: ContextVar[list[str]] = ContextVar("lmc_claims")  # by the call of a model in this task
Bring = Callable[[str], Awaitable[None]]
Looked = tuple[dict[str, Answer], frozenset[str]]  # what is known, and what others claimed


class AskingPool(ModelPool):
    """A pool that has the driver answer. Its backends tell what they can do, and are not asked."""

    own_budgets = False

    def __init__(self, link: Link, id: str, **options: Any) -> None:
        super().__init__(**options)
        self._link, self._id = link, id

    async def ask(self, model: str | None, request: Request, **options: Any) -> list[Answer]:
        """As `ModelPool.ask` of the driver's pool."""
        content = (self._id, run_number.get(), model, request, options)
        answers: list[Answer] = await self._link.call("ask", content)
        return answers

    async def close(self) -> None:
        """The worker closes the backends."""

    def report(self, *, all: bool = False) -> None:
        """Tell the driver what was used and spent; nothing here, as it knows."""

    def recall(self) -> None:
        """Give back what is leased and not needed; nothing here."""


class LeasingPool(AskingPool):
    """A pool that sends requests itself where the terms allow it.

    `gates` are those of all pools of the worker, as pools of several executors may be one in the
    driver. `bring` gets an adapter.
    """

    def __init__(
        self,
        link: Link,
        id: str,
        terms: Terms,
        gates: dict[Any, Gate],
        bring: Bring,
        **options: Any,
    ) -> None:
        super().__init__(link, id, **options)
        self._terms, self._gates, self._bring = terms, gates, bring
        self._free: dict[Any, bool] = {}
        self._mine: set[str] = set()  # models that this worker asks itself
        self._told = Usage()
        self._soon = False
        if terms.kept:
            self.cache = DriversCache(link, id)
        if terms.limits is not None:
            self.budget = LeasedBudget(terms.limits, self._lease, self._report_soon)
            self._sender = Sender(self.budget, self._require)

    async def ask(
        self,
        model: str | None,
        request: Request,
        *,
        fallback: Sequence[str] | str | None = None,
        cache: bool | str | None = None,
        **options: Any,
    ) -> list[Answer]:
        """As `ModelPool.ask`."""
        if asks_always.get() or not self._may_send(model, fallback, cache):
            return await super().ask(model, request, fallback=fallback, cache=cache, **options)
        if request.adapter is not None and is_adapter_id(request.adapter):
            await self._bring(request.adapter)
        return await ModelPool.ask(self, model, request, fallback=fallback, cache=cache, **options)

    def report(self, *, all: bool = False) -> None:
        """Tell the driver what was used and spent; with `all`, give back what is not needed."""
        if self.usage is not self._told:
            used, self.usage = self.usage, Usage()
            self._told = self.usage
            self._link.tell("used", (self._id, used))
        if isinstance(self.budget, LeasedBudget):
            news = self.budget.report(all=all)
            if news is not None:
                self._link.tell("report", (self._id, tuple(news)))

    def recall(self) -> None:
        """Give back what is leased and not needed, and tell at once what is spent from now on."""
        if isinstance(self.budget, LeasedBudget):
            self.budget.scarce = True
            self.report()

    def _report_soon(self) -> None:
        """Report once for all that happens in this turn of the event loop."""
        if not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._report_now)

    def _report_now(self) -> None:
        self._soon = False
        self.report()

    async def _lease(self, report: Report, wish: Wish) -> Grant:
        grant: Grant = await self._link.call("lease", (self._id, (report, wish)))
        return grant

    def _may_send(
        self,
        model: str | None,
        fallback: Sequence[str] | str | None,
        cache: bool | str | None,
    ) -> bool:
        others = tuple(fallbacks(fallback)) if fallback is not None else None
        key = (model, others, cache)
        if key not in self._free:
            try:
                bound = self.bind(model)
                given = bound.settings.get("fallback") if others is None else others
                names = [bound.name, *fallbacks(given)]
                self._free[key] = all(self._shared(self.bind(name), cache) for name in names)
            except LmcError:  # the driver says it
                self._free[key] = False
        return self._free[key]

    def _shared(self, bound: BoundModel, cache: bool | str | None) -> bool:
        return bound.name in self._mine and bound.keeping(cache) in (True, False)

    def _bind(self, name: str) -> BoundModel:
        bound = super()._bind(name)
        if not (share := self._share(bound)):
            return bound
        key = (self._terms.pool, bound.name)
        if key not in self._gates:
            self._gates[key] = Gate(share)
            if not bound.backend.capabilities.local:
                self._link.tell("narrow", (self._id, bound.name))
        self._mine.add(bound.name)
        return replace(bound, gate=self._gates[key])

    def _share(self, bound: BoundModel) -> int:
        """How many requests this worker may have in flight; 0 if it has to ask for each."""
        can, settings = bound.backend.capabilities, bound.settings
        limited = any(settings.get(name) for name in ("rpm", "tpm", "budget"))
        callers = any(bound.backend is given for given in self.given_backends.values())
        if limited or callers or can.deferred or not can.cacheable:
            return 0
        most = bound.gate.most
        return most if can.local else self._terms.share(most)

    async def _ask_once(
        self, sending: Sending, request: Request, cache: Cache | None
    ) -> list[Answer]:
        if not isinstance(cache, DriversCache):
            return await super()._ask_once(sending, request, cache)
        with cache.claiming():
            return await super()._ask_once(sending, request, cache)


class DriversCache(Cache):
    """The driver's cache, as a pool uses it. Belongs to one event loop.

    What is not there belongs to this worker once it looked, until it stores an answer or gives up.
    """

    def __init__(self, link: Link, id: str) -> None:
        super().__init__(IN_MEMORY)  # which is never opened
        self._link, self._id = link, id
        self._keys: list[str] = []
        self._asking: asyncio.Future[Looked] | None = None
        self._recent: OrderedDict[str, Answer] = OrderedDict()
        self._claims: Counter[str] = Counter()

    async def find(self, keys: Sequence[str]) -> dict[int, Answer]:
        """As `Cache.find`. Answers that another worker is about to have are waited for."""
        found: dict[int, Answer] = {}
        while True:
            missing = [place for place in range(len(keys)) if place not in found]
            known, taken = await self._look([keys[place] for place in missing])
            for place in missing:
                answer = known.get(keys[place])
                if answer is None and (recent := self._recent.get(keys[place])) is not None:
                    answer = replace(recent, cached=True)
                if answer is not None:
                    found[place] = answer
            self._release_keys([key for place in missing if (key := keys[place]) in self._recent])
            left = [place for place in missing if place not in found]
            theirs = [place for place in left if keys[place] in taken]
            self._claim(keys[place] for place in left if place not in theirs)
            if not theirs:
                return found
            self._unclaim()  # or two workers could wait for each other
            for place in theirs:
                told: Answer | None = await self._link.call("await", (self._id, keys[place]))
                if told is not None:
                    found[place] = replace(told, cached=True)

    async def store(self, answers: Mapping[str, Answer]) -> None:
        """As `Cache.store`, without a wait: the driver has it before it has the end of the run."""
        self._recent.update(answers)
        while len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        self._link.tell("store", (self._id, (dict(answers), ())))

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Give up at the end what was not stored."""
        before = _held.set([])
        try:
            yield
        finally:
            self._unclaim()
            _held.reset(before)

    def _claim(self, keys: Iterable[str]) -> None:
        claimed = list(keys)
        self._claims.update(claimed)
        _held.get().extend(claimed)

    def _unclaim(self) -> None:
        held, given_up = _held.get(), []
        for key in held:
            self._claims[key] -= 1
            if not self._claims[key]:
                del self._claims[key]
                if key not in self._recent:
                    given_up.append(key)
        held.clear()
        self._release_keys(given_up)

    def _release_keys(self, keys: Sequence[str]) -> None:
        if keys:
            self._link.tell("store", (self._id, ({}, tuple(keys))))

    async def _look(self, keys: Sequence[str]) -> Looked:
        """Look some keys up. All that is wanted in one turn of the event loop is one question."""
        self._keys.extend(keys)
        if self._asking is None:
            self._asking = shared(self._asked())
        asking = self._asking
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:  # the driver may think that they are this worker's now
            asking.add_done_callback(
                lambda _: self._release_keys([key for key in keys if not self._claims[key]])
            )
            raise

    async def _asked(self) -> Looked:
        keys, self._keys, self._asking = self._keys, [], None
        found: Looked = await self._link.call("find", (self._id, list(dict.fromkeys(keys))))
        return found
