"""Leases: blocks of a budget that another process spends without asking for each call.

The lender reserves a block in its budget, as it reserves a request of its own, so a lease never
passes a limit. The borrower spends it, tells what it spent, and gives back what it does not need.
If the borrower is lost, nobody knows what it sent last, so its whole block counts as spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from lmc.diagnostics import Diagnostic
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.usage import Usage
from lmc.tasks.together import shared

MOST_BLOCK = 256  # requests that a block is for, at most
_BUSY_S = 1.0  # a block should last about as long
_LONG_MIN = 1e9


class Amount(NamedTuple):
    """A share of the limits of a budget."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    @classmethod
    def of(cls, used: Usage, times: int = 1) -> Amount:
        """What some usage takes from a budget."""
        return cls(used.calls * times, used.tokens * times, used.cost_usd * times)

    def usage(self) -> Usage:
        """As a usage that takes so much."""
        return Usage(self.calls, 0, self.tokens, 0, self.usd)

    def __add__(self, other: tuple[object, ...]) -> Amount:
        assert isinstance(other, Amount)
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)

    def less(self, other: Amount) -> Amount:
        """Without another amount, and at least nothing."""
        calls, tokens = max(0, self.calls - other.calls), max(0, self.tokens - other.tokens)
        return Amount(calls, tokens, max(0.0, self.usd - other.usd))

    def least(self, other: Amount) -> Amount:
        """The smaller figure of both, each."""
        calls, tokens = min(self.calls, other.calls), min(self.tokens, other.tokens)
        return Amount(calls, tokens, min(self.usd, other.usd))


class Report(NamedTuple):
    """What a borrower tells since the last time. `excess` is that of `Budget`."""

    spent: Usage = Usage()
    unused: Amount = Amount()
    excess: float = 1.0


class Wish(NamedTuple):
    """What a borrower asks for: one request at its worst, and room for some more like it.

    Without `wait`, it is refused if there is no room now.
    """

    worst: Usage
    more: int = 0
    wait: bool = True


class Grant(NamedTuple):
    """What a borrower may spend. `scarce`: it should give back at once what it does not need.

    A grant that is `refused` says why. `over`: a limit is reached, so that nothing fits any more.
    """

    amount: Amount = Amount()
    minutes: float | None = None
    scarce: bool = False
    refused: Diagnostic | None = None
    over: bool = False


class LeasedLimits(NamedTuple):
    """The limits of a borrower before its first lease: nothing, or None where there is no limit."""

    calls: int | None
    tokens: int | None
    usd: float | None
    minutes: float | None

    @classmethod
    def of(cls, budget: Budget) -> LeasedLimits:
        """Those of a borrower of this budget."""
        return cls(
            None if budget.calls is None else 0,
            None if budget.tokens is None else 0,
            None if budget.usd is None else 0.0,
            None if budget.minutes is None else _LONG_MIN,  # the first lease says
        )


