"""Python tools: imported at the first call, given typed values, their results validated.

A tool may raise anything, return anything, or not return at all. In each case only its run fails,
with a message that names the tool, and lmc goes on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lmc.canonical import canonical
from lmc.check.servers import is_server, server_address
from lmc.consent import CALLER, OWN, Consent, Given
from lmc.diagnostics import LmcError
from lmc.ir.graph import Node, Tool
from lmc.ir.reach import is_method
from lmc.runtime.episodes import Episodes
from lmc.runtime.failures import is_infrastructure
from lmc.runtime.given_tools import GivenTools
from lmc.runtime.loading import load_function
from lmc.runtime.objects import Objects
from lmc.runtime.remote import Endpoint, RemoteFailure, RemoteMismatch, RemoteTool
from lmc.source import Span
from lmc.tasks.foreign import TooLong, call_foreign, said
from lmc.tasks.together import shared
from lmc.values import InvalidValue, to_json, to_python, validate
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
            found = self._results[key] = shared(self._call(name, inputs, node, run))
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
        if is_server(tool.target) and name not in self._consent.functions:
            typed = dict(inputs)  # a server takes JSON

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
            tool, given = self._tools[name], self._consent.functions.get(name)
            self._consent.require_functions({name: told_target(tool)}, span)
            self._functions[name] = self._function(tool, given, span)
        return self._functions[name]

    def _function(self, tool: Tool, given: Given | None, span: Span | None) -> Callable[..., Any]:
        if isinstance(given, Sequence):
            tools = GivenTools(given)

            async def call(tool: str, arguments: Any) -> Any:
                return await tools.call(tool, arguments if isinstance(arguments, dict) else {})

            return call
        if given is None and is_server(tool.target):
            return self._remote(tool, span)
        owner = f"the tool `{tool.name}`"
        return given or load_function(tool.target, self._base_dir, span, owner=owner)

    # --- tools of servers ---

    async def list_tools(self, name: str, span: Span | None) -> Sequence[RemoteTool]:
        """The tools of a server. Raises: LmcError[tool-failed, tool-not-allowed, missing-extra]."""
        from lmc.runtime.remote import list_tools

        tool, given = self._tools[name], self._consent.functions.get(name, [])
        self._consent.require_functions({name: told_target(tool)}, span)
        if given or tool.target == CALLER:
            return _given_listing(name, given, span)
        self.load(name, span)
        ask = partial(list_tools, self._endpoint(tool))
        timeout_s = tool.settings.get("timeout") or DEFAULT_TIMEOUT_S
        try:
            return await call_foreign(ask, list, timeout_s)
        except (RemoteFailure, TooLong) as problem:
            raise _failure(name, str(problem), span) from None

    async def check_server(self, name: str) -> int:
        """Reach the server of a tool. Returns how many tools it offers under this name.

        Raises: LmcError[tool-mismatch, tool-failed, tool-not-allowed, missing-extra].
        """
        tool = self._tools[name]
        if tool.server:
            return len(await self.list_tools(name, None))
        from lmc.runtime.remote import require_tool

        self.load(name)
        ask = partial(require_tool, self._endpoint(tool), remote_name(tool), tool.inputs)
        try:
            await call_foreign(ask, lambda _: None, DEFAULT_TIMEOUT_S)
        except RemoteMismatch as problem:
            raise LmcError.of("tool-mismatch", f"the tool `{name}`: {problem}") from None
        except (RemoteFailure, TooLong) as problem:
            raise _failure(name, f"failed: {problem}", None) from None
        return 1

    def _remote(self, tool: Tool, span: Span | None) -> Callable[..., Any]:
        """A function that calls a tool of a server. Raises: LmcError[missing-extra]."""
        if tool.target == CALLER:
            message = f"whoever loads the program must give the function of the tool `{tool.name}`"
            help = f'lmc.load(…, tools={{"{tool.name}": function}})'
            raise LmcError.of("tool-not-found", message, span, help=help)
        if importlib.util.find_spec("mcp") is None:
            message = f"the tool `{tool.name}` is on an MCP server, which needs the package mcp"
            raise LmcError.of("missing-extra", message, span, help='pip install "lmc-lang[mcp]"')
        from lmc.runtime.remote import call_tool, require_tool

        endpoint, needed = self._endpoint(tool), None

        async def call(**inputs: Any) -> Any:
            nonlocal needed
            if tool.server:
                arguments = inputs["arguments"] if isinstance(inputs["arguments"], dict) else {}
                return (await call_tool(endpoint, inputs["tool"], arguments))[0]
            name = remote_name(tool)
            if needed is None:
                needed = await require_tool(endpoint, name, tool.inputs)
            given = {k: value for k, value in inputs.items() if value is not None or k in needed}
            return _fitting(tool, await call_tool(endpoint, name, given))

        return call

    def _endpoint(self, tool: Tool) -> Endpoint:
        from lmc.runtime.remote import folder_of

        settings = tool.settings
        variables, key = tuple(settings.get("env") or ()), settings.get("api_key_env")
        address = server_address(tool.target)
        return Endpoint(address, folder_of(self._base_dir), variables, key)


async def _guarded(tool: Tool, node: Node, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do the work of a tool. Whatever it raises becomes a failure that names the tool."""
    name = tool.name
    try:
        return await work()
    except RemoteMismatch as problem:
        raise LmcError.of("tool-mismatch", f"the tool `{name}`: {problem}", node.span) from None
    except RemoteFailure as problem:
        raise _failure(name, f"failed: {problem}", node.span) from None
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


def _given_listing(name: str, given: Given, span: Span | None) -> Sequence[RemoteTool]:
    """The functions in the place of a server. Raises: LmcError[tool-failed]."""
    if not isinstance(given, Sequence):
        raise _failure(name, "is a server: give a list of functions in its place", span)
    try:
        return GivenTools(given).listing()
    except RemoteFailure as problem:
        raise _failure(name, f"failed: {problem}", span) from None


def remote_name(tool: Tool) -> str:
    """The name of a typed tool on its server."""
    return str(tool.settings.get("name") or tool.name.rpartition(".")[2])


def told_target(tool: Tool) -> str:
    """What runs behind a tool, for whoever allows it."""
    given = [*(tool.settings.get("env") or ()), *filter(None, [tool.settings.get("api_key_env")])]
    return tool.target + (f", which gets {', '.join(given)}" if given else "")


def _fitting(tool: Tool, readings: Sequence[Any]) -> Any:
    """The first reading of a result that has the tool's type. Raises: InvalidValue of the first."""
    problems = []
    for value in readings:
        try:
            return validate(tool.result, value, lenient=True)
        except InvalidValue as problem:
            problems.append(problem)
    raise problems[0]


def _timeout(tool: Tool) -> float:
    return float(tool.settings.get("timeout") or DEFAULT_TIMEOUT_S)


def _failure(name: str, what: str, span: Span | None) -> LmcError:
    return LmcError.of("tool-failed", f"the tool `{name}` {what}", span)
