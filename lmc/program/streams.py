"""Streams: a result while it is written, for `for` and `async for`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any, Generic, Self, TypeVar

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.prompts.growth import ABSENT
from lmc.tasks.loop import run_async, run_sync
from lmc.types import DictType, ListType, OptionalType, RecordType, Type

P = TypeVar("P")
R = TypeVar("R")
Place = tuple[str | int, ...]


@frozen
class Delta:
    """One change of a result that grows.

    `path` leads to the value, by fields and by indices of lists. If `text` is not None, it is added
    to the text there. Else `value` replaces what is there; it is JSON.
    """

    path: Place
    text: str | None = None
    value: Any = None

    def as_json(self) -> dict[str, Any]:
        """`{"path": […], "text": "…"}`, or `{"path": […], "value": …}`."""
        rest = {"value": self.value} if self.text is None else {"text": self.text}
        return {"path": list(self.path), **rest}


class Stream(Generic[P, R]):
    """A result while it is written: iterate with `for` or `async for`, once.

    A text comes in pieces. Of all other results each item is all that is there so far, typed: its
    records have None for fields that have not come. `result` is the result, at the end.
    Leaving the loop early and closing the stream cancels the run; `with` and `async with` close it.
    Whoever waits for the next item then has the end of the loop.
    It runs on lmc's own loop, so that any loop and any thread may take the next item, one at a
    time.
    """

    def __init__(
        self,
        values: AsyncGenerator[Any, None],
        shown: Callable[[AsyncGenerator[Any, None]], AsyncGenerator[P, None]],
        typed: Callable[[Any], R],
    ) -> None:
        self._values, self._typed = values, typed
        self._seen = _Seen()
        # Nothing here leads back to the stream, so one that is dropped is gone at once, and its
        # run with it.
        self._items = shown(_noted(values, self._seen))

    @property
    def result(self) -> R:
        """The result, once the loop has ended. Raises: LmcError[stream-not-ended]."""
        if not self._seen.ended:
            message = "the stream has no result yet"
            raise LmcError.of("stream-not-ended", message, help="read it to its end first")
        return self._typed(self._seen.last)

    def deltas(self) -> Stream[Delta, R]:
        """The same run as changes, such as a server sends them. Use one of both."""
        return Stream(self._values, _changes, self._typed)

    def __aiter__(self) -> AsyncIterator[P]:
        return self

    async def __anext__(self) -> P:
        return await run_async(self._next())

    async def _next(self) -> P:
        """The next item, on lmc's loop. Raises: LmcError[stream-in-use]."""
        seen = self._seen
        if seen.reading is not None and seen.reading.cancelling():
            await asyncio.wait([seen.reading])  # whoever waited before gave up
        elif seen.reading is not None:
            message = "two readers wait for the next item of one stream"
            raise LmcError.of("stream-in-use", message, help="give each reader a stream of its own")
        seen.reading = reading = asyncio.ensure_future(_item(self._items))
        try:
            return await reading
        except asyncio.CancelledError:
            if seen.closed:  # by somebody else: there is no more to read
                raise StopAsyncIteration from None
            raise
        finally:
            if seen.reading is reading:
                seen.reading = None

    async def aclose(self) -> None:
        """Cancel the run, if it goes on."""
        await run_async(self._close())

    async def _close(self) -> None:
        self._seen.closed = True
        if (reading := self._seen.reading) is not None:
            reading.cancel()
            await asyncio.wait([reading])
        await self._items.aclose()
        await self._values.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __iter__(self) -> Iterator[P]:
        return self

    def __next__(self) -> P:
        try:
            return run_sync(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Cancel the run, if it goes on."""
        run_sync(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Seen:
    """What came last, whether that was the end, and whether somebody waits for more."""

    def __init__(self) -> None:
        self.last: Any = ABSENT
        self.ended = self.closed = False
        self.reading: asyncio.Task[Any] | None = None  # if somebody waits for the next item


async def _item(items: AsyncGenerator[P, None]) -> P:
    return await anext(items)


async def _noted(values: AsyncGenerator[Any, None], seen: _Seen) -> AsyncGenerator[Any, None]:
    async with aclosing(values):
        async for value in values:
            seen.last = value
            yield value
    seen.ended = True


async def text_pieces(values: AsyncGenerator[Any, None]) -> AsyncGenerator[str, None]:
    """The pieces of a text that grows. The joined pieces are the text."""
    said = ""
    async with aclosing(values):
        async for whole in values:
            if len(whole) > len(said):
                yield whole[len(said) :]
                said = whole


def partly(type: Type) -> Callable[[AsyncGenerator[Any, None]], AsyncGenerator[Any, None]]:
    """What makes typed objects of the JSON values of an unfinished result."""
    from lmc.values.partials import to_partial

    async def typed(values: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        async with aclosing(values):
            async for value in values:
                yield to_partial(type, value)

    return typed


def field_path(type: Type, written: str) -> tuple[str, ...]:
    """The path of a field at any depth, such as `items.name`; items of lists have no name.

    Raises: LmcError[unknown-field].
    """
    at, path = type, tuple(written.split("."))
    for name in path:
        while isinstance(at, OptionalType | ListType):
            at = at.item
        fields = {f.name: f.type for f in at.fields} if isinstance(at, RecordType) else {}
        if not (isinstance(at, DictType) or name in fields):
            message = f"a result of type `{type}` has no field `{written}`"
            raise LmcError.of("unknown-field", message, help=suggestion(name, fields))
        at = at.item if isinstance(at, DictType) else fields[name]
    return path


async def _changes(values: AsyncGenerator[Any, None]) -> AsyncGenerator[Delta, None]:
    before: Any = ABSENT
    async with aclosing(values):
        async for after in values:
            for delta in changes(before, after):
                yield delta
            before = after


def changes(before: Any, after: Any, path: Place = ()) -> Iterator[Delta]:
    """What turns one JSON value into another."""
    match before, after:
        case str(), str() if after.startswith(before):
            if after != before:
                yield Delta(path, text=after[len(before) :])
        case dict(), dict() if before.keys() <= after.keys():
            for key, value in after.items():
                yield from changes(before.get(key, ABSENT), value, (*path, key))
        case list(), list() if len(before) <= len(after):
            more = [ABSENT] * (len(after) - len(before))
            for at, (old, new) in enumerate(zip([*before, *more], after)):
                yield from changes(old, new, (*path, at))
        case _ if before is ABSENT or before != after or type(before) is not type(after):
            yield Delta(path, value=after)