class Lease:
    """What one borrower has of a budget. It belongs to the lender."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.out = budget, Amount()

    async def grant(self, wish: Wish, sharers: int, waiting: Callable[[], None]) -> Grant:
        """Reserve what is wished, and more if there is plenty. `waiting` is told of a wait."""
        budget, worst = self.budget, self._limited(wish.worst)
        try:
            if wish.wait:
                if not budget.roomy(worst):
                    waiting()
                await budget._hold(worst)
            else:
                budget.take(worst)
        except BudgetExceeded as refusal:
            return Grant(refused=refusal.diagnostics[0], over=budget.used_up)
        more = budget.take_spare(worst, wish.more, sharers)
        amount = Amount.of(worst, 1 + more)
        self.out += amount
        return Grant(amount, budget.remaining().minutes, scarce=not more)

    def _limited(self, worst: Usage) -> Usage:
        """What of a usage the budget limits, as a borrower gives back nothing else."""
        budget, (calls, tokens, usd) = self.budget, Amount.of(worst)
        kept = Amount(
            0 if budget.calls is None else calls,
            0 if budget.tokens is None else tokens,
            0.0 if budget.usd is None else usd,
        )
        return kept.usage()

    def hear(self, report: Report) -> None:
        """Account for what the borrower spent, and take back what it does not use."""
        spent = Amount.of(report.spent)
        known = self.out.least(spent + report.unused)
        self.out = self.out.less(known)
        self.budget.settle_lease(known.usage(), report.spent, report.excess)

    def lose(self) -> None:
        """Count all that is out as spent: the borrower is gone."""
        out, self.out = self.out.usage(), Amount()
        self.budget.settle_lease(out, out, 1.0)


class LeasedBudget(Budget):
    """The budget of a borrower: it asks the lender for a block when its own is used up.

    `ask` brings what it spent and a wish to the lender. `tell` is called when something should be
    reported soon, as others wait for it. Belongs to one event loop.
    """

    def __init__(
        self,
        limits: LeasedLimits,
        ask: Callable[[Report, Wish], Awaitable[Grant]],
        tell: Callable[[], None],
    ) -> None:
        super().__init__(*limits)
        self._ask, self._tell = ask, tell
        self._line = asyncio.Lock()
        self._news, self._seen, self._in_line = Usage(), 1.0, 0
        self._over = self.scarce = False
        self._renewed_s, self._block = self._clock(), 4

    @property
    def used_up(self) -> bool:
        """Whether the lender's budget is."""
        return self._over

    def report(self, *, all: bool = False) -> Report | None:
        """What the lender does not know yet; None if that is nothing. `all` gives back the rest."""
        with self._lock:
            spent, self._news = self._news, Usage()
            unused = self._give_back() if all or self.scarce else Amount()
            if not spent.calls and not spent.tokens and unused == Amount():
                return None
            return Report(spent, unused, self._seen)

    def _give_back(self) -> Amount:
        left = self.remaining()
        unused = Amount(left.calls or 0, left.tokens or 0, left.usd or 0.0)
        self._limit(unused, -1)
        return unused

    def _limit(self, more: Amount, times: int = 1) -> None:
        if self.calls is not None:
            self.calls += times * more.calls
        if self.tokens is not None:
            self.tokens += times * more.tokens
        if self.usd is not None:
            self.usd += times * more.usd

    async def _hold(self, worst: Usage, *, first: bool = False, alone: bool = True) -> None:
        if not self._fits(worst):
            await self._renew(worst, wait=True)

    async def claim(self, worst: Usage) -> None:
        """As `Budget.claim`."""
        if not self._fits(worst):
            await self._renew(worst, wait=False)

    def _fits(self, worst: Usage) -> bool:
        with self._lock:
            fits = self._passed(worst, self._reserved) is None
            if fits:
                self._reserved.add(worst)
            return fits

    async def _renew(self, worst: Usage, *, wait: bool) -> None:
        """Wait in line, and ask for a block if need be. Raises: BudgetExceeded."""
        self._in_line += 1
        try:
            async with self._line:
                if self._fits(worst):
                    return
                wish = Wish(worst, max(self._in_line - 1, self._wanted()), wait)
                # Who asked may give up, but what was granted has to arrive.
                asked = shared(self._asked(wish))
                try:
                    grant = await asyncio.shield(asked)
                except asyncio.CancelledError:
                    asked.add_done_callback(lambda done: self._unclaimed(done, worst))
                    raise
                if grant.refused is not None:
                    raise BudgetExceeded(grant.refused)
        finally:
            self._in_line -= 1

    async def _asked(self, wish: Wish) -> Grant:
        report = self.report(all=True) or Report()
        self.scarce = False
        grant = await self._ask(report, wish)
        with self._lock:
            self._limit(grant.amount)
            if grant.refused is None:  # at once: a block that is called back is for others
                self._reserved.add(wish.worst)
            # What was called back meanwhile stays so: the grant may be older.
            self.scarce, self._over = self.scarce or grant.scarce, grant.over
            if grant.minutes is not None:
                self.minutes = self._elapsed_min() + grant.minutes
        return grant

    def _unclaimed(self, done: asyncio.Future[Grant], worst: Usage) -> None:
        """A grant came for a request that was given up."""
        if not done.cancelled() and done.exception() is None and done.result().refused is None:
            with self._lock:
                self._reserved.add(worst, -1)
            if self.scarce:
                self._tell()

    def _wanted(self) -> int:
        """The requests of about a second, to be told from the time that the last block lasted."""
        now_s = self._clock()
        lasted_s, self._renewed_s = now_s - self._renewed_s, now_s
        if lasted_s < _BUSY_S / 2:
            self._block = min(MOST_BLOCK, self._block * 2)
        elif lasted_s > _BUSY_S * 2:
            self._block = max(4, self._block // 2)
        return self._block

    def _settle(self, held: Sequence[Usage], used: Usage) -> None:
        super()._settle(held, used)
        self._news += used
        if self.scarce:
            self._tell()

    def charge(self, used: Usage) -> None:
        """As `Budget.charge`, within what is leased."""
        super().charge(used)
        self._news += used

    def _learn(self, reserved: int, used: int) -> None:
        """Only the lender keeps room for answers that are too long."""
        before, self._excess = self._excess, self._seen
        super()._learn(reserved, used)
        self._seen, self._excess = self._excess, before
