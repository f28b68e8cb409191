"""What the driver keeps for workers that send requests without asking for each.

Budgets are leased in blocks. Looking into the cache, and storing, is one message for all that a
worker wants at a time. A request whose answer is not there is claimed by the worker that sends it,
so others wait for it instead of paying again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from lmc.cluster.link import Link, LinkLost
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.models.base import Answer
from lmc.requests.cache import Cache
from lmc.requests.leases import Grant, Lease, LeasedLimits, Report, Wish
from lmc.requests.pool import ModelPool

LEAST_CONCURRENCY = 256  # below it, the driver can be asked for each request
LEAST_SHARE = 8  # of a worker: with less, some wait while others have room
DRIVERS_SHARE = 8  # one part in so many of a model's concurrency stays with the driver


class Borrower(Protocol):
    """A worker, as the lender knows it."""

    link: Link


@frozen
class Terms:
    """On which terms the workers of an executor send requests without asking for each."""

    pool: int  # the pool's number: its models have one gate in each worker
    workers: int
    kept: bool  # whether there is a cache
    limits: LeasedLimits | None  # of the budget

    def share(self, concurrency: int) -> int:
        """How many requests each worker may have in flight; 0 if the driver has to be asked."""
        if concurrency < LEAST_CONCURRENCY:
            return 0
        share = (concurrency - concurrency // DRIVERS_SHARE) // self.workers
        return share if share >= LEAST_SHARE else 0


class Lender:
    """The accounts of one executor, as its workers ask for them. Belongs to one event loop."""

    def __init__(self, pool: ModelPool, number: int, workers: int) -> None:
        self.id = ""  # of the executor
        limits = LeasedLimits.of(pool.budget) if pool.budget is not None else None
        self.terms = Terms(number, workers, pool.cache is not None, limits)
        self._pool, self._sharers = pool, 2 * workers
        self._leases: dict[Borrower, Lease] = {}
        self._claims: dict[str, Borrower] = {}
        self._waiting: dict[str, list[asyncio.Future[Answer | None]]] = {}
        self._narrow: set[str] = set()
        self._pending: dict[str, Answer] = {}  # not stored yet
        self._storing: asyncio.Task[None] | None = None

    async def serve(self, hand: Borrower, kind: str, content: Any) -> Any:
        """Answer what a worker asks: `lease`, `find` or `await`."""
        if kind == "lease":
            return await self._lease(hand, *content)
        if kind == "find":
            return await self._find(hand, content)
        if kind == "await":
            return await self._await(content)
        raise ValueError(kind)

    def hear(self, hand: Borrower, kind: str, content: Any) -> None:
        """Take what a worker tells: `report`, `used`, `store` or `narrow`."""
        if kind == "report":
            if (lease := self._leases.get(hand)) is not None:
                lease.hear(Report(*content))
        elif kind == "used":
            self._pool.usage += content
        elif kind == "store":
            self._keep(hand, *content)
        elif kind == "narrow":
            self._narrow_gate(content)

    def lose(self, hand: Borrower) -> None:
        """A worker is lost: its lease is spent, and others may send what it had claimed."""
        if (lease := self._leases.pop(hand, None)) is not None:
            lease.lose()
        for key in [key for key, claimed in self._claims.items() if claimed is hand]:
            self._release(key, None)

    async def _lease(self, hand: Borrower, report: Report, wish: Wish) -> Grant:
        budget = self._pool.budget
        if budget is None or hand.link.lost:
            raise LinkLost
        lease = self._leases.setdefault(hand, Lease(budget))
        lease.hear(report)
        return await lease.grant(wish, self._sharers, self._recall)

    def _recall(self) -> None:
        """Have all workers give back what they do not need, and tell at once what they spend."""
        for hand in self._leases:
            hand.link.tell("recall", self.id)

    async def _find(
        self, hand: Borrower, keys: Sequence[str]
    ) -> tuple[dict[str, Answer], frozenset[str]]:
        """The answers that are known, and the keys that another worker claimed.

        The others belong to this worker from now on.
        """
        places = await self._pool.cache.find(keys) if self._pool.cache is not None else {}
        known = {keys[place]: answer for place, answer in places.items()}
        taken = []
        for key in keys:
            if key in known:
                continue
            if (answer := self._pending.get(key)) is not None:
                known[key] = replace(answer, cached=True)
            elif self._claims.setdefault(key, hand) is not hand:
                taken.append(key)
        if hand.link.lost:
            self.lose(hand)
        return known, frozenset(taken)

    async def _await(self, key: str) -> Answer | None:
        """The answer that another worker is about to have; None if it gave up."""
        if key not in self._claims:  # it is there now, or was given up: the worker looks again
            return None
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        return await answer

    def _keep(self, hand: Borrower, answers: Mapping[str, Answer], given_up: Sequence[str]) -> None:
        for key in (*answers, *given_up):
            if self._claims.get(key) is hand:
                self._release(key, answers.get(key))
        if answers and self._pool.cache is not None:
            self._pending.update(answers)
            if self._storing is None:
                self._storing = asyncio.ensure_future(self._store(self._pool.cache))

    async def _store(self, cache: Cache) -> None:
        """Store all answers that came since the last time."""
        try:
            while answers := self._pending.copy():
                await cache.store(answers)
                for key in answers:
                    del self._pending[key]
        finally:
            self._storing = None

    def _release(self, key: str, answer: Answer | None) -> None:
        del self._claims[key]
        for waiting in self._waiting.pop(key, ()):
            if not waiting.done():
                waiting.set_result(answer)

    def _narrow_gate(self, model: str) -> None:
        """Leave workers their shares of what a model may have in flight."""
        if model not in self._narrow:
            self._narrow.add(model)
            with suppress(LmcError):  # a model that cannot be asked from here needs no room here
                gate = self._pool.bind(model).gate
                gate.narrow(max(1, gate.most // DRIVERS_SHARE))


def lends(pool: ModelPool) -> bool:
    """Whether workers may send requests of a pool without asking for each.

    A journal, a record, spans and batches need each request in the driver.
    """
    plain = type(pool) is ModelPool and pool.spans is None and pool.batch_api is None
    return plain and pool._record is None
