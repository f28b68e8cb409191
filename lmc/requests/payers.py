"""Who pays for the calls of a run beside its pool, such as the budget of a request to a server.

The runs of one program share a pool, with its connections, cache and requests in flight. Budgets of
single runs go along with their tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lmc.requests.budget import Budget

Payers = tuple[Budget, ...]
_payers: ContextVar[Payers] = ContextVar("lmc_payers", default=())


def payers() -> Payers:
    """The budgets that pay for the calls of this task, and of the tasks that it starts."""
    return _payers.get()


@contextmanager
def paying(*budgets: Budget) -> Iterator[None]:
    """Let budgets pay for all calls inside, in the order in which they reserve."""
    before = _payers.set((*_payers.get(), *budgets))
    try:
        yield
    finally:
        _payers.reset(before)
