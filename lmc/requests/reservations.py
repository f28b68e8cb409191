"""Reservations of one call: in the budgets of the run, in that of the model, or in none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from lmc.diagnostics import error
from lmc.requests.bound import BoundModel
from lmc.requests.budget import Budget, BudgetExceeded, ModelBudgetExceeded, Reservation
from lmc.requests.usage import Usage


class Held(Protocol):
    """A reserved share of budgets."""

    def settle(self, used: Usage) -> None:
        """Replace all that is reserved by the real usage."""

    def pay(self, part: Usage, used: Usage) -> None:
        """Settle the part of one finished attempt."""

    def charge(self, used: Usage) -> None:
        """Spend more than is reserved, without waiting. Raises: BudgetExceeded."""

    async def again(self, part: Usage, *, wait: bool) -> None:
        """Reserve a further attempt; with `wait`, wait for room. Raises: BudgetExceeded."""

    def __enter__(self) -> Held:
        """Hold the reservation until the block ends."""

    def __exit__(self, *exc: object) -> None:
        """Settle the rest. An interrupted request was sent, so its calls stay spent."""


async def reserve(bound: BoundModel, wholes: Sequence[Budget], worst: Usage) -> Held:
    """Reserve the worst case of a request, in one budget after the other.

    Raises: BudgetExceeded.
    """
    held: Held = UNLIMITED
    alone = not bound.backend.capabilities.deferred
    if bound.budget is not None:
        with _own_budget(bound):
            held = _Own(bound, await bound.budget.reserve(worst, alone=alone))
    for whole in wholes:
        try:
            more = await whole.reserve(worst, alone=alone)
        except BaseException:
            held.settle(Usage())  # nothing was sent
            raise
        held = more if held is UNLIMITED else _Both(held, more)
    return held


class _Own:
    """A reservation in a model's own budget."""

    def __init__(self, bound: BoundModel, held: Reservation) -> None:
        self._bound, self._held = bound, held

    def settle(self, used: Usage) -> None:
        self._held.settle(used)

    def pay(self, part: Usage, used: Usage) -> None:
        self._held.pay(part, used)

    def charge(self, used: Usage) -> None:
        self._held.charge(used)

    async def again(self, part: Usage, *, wait: bool) -> None:
        with _own_budget(self._bound):
            await self._held.again(part, wait=wait)

    def __enter__(self) -> _Own:
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.__exit__()


class _Both:
    """A reservation in a model's own budget, or in some, and one in a further budget."""

    def __init__(self, own: Held, whole: Reservation) -> None:
        self._own, self._whole = own, whole

    def settle(self, used: Usage) -> None:
        self._own.settle(used)
        self._whole.settle(used)

    def pay(self, part: Usage, used: Usage) -> None:
        self._own.pay(part, used)
        self._whole.pay(part, used)

    def charge(self, used: Usage) -> None:
        self._own.charge(used)
        self._whole.charge(used)

    async def again(self, part: Usage, *, wait: bool) -> None:
        await self._own.again(part, wait=wait)
        try:
            await self._whole.again(part, wait=wait)
        except BaseException:
            self._own.pay(part, Usage())  # nothing was sent
            raise

    def __enter__(self) -> _Both:
        return self

    def __exit__(self, *exc: object) -> None:
        self._own.__exit__()
        self._whole.__exit__()


class _Unlimited:
    """The reservation of a call without a budget."""

    def settle(self, used: Usage) -> None:
        pass

    def pay(self, part: Usage, used: Usage) -> None:
        pass

    def charge(self, used: Usage) -> None:
        pass

    async def again(self, part: Usage, *, wait: bool) -> None:
        pass

    def __enter__(self) -> _Unlimited:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


UNLIMITED: Held = _Unlimited()


@contextmanager
def _own_budget(bound: BoundModel) -> Iterator[None]:
    """Turn a spent budget into that of the model, so that its fallbacks are asked."""
    try:
        yield
    except BudgetExceeded as spent:
        text = f"model `{bound.name}` has used up its own budget: {spent.diagnostics[0].message}"
        help = "raise `budget`, or name another model to ask: `fallback: [other]`"
        raise ModelBudgetExceeded(error("budget-exceeded", text, help=help)) from None
