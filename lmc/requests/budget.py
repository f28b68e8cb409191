"""Budgets that are never exceeded: each request reserves its worst case before it is sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lmc.diagnostics import Diagnostic, LmcError, error
from lmc.frozen import frozen
from lmc.requests.usage import Usage


class BudgetExceeded(LmcError):
    """The next request might exceed a limit, so it was not sent."""


class ModelBudgetExceeded(BudgetExceeded):
    """A model's own budget is spent. Its fallbacks may still be asked."""


@frozen
class Remaining:
    """The part of each limit that is neither spent nor reserved. None means no limit."""

    calls: int | None
    tokens: int | None
    usd: float | None
    minutes: float | None


class Reservation:
    """A share of the budget, reserved for one request. Leaving the `with` block settles it."""

    __slots__ = ("_alone", "_budget", "_held", "_settled")

    def __init__(self, budget: Budget, worst: Usage, *, alone: bool = True) -> None:
        self._budget, self._settled, self._alone = budget, False, alone
        self._held = [worst]

    def settle(self, used: Usage) -> None:
        """Replace the worst case by the real usage. Later calls do nothing."""
        if not self._settled:
            self._settled = True
            self._budget._settle(self._held, used)

    def pay(self, part: Usage, used: Usage) -> None:
        """Settle one finished attempt, which is a part of the reservation."""
        if not self._settled:
            self._budget._settle([part], used)
            self._held.append(_negative(part))

    def charge(self, used: Usage) -> None:
        """Spend more than is reserved, without waiting. Raises: BudgetExceeded."""
        self._budget.charge(used)

    async def again(self, part: Usage, *, wait: bool) -> None:
        """Reserve the worst case of a further attempt, ahead of all new requests.

        A caller that holds more than this attempt must not `wait`: others wait for what it holds.
        Raises: BudgetExceeded.
        """
        if wait:
            await self._budget._hold(part, first=True, alone=self._alone)
        else:
            await self._budget.claim(part)
        self._held.append(part)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *exc: object) -> None:
        # An interrupted request has no token counts, but it was sent, so its calls stay spent.
        self.settle(Usage(calls=sum(part.calls for part in self._held)))


@dataclass(eq=False, slots=True)
class _Waiter:
    worst: Usage
    loop: asyncio.AbstractEventLoop
    decided: asyncio.Future[None]
    granted: bool = field(default=False)
    alone: bool = True


