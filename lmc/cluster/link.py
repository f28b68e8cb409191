"""Calls in both directions between two processes, many of them in one message.

Each side of a link calls the other one, and serves what it is called for. What is said meanwhile
goes out together, so a busy link sends few large messages. The link does not know how messages
travel: `take` gives what is to be sent, `receive` takes what came.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

from lmc.tasks.foreign import said

Serve = Callable[[str, Any], Awaitable[Any]]
Hear = Callable[[str, Any], None]
_CALL, _DONE, _FAILED, _CANCEL, _TELL = range(5)


class LinkLost(Exception):
    """The process at the other end is gone, or has not been heard of for too long."""


class FarFault(Exception):
    """A fault of lmc at the other end, in words. It is no failure of a user's program."""


class Link:
    """One end of a link. It belongs to one event loop.

    `serve` answers the calls of the other end. `ready` is called when there is something to send.
    `hear` takes what needs no answer.
    """

    def __init__(self, serve: Serve, ready: Callable[[], None], hear: Hear | None = None) -> None:
        self._serve, self._ready, self._hear = serve, ready, hear
        self._outbox: list[tuple[int, int, Any]] = []
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._serving: dict[int, asyncio.Task[Any]] = {}
        self._number, self.lost = 0, False

    async def call(self, kind: str, content: Any) -> Any:
        """Call the other end, and wait for its answer. Cancelling the caller cancels it there too.

        Raises: LinkLost, FarFault, and whatever lmc or Python's own errors say at the other end.
        """
        if self.lost:
            raise LinkLost
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._say(_CALL, number, (kind, content))
        try:
            return await answer
        finally:
            if self._waiting.pop(number, None) is not None and not self.lost:
                self._say(_CANCEL, number, None)

    def tell(self, kind: str, content: Any) -> None:
        """Say something that needs no answer. It arrives before all that is said later."""
        self._say(_TELL, 0, (kind, content))

    def take(self) -> bytes | None:
        """What is to be sent now; None if there is nothing."""
        if not self._outbox:
            return None
        said, self._outbox = self._outbox, []
        return pickle.dumps(said, pickle.HIGHEST_PROTOCOL)

    def receive(self, message: bytes) -> None:
        """Take what the other end sent."""
        for what, number, content in pickle.loads(message):  # noqa: S301 - of a process that we started
            if what == _CALL:
                self._begin(number, *content)
            elif what == _TELL:
                if self._hear is not None:
                    self._hear(*content)
            elif what == _CANCEL:
                if (task := self._serving.get(number)) is not None:
                    task.cancel()
            elif (answer := self._waiting.pop(number, None)) is not None and not answer.done():
                if what == _DONE:
                    answer.set_result(content)
                else:
                    answer.set_exception(content)

    def lose(self, stays: Callable[[asyncio.Task[Any]], bool] = lambda task: False) -> None:
        """Fail all calls of this end, and end what it serves, but for tasks that `stay`."""
        self.lost, self._outbox = True, []
        waiting, self._waiting = self._waiting, {}
        for task in self._serving.values():
            if not stays(task):
                task.cancel()
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(LinkLost())

    def _begin(self, number: int, kind: str, content: Any) -> None:
        task = asyncio.ensure_future(self._serve(kind, content))
        assert isinstance(task, asyncio.Task)
        self._serving[number] = task
        task.add_done_callback(lambda done: self._end(number, done))

    def _end(self, number: int, task: asyncio.Task[Any]) -> None:
        del self._serving[number]
        if task.cancelled():
            self._say(_FAILED, number, LinkLost())
        elif (failure := task.exception()) is None:
            self._say(_DONE, number, task.result())
        else:
            self._say(_FAILED, number, _portable(failure))

    def _say(self, what: int, number: int, content: Any) -> None:
        if self.lost:
            return
        first = not self._outbox
        self._outbox.append((what, number, content))
        if first:
            self._ready()


def _portable(failure: BaseException) -> BaseException:
    """A failure that the other end can read, else one with its words."""
    try:
        pickle.loads(pickle.dumps(failure))  # noqa: S301 - our own
    except Exception:
        return FarFault(said(failure))
    failure.__traceback__ = None
    return failure
