"""What one call holds of the budgets: that of the run, that of the model, both, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lmc.diagnostics import error
from lmc.requests.bound import BoundModel
from lmc.requests.budget import Budget, BudgetExceeded, ModelBudgetExceeded, Reservation
from lmc.requests.usage import Usage


class Held(Protocol):
    """A share of budgets that is set aside."""

    def settle(self, used: Usage) -> None:
        """Put what was used in the place of all that is held."""

    def pay(self, part: Usage, used: Usage) -> None:
        """Settle the part of one attempt that is over."""

    def charge(self, used: Usage) -> None:
        """Spend more than is held, at once. Raises: BudgetExceeded."""

    async def again(self, part: Usage, *, wait: bool) -> None:
        """Set aside a further attempt, if need be later. Raises: BudgetExceeded."""

    def __enter__(self) -> Held:
        """Hold until the block is left."""

    def __exit__(self, *exc: object) -> None:
        """Settle what is not settled: a request that was cut short was made, so its calls stay."""


async def reserve(bound: BoundModel, whole: Budget | None, worst: Usage) -> Held:
    """Set aside the worst case of a request. Raises: BudgetExceeded."""
    if bound.budget is None:
        assert whole is not None
        return await whole.reserve(worst)
    with _own_budget(bound):
        own = _Own(bound, await bound.budget.reserve(worst))
    if whole is None:
        return own
    try:
        return _Both(own, await whole.reserve(worst))
    except BaseException:
        own.settle(Usage())  # nothing is sent
        raise


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
    """A reservation in a model's own budget, and one in that of the run."""

    def __init__(self, own: _Own, whole: Reservation) -> None:
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
            self._own.pay(part, Usage())  # nothing is sent
            raise

    def __enter__(self) -> _Both:
        return self

    def __exit__(self, *exc: object) -> None:
        self._own.__exit__()
        self._whole.__exit__()


class _Unlimited:
    """Stands for a reservation where there is no budget."""

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
    """Tell that it is the model's own budget that is used up, so that its fallbacks are asked."""
    try:
        yield
    except BudgetExceeded as spent:
        text = f"model `{bound.name}` has used up its own budget: {spent.diagnostics[0].message}"
        help = "raise `budget`, or name a model to ask in its place: `fallback: [other]`"
        raise ModelBudgetExceeded(error("budget-exceeded", text, help=help)) from None
