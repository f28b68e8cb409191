"""Limits that are never passed: the worst case of a request is reserved before it is sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from lmc.diagnostics import Diagnostic, LmcError, error
from lmc.runtime.usage import Usage


class BudgetExceeded(LmcError):
    """The next request might pass a limit, so it was not sent."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is neither spent nor reserved; None where there is no limit."""

    calls: int | None
    tokens: int | None
    usd: float | None
    minutes: float | None


class Reservation:
    """A share of the budget set aside for one request; leaving the block settles it."""

    __slots__ = ("_budget", "_settled", "worst")

    def __init__(self, budget: Budget, worst: Usage) -> None:
        self._budget, self.worst, self._settled = budget, worst, False

    def settle(self, used: Usage) -> None:
        """Put what was really used in the place of the worst case; later calls do nothing."""
        if not self._settled:
            self._settled = True
            self._budget._settle(self.worst, used)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A request that failed gave no token counts, but it was made: its calls stay spent.
        self.settle(Usage(calls=self.worst.calls))


@dataclass(eq=False, slots=True)
class _Waiter:
    worst: Usage
    loop: asyncio.AbstractEventLoop
    decided: asyncio.Future[None]
    granted: bool = field(default=False)


class Budget:
    """Limits on calls, tokens, US dollars and minutes of wall time; None means no limit.

    A call is one sample of one request, whether the cache answers it or a model, so a repeated or
    resumed run makes the same decisions as the first one. A request that does not fit beside what
    is reserved waits until enough is settled, in order of arrival; it is refused when it cannot fit
    at all. Retries of a failed request belong to its reservation.
    """

    def __init__(
        self,
        calls: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        minutes: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.calls, self.tokens, self.usd, self.minutes = calls, tokens, usd, minutes
        self.spent, self._reserved = Usage(), Usage()
        self._clock, self._start_s = clock, clock()
        self._lock, self._waiters = threading.Lock(), deque[_Waiter]()

    @property
    def counts_tokens(self) -> bool:
        """Whether a request needs a bound on its tokens."""
        return self.tokens is not None or self.usd is not None

    def remaining(self) -> Remaining:
        """What may still be reserved."""
        taken = self.spent + self._reserved
        return Remaining(
            None if self.calls is None else max(0, self.calls - taken.calls),
            None if self.tokens is None else max(0, self.tokens - taken.tokens),
            None if self.usd is None else max(0.0, self.usd - taken.cost_usd),
            None if self.minutes is None else max(0.0, self.minutes - self._elapsed_min()),
        )

    def fits(self, calls: int) -> bool:
        """Whether so many further calls are within the limit on calls, and there is time left."""
        left = self.remaining()
        return (left.calls is None or calls <= left.calls) and left.minutes != 0.0

    async def reserve(self, worst: Usage) -> Reservation:
        """Set aside the worst case of a request. Raises: BudgetExceeded."""
        waiter = self._take_or_queue(worst)
        if waiter is not None:
            await self._wait(waiter)
        return Reservation(self, worst)

    def _take_or_queue(self, worst: Usage) -> _Waiter | None:
        with self._lock:
            self._refuse_hopeless(worst)
            if not self._waiters and self._over(self.spent + self._reserved + worst) is None:
                self._reserved += worst
                return None
            loop = asyncio.get_running_loop()
            waiter = _Waiter(worst, loop, loop.create_future())
            self._waiters.append(waiter)
            return waiter

    async def _wait(self, waiter: _Waiter) -> None:
        try:
            await waiter.decided
        except asyncio.CancelledError:
            with self._lock:
                if waiter.granted:
                    self._reserved += _negative(waiter.worst)
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                self._decide_waiters()
            raise
        if not waiter.granted:
            with self._lock:
                self._refuse_hopeless(waiter.worst)

    def _settle(self, worst: Usage, used: Usage) -> None:
        with self._lock:
            self._reserved += _negative(worst)
            self.spent += used
            self._decide_waiters()

    def _decide_waiters(self) -> None:
        """Grant the first waiters that fit; send away those that no longer can."""
        while self._waiters:
            waiter = self._waiters[0]
            hopeless = self._over(self.spent + waiter.worst) is not None
            waiter.granted = self._over(self.spent + self._reserved + waiter.worst) is None
            if not hopeless and not waiter.granted:
                return
            if waiter.granted:
                self._reserved += waiter.worst
            self._waiters.popleft()
            waiter.loop.call_soon_threadsafe(_decide, waiter.decided)

    def _refuse_hopeless(self, worst: Usage) -> None:
        limit = self._over(self.spent + worst)
        if limit is not None:
            raise BudgetExceeded(_exceeded(limit, self.spent))

    def _over(self, total: Usage) -> str | None:
        """The limit that a total would pass, in words."""
        if self.calls is not None and total.calls > self.calls:
            return f"{self.calls} calls"
        if self.tokens is not None and total.tokens > self.tokens:
            return f"{self.tokens} tokens"
        if self.usd is not None and total.cost_usd > self.usd + 1e-12:
            return f"{self.usd} US dollars"
        if self.minutes is not None and self._elapsed_min() >= self.minutes:
            return f"{self.minutes} minutes"
        return None

    def _elapsed_min(self) -> float:
        return (self._clock() - self._start_s) / 60


def _decide(decided: asyncio.Future[None]) -> None:
    if not decided.done():
        decided.set_result(None)


def _negative(usage: Usage) -> Usage:
    return Usage(
        -usage.calls,
        -usage.cached_calls,
        -usage.prompt_tokens,
        -usage.completion_tokens,
        -usage.cost_usd,
    )


def _exceeded(limit: str, spent: Usage) -> Diagnostic:
    used = f"{spent.calls} calls, {spent.tokens} tokens, {spent.cost_usd:.4f} USD so far"
    return error(
        "budget-exceeded",
        f"the budget of {limit} leaves no room for the next request ({used})",
        help="raise the limit, or start again: answers that were paid for come from the cache",
    )