@dataclass(slots=True)
class _Tally:
    """The total of all open reservations."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def add(self, worst: Usage, times: int = 1) -> None:
        self.calls += times * worst.calls
        self.tokens += times * worst.tokens
        self.usd += times * worst.cost_usd


_NOTHING = _Tally()
FLAGRANT = 2.0  # so many times the reserved tokens are more than a wrong estimate


class Budget:
    """Limits on calls, tokens, US dollars and minutes of wall time; None means no limit.

    A call is one sample of one request. A call that the cache answers counts too, so a repeated or
    resumed run makes the same decisions as the first one. A request that does not fit beside the
    open reservations waits for its turn, in order of arrival. It is refused if it can never fit.
    Each retry of a failed request counts as one more call, unless the server was too busy for it.

    A server may write more than it was asked for. So under a limit on tokens or money the first
    request goes alone. Once one used far more than was reserved for it, so much is kept free for
    each: what passes the limit is the excess of one answer at most. Requests of a batch do not wait
    for a first one, which may take a day.
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
        self.spent = Usage()
        self._reserved = _Tally()
        self._clock, self._start_s = clock, clock()
        self._lock, self._waiters = threading.Lock(), deque[_Waiter]()
        self._excess = 1.0  # used tokens for one that is reserved, in the worst answer

    @classmethod
    def within(cls, limits: Mapping[str, float], **own: float | None) -> Budget:
        """A budget with limits by name. The keyword arguments replace limits of the mapping."""
        given = {**limits, **own}
        calls, tokens = given.get("calls"), given.get("tokens")
        return cls(
            None if calls is None else int(calls),
            None if tokens is None else int(tokens),
            given.get("usd"),
            given.get("minutes"),
        )

    @property
    def counts_tokens(self) -> bool:
        """Whether a request needs a bound on its tokens."""
        return self.tokens is not None or self.usd is not None

    def remaining(self) -> Remaining:
        """The part of each limit that may still be reserved."""
        spent, held = self.spent, self._reserved
        return Remaining(
            None if self.calls is None else max(0, self.calls - spent.calls - held.calls),
            None if self.tokens is None else max(0, self.tokens - spent.tokens - held.tokens),
            None if self.usd is None else max(0.0, self.usd - spent.cost_usd - held.usd),
            None if self.minutes is None else max(0.0, self.minutes - self._elapsed_min()),
        )

    def fits(self, calls: int) -> bool:
        """Whether so many further calls fit into the limits on calls and minutes."""
        left = self.remaining()
        return (left.calls is None or calls <= left.calls) and left.minutes != 0.0

    async def reserve(self, worst: Usage, *, alone: bool = True) -> Reservation:
        """Reserve the worst case of a request; wait if need be. Raises: BudgetExceeded.

        Without `alone`, it also goes beside the first request, before anything is known of how long
        answers are.
        """
        await self._hold(worst, alone=alone)
        return Reservation(self, worst, alone=alone)

    def charge(self, used: Usage) -> None:
        """Spend without waiting, beside the open reservations. Raises: BudgetExceeded."""
        with self._lock:
            self._require(used)
            self.spent += used

    def take(self, worst: Usage) -> None:
        """Reserve without waiting, beside the open reservations. Raises: BudgetExceeded."""
        with self._lock:
            self._require(worst)
            self._reserved.add(worst)

    async def claim(self, worst: Usage) -> None:
        """As `take`, for budgets that have to ask for room elsewhere. Raises: BudgetExceeded."""
        self.take(worst)

    def roomy(self, worst: Usage) -> bool:
        """Whether a request would not have to wait."""
        with self._lock:
            return not self._waiters and self._may_go(worst, alone=True)

    def take_spare(self, worst: Usage, most: int, sharers: int) -> int:
        """Reserve room for further requests, if there is plenty for all who share it.

        Returns for how many. That is none as long as nothing is known of how long answers are.
        """
        with self._lock:
            if self._waiters or (self.counts_tokens and not self.spent.tokens):
                return 0
            held, spent, fitting = self._reserved, self.spent, [float(most)]
            if self.calls is not None and worst.calls:
                fitting.append((self.calls - spent.calls - held.calls) / worst.calls / sharers)
            if self.tokens is not None and worst.tokens:
                room = (self.tokens - spent.tokens) / self._excess - held.tokens
                fitting.append(room / worst.tokens / sharers)
            if self.usd is not None and worst.cost_usd:
                room = (self.usd - spent.cost_usd) / self._excess - held.usd
                fitting.append(room / worst.cost_usd / sharers)
            count = max(0, int(min(fitting)))
            self._reserved.add(worst, count)
            return count

    def settle_lease(self, held: Usage, used: Usage, excess: float) -> None:
        """Replace a part of what is reserved by what was used elsewhere."""
        with self._lock:
            self._reserved.add(held, -1)
            self.spent += used
            self._excess = max(self._excess, excess)
            self._decide_waiters()

    def _require(self, more: Usage) -> None:
        limit = self._passed(more, self._reserved)
        if limit is not None:
            raise BudgetExceeded(_exceeded(limit, self.spent))

    @property
    def used_up(self) -> bool:
        """Whether a limit is reached, so that no request fits any more."""
        left = self.remaining()
        whole = (left.calls, left.tokens, left.minutes)
        return 0 in whole or (left.usd is not None and left.usd <= 1e-9)

    def require_time(self) -> None:
        """Check the time. Raises: BudgetExceeded if the minutes are over."""
        with self._lock:
            self._refuse_hopeless(Usage())

    async def _hold(self, worst: Usage, *, first: bool = False, alone: bool = True) -> None:
        waiter = self._take_or_queue(worst, first, alone)
        if waiter is not None:
            await self._wait(waiter)

    def _take_or_queue(self, worst: Usage, first: bool, alone: bool) -> _Waiter | None:
        with self._lock:
            self._refuse_hopeless(worst)
            if (first or not self._waiters) and self._may_go(worst, alone):
                self._reserved.add(worst)
                return None
            loop = asyncio.get_running_loop()
            waiter = _Waiter(worst, loop, loop.create_future(), alone=alone)
            (self._waiters.appendleft if first else self._waiters.append)(waiter)
            return waiter

    async def _wait(self, waiter: _Waiter) -> None:
        try:
            await waiter.decided
        except asyncio.CancelledError:
            with self._lock:
                if waiter.granted:
                    self._reserved.add(waiter.worst, -1)
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                self._decide_waiters()
            raise
        if not waiter.granted:
            with self._lock:
                self._refuse_hopeless(waiter.worst)

    def _settle(self, held: Sequence[Usage], used: Usage) -> None:
        with self._lock:
            for part in held:
                self._reserved.add(part, -1)
            self.spent += used
            self._learn(sum(part.tokens for part in held), used.tokens)
            self._decide_waiters()

    def _learn(self, reserved: int, used: int) -> None:
        if used > FLAGRANT * reserved > 0:
            self._excess = max(self._excess, used / reserved)

    def _may_go(self, worst: Usage, alone: bool) -> bool:
        unanswered = alone and self.counts_tokens and not self.spent.tokens
        waits = unanswered and self._reserved.calls > 0
        return not waits and self._passed(worst, self._reserved) is None

    def _decide_waiters(self) -> None:
        """Grant the first waiters that fit, and refuse those that can no longer fit."""
        while self._waiters:
            waiter = self._waiters[0]
            hopeless = self._passed(waiter.worst) is not None
            waiter.granted = self._may_go(waiter.worst, waiter.alone)
            if not hopeless and not waiter.granted:
                return
            if waiter.granted:
                self._reserved.add(waiter.worst)
            self._waiters.popleft()
            waiter.loop.call_soon_threadsafe(_decide, waiter.decided)

    def _refuse_hopeless(self, worst: Usage) -> None:
        limit = self._passed(worst)
        if limit is not None:
            raise BudgetExceeded(_exceeded(limit, self.spent))

    def _passed(self, worst: Usage, held: _Tally = _NOTHING) -> str | None:
        """Name the limit that a request would exceed, given the spent and reserved usage."""
        spent = self.spent
        if self.calls is not None and spent.calls + held.calls + worst.calls > self.calls:
            return f"{self.calls} calls"
        tokens = self._excess * (held.tokens + worst.tokens)
        if self.tokens is not None and spent.tokens + tokens > self.tokens:
            return f"{self.tokens} tokens"
        usd = self._excess * (held.usd + worst.cost_usd)
        if self.usd is not None and spent.cost_usd + usd > self.usd + 1e-9:
            return f"{self.usd} US dollars"
        if self.minutes is not None and self._elapsed_min() >= self.minutes:
            return f"{self.minutes} minutes"
        return None

    def _elapsed_min(self) -> float:
        return (self._clock() - self._start_s) / 60


def _negative(part: Usage) -> Usage:
    """The negative of a usage; adding it takes the usage back."""
    return Usage(-part.calls, 0, -part.prompt_tokens, -part.completion_tokens, -part.cost_usd)


def _decide(decided: asyncio.Future[None]) -> None:
    if not decided.done():
        decided.set_result(None)


def _exceeded(limit: str, spent: Usage) -> Diagnostic:
    used = f"{spent.calls} calls, {spent.tokens} tokens, {spent.cost_usd:.4f} USD so far"
    return error(
        "budget-exceeded",
        f"the budget of {limit} leaves no room for the next request ({used})",
        help="raise the limit, or start again: the cache has all answers that were paid for",
    )
