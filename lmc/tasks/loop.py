"""The event loop of lmc, in a daemon thread, and functions to run coroutines on it."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Closer = Callable[[], Awaitable[None]]

_CLOSE_TIMEOUT_S = 5.0
_CANCEL_TIMEOUT_S = 10.0

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_closers: list[Closer] = []


def event_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs all coroutines of lmc. It starts at its first use, once per process."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = _new_loop()
            threading.Thread(target=_loop.run_forever, name="lmc-loop", daemon=True).start()
        return _loop


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop if it is installed: it needs less time per request."""
    try:
        from uvloop import new_event_loop
    except ImportError:  # uvloop does not exist for Windows
        return asyncio.new_event_loop()
    return new_event_loop()


def to_future(coro: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start a coroutine on the loop from any thread."""
    return asyncio.run_coroutine_threadsafe(coro, event_loop())


def run_sync(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and wait for it.

    Ctrl-C cancels the coroutine, waits for its cleanup, and is raised again.
    """
    if _loop is not None and _running_loop() is _loop:
        coro.close()
        raise RuntimeError("run_sync() was called from lmc's own event loop; await instead")
    tasks: list[asyncio.Task[Any] | None] = []

    async def work() -> T:
        tasks.append(asyncio.current_task())
        return await coro

    try:
        return to_future(work()).result()
    except BaseException:  # Ctrl-C can come at any step, even before there is a future
        for task in tasks:
            if task is not None and not task.done():
                _cancel(task)
        raise


async def run_async(coro: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on lmc's loop from another loop. Cancelling the caller cancels it too."""
    if _running_loop() is _loop:
        return await coro
    return await asyncio.wrap_future(to_future(coro))


def at_close(closer: Closer) -> None:
    """Register a coroutine function to call on the loop when the process ends."""
    _closers.append(closer)


def forget_closer(closer: Closer) -> None:
    """Undo `at_close` for something that is closed already."""
    with contextlib.suppress(ValueError):
        _closers.remove(closer)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and give it time to clean up."""
    event_loop().call_soon_threadsafe(task.cancel)
    settled = asyncio.run_coroutine_threadsafe(_others_settled(), event_loop())
    with contextlib.suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
        settled.result(_CANCEL_TIMEOUT_S)


async def _others_settled() -> None:
    """Wait for all tasks that are being cancelled."""
    await asyncio.sleep(0)
    this = asyncio.current_task()
    tasks = [t for t in asyncio.all_tasks() if t is not this and t.cancelling()]
    if tasks:
        await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT_S)


async def _close_all() -> None:
    closers, _closers[:] = list(_closers), []
    await asyncio.gather(*(closer() for closer in closers), return_exceptions=True)


def _shut_down() -> None:
    global _loop
    loop, _loop = _loop, None
    if loop is None or loop.is_closed():
        return
    closing = asyncio.run_coroutine_threadsafe(_close_all(), loop)
    with contextlib.suppress(Exception):
        closing.result(_CLOSE_TIMEOUT_S)
    loop.call_soon_threadsafe(loop.stop)


def _forget_after_fork() -> None:
    """Let a forked child start its own loop. It has no thread that runs the parent's loop."""
    global _loop, _lock
    _loop, _lock = None, threading.Lock()
    _closers.clear()


atexit.register(_shut_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
