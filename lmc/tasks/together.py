"""Runs many tasks concurrently: a bounded number at a time, and all stop when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

BREATH = 8  # items after which work that never waits lets other tasks run
MAX_IN_FLIGHT = 1024  # items of one region; requests are bounded by each model's own limit


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that stopped a task group, without the group around it."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def shared(work: Coroutine[None, None, T]) -> asyncio.Future[T]:
    """Start work that several wait for, each with a shield.

    Where all of them were cancelled meanwhile, its failure is nobody's, and not logged.
    """
    started = asyncio.ensure_future(work)
    started.add_done_callback(lambda done: done.cancelled() or done.exception())
    return started


async def for_all(
    items: Sequence[T],
    work: Callable[[int, T], Awaitable[R]],
    *,
    in_flight: int = MAX_IN_FLIGHT,
) -> list[R]:
    """Call `work` on all items, at most `in_flight` at a time. Returns the results in order.

    The first failure cancels the other calls. It is raised itself, without a group around it.
    """
    results: dict[int, R] = {}

    async def keep(i: int, item: T) -> None:
        results[i] = await work(i, item)

    await for_each(items, keep, in_flight=min(len(items), in_flight))
    return [results[i] for i in range(len(results))]


async def for_each(
    items: Iterable[T], work: Callable[[int, T], Awaitable[None]], *, in_flight: int = MAX_IN_FLIGHT
) -> None:
    """Like `for_all`, but keeps neither results nor items."""
    queue = enumerate(items)

    async def draw() -> None:
        for i, item in queue:
            await work(i, item)
            if i % BREATH == 0:
                await asyncio.sleep(0)

    if in_flight <= 1:
        await draw()
    else:
        await all_of(draw for _ in range(in_flight))


async def all_of(works: Iterable[Callable[[], Coroutine[None, None, None]]]) -> None:
    """Run coroutines concurrently until all are done, or one fails."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
