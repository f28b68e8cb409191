"""Episodes: an environment as a function of the actions so far.

A tool with `episode: n` names a class with the methods `reset` and `act`. A call with a list of
actions gives what is observed after the last one. The class acts on as long as calls go on where an
object stands. A call that goes on from an earlier point restores a snapshot, if the class gives
`snapshot` and `restore`, else it repeats the actions from `reset` on another object. So branches
of a search, samples of a vote and rounds of a loop are each in an episode of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from lmc.canonical import canonical
from lmc.diagnostics import LmcError
from lmc.ir.graph import Tool
from lmc.runtime.objects import discard
from lmc.source import Span
from lmc.tasks.foreign import call_foreign
from lmc.tasks.together import shared
from lmc.types import ListType
from lmc.values import to_json, to_python
from lmc.values.names import input_names

MOST_IDLE = 16  # objects that wait for the next action, for one environment with its inputs
MOST_SNAPSHOTS = 256
Key = tuple[str, ...]  # the actions, each as canonical JSON


class Episodes:
    """The episodes of one run. Belongs to one event loop."""

    def __init__(self) -> None:
        self._started: dict[str, Episode] = {}

    def of(
        self, tool: Tool, make: type, inputs: Mapping[str, Any], timeout_s: float, span: Span | None
    ) -> Episode:
        """The episode of an environment with these inputs of `reset`."""
        key = f"{tool.name} {canonical({p.name: inputs[p.name] for p in tool.inputs[:-1]})}"
        if key not in self._started:
            names = input_names(tool.inputs[:-1])
            typed = {names[p.name]: to_python(p.type, inputs[p.name]) for p in tool.inputs[:-1]}
            self._started[key] = Episode(tool, make, typed, timeout_s, span)
        return self._started[key]

    async def close(self) -> None:
        """Close all objects that have `close()`. What it raises is not the run's failure."""
        for episode in self._started.values():
            await episode.close()


class Episode:
    """One environment with its inputs: what was observed after which actions."""

    def __init__(
        self,
        tool: Tool,
        make: type,
        inputs: Mapping[str, Any],
        timeout_s: float,
        span: Span | None,
    ) -> None:
        self.tool, self._make, self._inputs = tool, make, inputs
        self._timeout_s, self._span = timeout_s, span
        self._asked: dict[Key, asyncio.Future[Any]] = {}
        self._seen: dict[Key, Any] = {}
        self._idle: dict[Key, list[Any]] = {}
        self._snapshots: dict[Key, Any] = {}
        self.made: list[Any] = []

    async def after(self, actions: Sequence[Any]) -> Any:
        """What is observed after some actions. Equal calls are one.

        Raises: LmcError[episode-too-long, episode-differs], and any Exception of the class.
        """
        most = self.tool.settings["episode"]
        if len(actions) > most:
            message = f"`{self.tool.name}` takes at most {most} actions, not {len(actions)}"
            raise LmcError.of("episode-too-long", message, self._span)
        key = tuple(map(canonical, actions))
        while key not in self._seen:
            asked = self._asked.get(key)
            if asked is None or asked.done():
                asked = self._asked[key] = shared(self._reach(key, actions))
            await asyncio.shield(asked)
        return self._seen[key]

    async def close(self) -> None:
        """Stop what is in progress, and close all objects."""
        pending = [asked for asked in self._asked.values() if not asked.done()]
        for asked in pending:
            asked.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        while self.made:
            await discard(self.made.pop())

    async def _reach(self, key: Key, actions: Sequence[Any]) -> None:
        before = self._asked.get(key[:-1]) if key else None
        if before is not None and not before.done():
            with suppress(Exception):  # it will be met again below
                await asyncio.shield(before)
        made, start = await self._begin(key)
        try:
            for number in range(start, len(key)):
                action = to_python(_action_type(self.tool), actions[number])
                await self._see(key[: number + 1], partial(made.act, action))
            if callable(getattr(made, "snapshot", None)):
                self._snapshots[key] = await self._call(made.snapshot)
                while len(self._snapshots) > MOST_SNAPSHOTS:
                    del self._snapshots[next(iter(self._snapshots))]
        except BaseException:
            await self._drop(made)
            raise
        self._idle.setdefault(key, []).append(made)
        await self._trim()

    async def _begin(self, key: Key) -> tuple[Any, int]:
        """An object that stands at the longest known beginning of the actions, and its length."""
        for length in range(len(key), -1, -1):
            point = key[:length]
            if self._idle.get(point):
                return self._take(point), length
            if point in self._snapshots:
                made = self._take_any() or await self._new()
                if callable(getattr(made, "restore", None)):
                    await self._call(partial(made.restore, self._snapshots[point]))
                    return made, length
        made = await self._new()
        try:
            await self._see((), partial(made.reset, **self._inputs))
        except BaseException:
            await self._drop(made)
            raise
        return made, 0

    async def _new(self) -> Any:
        made = await self._call(self._make)
        self.made.append(made)
        return made

    def _take(self, point: Key) -> Any:
        made = self._idle[point].pop()
        if not self._idle[point]:
            del self._idle[point]
        return made

    def _take_any(self) -> Any:
        """An object that waits where a snapshot was taken, so that nothing is lost."""
        point = next((point for point in self._idle if point in self._snapshots), None)
        return None if point is None else self._take(point)

    async def _see(self, key: Key, do: Callable[[], Any]) -> None:
        """Do something, and note what is observed. Raises: LmcError[episode-differs]."""
        value = await call_foreign(do, partial(to_json, self.tool.result), self._timeout_s)
        if key in self._seen and canonical(self._seen[key]) != canonical(value):
            count = "no action" if not key else f"the same {len(key)} actions"
            message = (
                f"`{self.tool.name}` does not repeat: after {count} it observed something else"
            )
            help = (
                "let its class have `snapshot()` and `restore(state)`, or fix its seed in `reset`"
            )
            raise LmcError.of("episode-differs", message, self._span, help=help)
        self._seen.setdefault(key, value)

    async def _call(self, function: Callable[[], Any]) -> Any:
        return await call_foreign(function, lambda value: value, self._timeout_s)

    async def _trim(self) -> None:
        """Close the objects that waited longest, where there are many."""
        while sum(map(len, self._idle.values())) > MOST_IDLE:
            await self._drop(self._take(next(iter(self._idle))))

    async def _drop(self, made: Any) -> None:
        if made in self.made:
            self.made.remove(made)
            await discard(made)


def _action_type(tool: Tool) -> Any:
    type = tool.inputs[-1].type
    assert isinstance(type, ListType)
    return type.item
