"""Functions of users, called so that nothing they do ends lmc or holds up its event loop.

A blocking function runs in a thread of its own, a coroutine on an event loop of its own. What they
raise comes back as an `Exception`, whatever it was. The threads are daemons: one that never returns
can be left behind when its time is up, and does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lmc.redaction import redact

R = TypeVar("R")

TOLD_CHARS = 500  # of what an exception of a user says
PATIENCE_S = 1.0  # for an event loop to answer, before another takes its place

_loop: asyncio.AbstractEventLoop | None = None


class Escape(Exception):
    """What a user's function raised to end more than itself, such as `SystemExit`: `__cause__`."""


class TooLong(Exception):
    """A user's function did not return in time."""


def said(problem: BaseException) -> str:
    """What an exception says, in one short text; exceptions of users may fail at this too."""
    cause = problem.__cause__ if isinstance(problem, Escape) else problem
    try:
        words = redact(f"{type(cause).__name__}: {cause}")
    except BaseException:
        words = f"{type(cause).__name__}, which cannot say what it is"
    return words if len(words) <= TOLD_CHARS else words[: TOLD_CHARS - 1] + "…"


async def call_foreign(
    function: Callable[[], Any], then: Callable[[Any], R], timeout_s: float
) -> R:
    """Call a function of a user and read its value by `then`, away from the loop of lmc.

    Raises: TooLong, Escape, and any Exception of the function or of `then`.
    """
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            if inspect.iscoroutinefunction(function):
                return await _on_own_loop(function, then)
            return await _called(function, then)
    except TimeoutError:
        if limit.expired():
            raise TooLong(f"took more than {timeout_s:g} s") from None
        raise


async def _called(function: Callable[[], Any], then: Callable[[Any], R]) -> R:
    """The value of a function in a thread; it may turn out to be something to wait for."""

    def work() -> tuple[bool, Any]:
        value = function()
        waits = inspect.isawaitable(value)
        return waits, value if waits else then(value)

    waits, value = await _in_thread(work)
    return await _on_own_loop(lambda: value, then) if waits else value


def _in_thread(function: Callable[[], R]) -> asyncio.Future[R]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def settle(result: R | None, failure: Exception | None) -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(failure)

    def run() -> None:
        result: R | None = None
        failure: Exception | None = None
        try:
            result = function()
        except BaseException as problem:
            failure = _harmless(problem)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="lmc-tool", daemon=True).start()
    return future


def _harmless(problem: BaseException) -> Exception:
    """An exception that a future takes and that ends no loop."""
    if isinstance(problem, Exception) and not isinstance(problem, StopIteration):
        return problem
    escape = Escape()
    escape.__cause__ = problem
    return escape


async def _on_own_loop(make: Callable[[], Any], then: Callable[[Any], R]) -> R:
    """Wait for something of a user on a loop that may be blocked without harm."""

    async def work() -> R:
        try:
            return then(await make())
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as problem:
            raise _harmless(problem) from problem

    loop = _own_loop()
    try:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))
    except asyncio.CancelledError as problem:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            _leave_if_blocked(loop)
            raise
        raise _harmless(problem) from problem  # the user's own


def _own_loop() -> asyncio.AbstractEventLoop:
    global _loop
    if _loop is None:
        loop = _loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(loop,), name="lmc-tools", daemon=True).start()
    return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Keep a loop going; a task of a user that raises `SystemExit` stops it only for a moment."""
    while not loop.is_closed():
        with contextlib.suppress(BaseException):
            loop.run_forever()


def _leave_if_blocked(loop: asyncio.AbstractEventLoop) -> None:
    """Use another loop from now on where this one does not answer soon."""
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)

    def look() -> None:
        global _loop
        if not answered.is_set() and _loop is loop:
            _loop = None

    asyncio.get_running_loop().call_later(PATIENCE_S, look)


def _forget_after_fork() -> None:
    global _loop
    _loop = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
