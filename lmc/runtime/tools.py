"""Python tools: imported at the first call, given typed values, their results validated.

A tool may raise anything, return anything, or not return at all. In each case only its run fails,
with a message that names the tool, and lmc goes on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lmc.canonical import canonical
from lmc.consent import OWN, Consent
from lmc.diagnostics import LmcError
from lmc.ir.graph import Node, Tool
from lmc.ir.reach import is_method
from lmc.runtime.episodes import Episodes
from lmc.runtime.failures import is_infrastructure
from lmc.runtime.loading import load_function
from lmc.runtime.objects import Objects
from lmc.source import Span
from lmc.tasks.foreign import TooLong, call_foreign, said
from lmc.values import InvalidValue, to_json, to_python
from lmc.values.names import input_names

MAX_THREADS = 32  # for one tool
DEFAULT_TIMEOUT_S = 600.0
DEFAULT_RETRIES, DEFAULT_BACKOFF_S = 3, 1.0  # if `retry:` does not set them


class Holding(Protocol):
    """What a run holds for its tools."""

    objects: Objects
    episodes: Episodes


class Toolbox:
    """The tools of one program."""

    def __init__(
        self, tools: Mapping[str, Tool], base_dir: Path | None, consent: Consent = OWN
    ) -> None:
        self._tools, self._base_dir, self._consent = tools, base_dir, consent
        self._functions: dict[str, Callable[..., Any]] = {}
        self._owners: dict[str, type | None] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._results: dict[str, asyncio.Future[Any]] = {}

    def bind(self, name: str, args: Sequence[Any]) -> dict[str, Any]:
        """The arguments by name, with defaults."""
        ports = self._tools[name].inputs
        given = {port.name: value for port, value in zip(ports, args)}
        return {port.name: port.default for port in ports} | given

    async def call(self, name: str, inputs: Mapping[str, Any], node: Node, run: Holding) -> Any:
        """Call a tool and return its JSON result. With `cache`, a program makes equal calls once.

        A method is called on the run's own object, so `cache` has no effect on it.
        Raises: LmcError[tool-failed, tool-not-found].
        """
        if not self._tools[name].settings.get("cache") or is_method(self._tools[name]):
            return await self._call(name, inputs, node, run)
        key = f"{name} {canonical(dict(inputs))}"
        found = self._results.get(key)
        if found is None or found.cancelled():
            found = self._results[key] = asyncio.ensure_future(self._call(name, inputs, node, run))
        try:
            return await asyncio.shield(found)
        except LmcError:
            self._results.pop(key, None)
            raise

    async def _call(self, name: str, inputs: Mapping[str, Any], node: Node, run: Holding) -> Any:
        tool = self._tools[name]
        if tool.settings.get("episode"):
            return await self._observe(tool, inputs, node, run)
        function, owner = self.load(name, node.span), self._owner(name, node.span)
        names = input_names(tool.inputs)
        typed = {names[p.name]: to_python(p.type, inputs[p.name]) for p in tool.inputs}

        async def work() -> Any:
            if owner is None:
                return await self._try(tool, function, typed)
            method = tool.target.rpartition(".")[2]
            return await run.objects.call(
                owner, lambda made: self._try(tool, getattr(made, method), typed), _timeout(tool)
            )

        return await _guarded(tool, node, work)

    async def _observe(
        self, tool: Tool, inputs: Mapping[str, Any], node: Node, run: Holding
    ) -> Any:
        """What an environment shows after some actions. A function of the user replaces it all."""
        name, make = tool.name, self.load(tool.name, node.span)
        actions = inputs[tool.inputs[-1].name]
        if name in self._consent.functions:
            names = input_names(tool.inputs)
            typed = {names[p.name]: to_python(p.type, inputs[p.name]) for p in tool.inputs}
            return await _guarded(tool, node, lambda: self._try(tool, make, typed))
        missing = [part for part in ("reset", "act") if not callable(getattr(make, part, None))]
        if not isinstance(make, type) or missing:
            what = f"needs a class with `reset` and `act`, and `{tool.target}` is none"
            raise _failure(name, what, node.span)
        episode = run.episodes.of(tool, make, inputs, _timeout(tool), node.span)
        return await _guarded(tool, node, lambda: episode.after(actions))

    async def _try(
        self, tool: Tool, function: Callable[..., Any], inputs: Mapping[str, Any]
    ) -> Any:
        """The JSON value of the function. A failed call is repeated as `retry:` says."""
        retry = tool.settings.get("retry") or {"max": 0}
        slots = self._slots.setdefault(tool.name, asyncio.Semaphore(MAX_THREADS))
        for attempt in range(retry.get("max", DEFAULT_RETRIES)):
            try:
                return await _run(tool, function, inputs, slots)
            except Exception:
                await asyncio.sleep(retry.get("backoff", DEFAULT_BACKOFF_S) * 2**attempt)
        return await _run(tool, function, inputs, slots)

    def _owner(self, name: str, span: Span | None) -> type | None:
        """The class whose objects a tool is called on; None for a plain function."""
        if name not in self._owners:
            target, _, method = self._tools[name].target.rpartition(".")
            owner: Any = None
            if is_method(self._tools[name]) and name not in self._consent.functions:
                owner = load_function(target, self._base_dir, span, owner=f"the tool `{name}`")
                found = inspect.getattr_static(owner, method, None)
                unbound = not isinstance(found, staticmethod | classmethod | type)
                owner = owner if isinstance(owner, type) and unbound else None
            self._owners[name] = owner
        return self._owners[name]

    def load(self, name: str, span: Span | None = None) -> Callable[..., Any]:
        """The function of a tool. Raises: LmcError[tool-not-found, tool-not-allowed]."""
        if name not in self._functions:
            target, given = self._tools[name].target, self._consent.functions.get(name)
            self._consent.require_functions({name: target}, span)
            owner = f"the tool `{name}`"
            self._functions[name] = given or load_function(
                target, self._base_dir, span, owner=owner
            )
        return self._functions[name]


async def _guarded(tool: Tool, node: Node, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do the work of a tool. Whatever it raises becomes a failure that names the tool."""
    name = tool.name
    try:
        return await work()
    except TooLong as problem:
        raise _failure(name, str(problem), node.span) from None
    except InvalidValue as problem:
        what = f"gave a value that does not fit `{tool.result}`: {problem}"
        raise _failure(name, what, node.span) from None
    except Exception as problem:
        if isinstance(problem, LmcError) and (is_infrastructure(problem) or _is_told(problem)):
            raise  # of a program that the tool runs, which says nothing about this one; or ours
        raise _failure(name, f"raised {said(problem)}", node.span) from problem


def _is_told(problem: LmcError) -> bool:
    return any(d.code in ("episode-too-long", "episode-differs") for d in problem.diagnostics)


async def _run(
    tool: Tool, function: Callable[..., Any], inputs: Mapping[str, Any], slots: asyncio.Semaphore
) -> Any:
    async with slots:
        return await call_foreign(
            partial(function, **inputs), partial(to_json, tool.result), _timeout(tool)
        )


def _timeout(tool: Tool) -> float:
    return float(tool.settings.get("timeout") or DEFAULT_TIMEOUT_S)


def _failure(name: str, what: str, span: Span | None) -> LmcError:
    return LmcError.of("tool-failed", f"the tool `{name}` {what}", span)
