"""Objects of tools: a run makes its own of each class, and no other run or sample sees it.

A tool `from "pkg.mod:Class.method"` is called on such an object, so what it remembers belongs to
one run. A sample of a vote or search begins with new objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lmc.tasks.foreign import call_foreign
from lmc.tasks.together import shared

CLOSE_TIMEOUT_S = 10.0


class Objects:
    """The objects of one run, or of one sample in it. Belongs to one event loop."""

    def __init__(self, made: list[Any] | None = None) -> None:
        self._made: list[Any] = [] if made is None else made  # of the whole run, to be closed
        self._held: dict[type, asyncio.Future[_Held]] = {}

    def fresh(self) -> Objects:
        """The objects of a sample, which has none yet."""
        return Objects(self._made)

    async def call(self, owner: type, use: Callable[[Any], Any], timeout_s: float) -> Any:
        """Await what `use` does with the object of a class, one call after another.

        Raises: TooLong, Escape, and any Exception of the class or of `use`.
        """
        found = self._held.get(owner)
        if found is None or found.cancelled():
            found = self._held[owner] = shared(self._make(owner, timeout_s))
        try:
            held = await asyncio.shield(found)
        except Exception:
            self._held.pop(owner, None)
            raise
        async with held.turn:
            return await use(held.object)

    async def _make(self, owner: type, timeout_s: float) -> _Held:
        made = _Held(await call_foreign(owner, lambda value: value, timeout_s))
        if callable(getattr(made.object, "close", None)):
            self._made.append(made.object)
        return made

    async def close(self) -> None:
        """Call `close()` of every object that has it. What it raises is not the run's failure."""
        while self._made:
            await discard(self._made.pop())


async def discard(made: Any) -> None:
    """Close an object, if it can be closed."""
    if callable(getattr(made, "close", None)):
        with suppress(Exception):
            await call_foreign(made.close, lambda value: None, CLOSE_TIMEOUT_S)


class _Held:
    """An object, and whose turn it is to use it."""

    def __init__(self, value: Any) -> None:
        self.object, self.turn = value, asyncio.Lock()
