"""Call functions of users safely: they cannot end lmc or block its event loop.

A blocking function runs in its own thread, and a coroutine on a separate event loop. Everything
that they raise comes back as an `Exception`. The threads are daemons. A thread that does not return
in time is left behind, and does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from lmc.redaction import redact

R = TypeVar("R")

TOLD_CHARS = 500  # of the text of a user's exception
PATIENCE_S = 1.0  # an event loop that does not answer in this time is replaced

_loop: asyncio.AbstractEventLoop | None = None


class Escape(Exception):
    """A user's function raised more than an `Exception`, such as `SystemExit` (`__cause__`)."""


class TooLong(Exception):
    """A user's function did not return in time."""


def said(problem: BaseException) -> str:
    """The message of an exception, shortened. Exceptions of users may raise here too."""
    cause = problem.__cause__ if isinstance(problem, Escape) else problem
    try:
        words = redact(f"{type(cause).__name__}: {cause}")
    except BaseException:
        words = f"{type(cause).__name__}, whose message cannot be read"
    return words if len(words) <= TOLD_CHARS else words[: TOLD_CHARS - 1] + "…"


async def call_foreign(
    function: Callable[[], Any], then: Callable[[Any], R], timeout_s: float
) -> R:
    """Call a function of a user and read its value by `then`, outside lmc's event loop.

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
    """Call a function in a thread. If the value is awaitable, await it."""

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

    context = copy_context()  # such as the span of a tracing tool, for spans of the function

    def run() -> None:
        result: R | None = None
        failure: Exception | None = None
        try:
            result = context.run(function)
        except BaseException as problem:
            failure = harmless(problem)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="lmc-tool", daemon=True).start()
    return future


def harmless(problem: BaseException) -> Exception:
    """An exception that a future accepts and that cannot end a loop."""
    if isinstance(problem, Exception) and not isinstance(problem, StopIteration):
        return problem
    escape = Escape()
    escape.__cause__ = problem
    return escape


async def _on_own_loop(make: Callable[[], Any], then: Callable[[Any], R]) -> R:
    """Await a user's object on a separate loop, which it may block without harm."""

    async def work() -> R:
        try:
            return then(await make())
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as problem:
            raise harmless(problem) from problem

    loop = _own_loop()
    try:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))
    except asyncio.CancelledError as problem:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            _leave_if_blocked(loop)
            raise
        raise harmless(problem) from problem  # raised by the user's code


def _own_loop() -> asyncio.AbstractEventLoop:
    global _loop
    if _loop is None:
        loop = _loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(loop,), name="lmc-tools", daemon=True).start()
    return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Keep a loop running. A user's task that raises `SystemExit` stops it only briefly."""
    while not loop.is_closed():
        with contextlib.suppress(BaseException):
            loop.run_forever()


def _leave_if_blocked(loop: asyncio.AbstractEventLoop) -> None:
    """Replace a loop that does not answer in time."""
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
