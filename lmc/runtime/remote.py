"""Tools of MCP servers: https://modelcontextprotocol.io. A server is a command or a URL.

A server is a stranger. Its lists, schemas, results and errors are bounded and checked, and it gets
no variables of the environment but a few such as PATH and those that the program names. One
connection serves all runs of a process. A server that ended is started again for the next call.

Everything here runs on the event loop for users' functions, which a server cannot block for lmc.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lmc.check.servers import ServerAddress
from lmc.frozen import frozen
from lmc.ir.graph import Port
from lmc.redaction import redact, remember
from lmc.runtime.server_messages import mended, readings, text_of
from lmc.runtime.server_schemas import MOST_DOC, mismatch, ports_of
from lmc.tasks.loop import at_close, forget_closer

T = TypeVar("T")
CONNECT_S = 60.0  # for a server to start and to list its tools
PING_S = 2.0  # for a server to show that it lives, after a call that took too long
MOST_PAGES, MOST_TOOLS = 100, 1000  # of one list of tools
MOST_SCHEMA = 20_000  # characters of a tool's parameters
MOST_RESULT = 4_000_000  # characters of a result
MOST_BYTES = 32 << 20  # of one response over HTTP
_SIDE = Path(__file__).with_name("server_side.py")
_TOLD = 500  # characters of an error of a server


class RemoteFailure(Exception):
    """A server or one of its tools failed. The message is for people and models."""


class RemoteMismatch(RemoteFailure):
    """A server does not have the tool that the program declares."""


@frozen
class Endpoint:
    """A server with what it is given: its address, its folder, and variables by name."""

    address: ServerAddress
    folder: str | None
    variables: tuple[str, ...] = ()
    key_variable: str | None = None


@frozen
class RemoteTool:
    """A tool as its server describes it. `schema` is the server's own, if it is of a usual size."""

    name: str
    doc: str
    inputs: tuple[Port, ...]
    schema: Mapping[str, Any] | None


class _ErrorStream:
    """What a server writes to its error stream, of which the end is told."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._end = ""

    def close(self) -> None:
        self._end = self.told()
        self.file.close()

    def told(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            size = self.file.seek(0, os.SEEK_END)
            self.file.seek(max(0, size - 2000))
            text = _shown(self.file.read())
            self._end = f"; it wrote: {text}" if text else ""
        return self._end


@dataclass(slots=True, eq=False)
class _Connection:
    """One open connection. `keeper` holds it open until `leave` is set."""

    client: Any
    log: _ErrorStream
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    keeper: asyncio.Task[None] | None = None
    tools: dict[str, Any] | None = None
    listing: asyncio.Lock = field(default_factory=asyncio.Lock)
    calls: int = 0  # that are under way
    doubt: asyncio.Task[None] | None = None  # is at work until it is clear whether the server lives

    @property
    def over(self) -> bool:
        return self.keeper is None or self.keeper.done()


_Table = dict[Endpoint, "asyncio.Task[_Connection]"]
_keepers: set[asyncio.Task[None]] = set()  # of connections that are not yet closed
_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Table] = weakref.WeakKeyDictionary()


# --- what callers use ---


async def list_tools(endpoint: Endpoint) -> list[RemoteTool]:
    """The tools of a server, over all pages. Raises: RemoteFailure."""
    connection = await _connected(endpoint)
    return [_read_tool(tool) for tool in (await _tools(connection)).values()]


async def call_tool(endpoint: Endpoint, name: str, arguments: Mapping[str, Any]) -> list[Any]:
    """The readings of a tool's result, the likeliest first: structured content, JSON, text.

    Raises: RemoteFailure.
    """
    connection = await _connected(endpoint)
    connection.calls += 1
    try:
        result = await _while_open(connection, connection.client.call_tool(name, dict(arguments)))
    except asyncio.CancelledError:  # most often, it took too long
        if endpoint.address.url is None and connection.doubt is None:
            connection.doubt = asyncio.ensure_future(_examine(endpoint, connection))
        raise
    except Exception as problem:
        raise await _failed(endpoint, connection, problem) from None
    finally:
        connection.calls -= 1
    text = text_of(getattr(result, "content", None) or ())
    if len(text) > MOST_RESULT:
        raise RemoteFailure(f"it gave more than {MOST_RESULT:,} characters")
    if getattr(result, "is_error", False):
        raise RemoteFailure(_shown(text) or "it says only that it failed")
    structured = getattr(result, "structured_content", None)
    if structured is not None and len(json.dumps(structured, default=str)) > MOST_RESULT:
        raise RemoteFailure(f"it gave more than {MOST_RESULT:,} characters")
    return readings(structured, text)


async def require_tool(endpoint: Endpoint, name: str, inputs: tuple[Port, ...]) -> frozenset[str]:
    """See that a server has a tool with these inputs, and tell those that it must be given.

    Raises: RemoteFailure, RemoteMismatch.
    """
    tools = await _tools(await _connected(endpoint))
    if name not in tools:
        known = ", ".join(list(tools)[:20]) or "none"
        raise RemoteMismatch(f"the server has no tool `{name}`; it has {known}")
    schema = getattr(tools[name], "input_schema", None)
    if problem := mismatch(schema, inputs):
        raise RemoteMismatch(f"the tool `{name}` of the server {problem}")
    return frozenset(port.name for port in ports_of(schema or {}) if not port.has_default)


async def close_all() -> None:
    """Close all connections of the process."""
    loops = [loop for loop in list(_open) if not loop.is_closed()]
    here = asyncio.get_running_loop()
    closing = (
        _close_servers()
        if loop is here
        else asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close_servers(), loop))
        for loop in loops
    )
    await asyncio.gather(*closing, return_exceptions=True)


async def _close_servers() -> None:
    """Close the connections of the running loop, also those that are not open yet."""
    loop = asyncio.get_running_loop()
    for opening in _open.pop(loop, {}).values():
        if not opening.done():
            opening.cancel()
        elif not opening.cancelled() and opening.exception() is None:
            opening.result().leave.set()
    await asyncio.sleep(0)  # what is cancelled ends its keeper
    if keepers := {keeper for keeper in _keepers if keeper.get_loop() is loop}:
        await asyncio.wait(keepers, timeout=10)


# --- connections ---


async def _connected(endpoint: Endpoint) -> _Connection:
    """The connection to a server, opened where there is none. Raises: RemoteFailure."""
    if not _open:
        forget_closer(close_all)
        at_close(close_all)
    table = _open.setdefault(asyncio.get_running_loop(), {})
    opening = table.get(endpoint)
    if opening is None or _is_over(opening):
        opening = table[endpoint] = asyncio.ensure_future(_connect(endpoint))
    connection = await asyncio.shield(opening)
    if connection.doubt is None:
        return connection
    await asyncio.shield(connection.doubt)
    return await _connected(endpoint)


async def _examine(endpoint: Endpoint, connection: _Connection) -> None:
    """Close a connection whose server hangs: it does not answer a ping, and no other call."""
    try:
        async with asyncio.timeout(PING_S):
            await _while_open(connection, connection.client.session.send_ping())
    except TimeoutError:
        if not connection.calls:
            _open.get(asyncio.get_running_loop(), {}).pop(endpoint, None)
            connection.leave.set()
    except Exception:  # noqa: S110  # it answers, if only with an error, or has ended
        pass
    finally:
        connection.doubt = None


def _is_over(opening: asyncio.Task[_Connection]) -> bool:
    if not opening.done():
        return False
    return opening.cancelled() or opening.exception() is not None or opening.result().over


async def _connect(endpoint: Endpoint) -> _Connection:
    log = _ErrorStream()
    ready: asyncio.Future[_Connection] = asyncio.get_running_loop().create_future()
    keeper = asyncio.ensure_future(_keep(endpoint, log, ready))
    _keepers.add(keeper)
    keeper.add_done_callback(_kept)
    try:
        async with asyncio.timeout(CONNECT_S):
            waiting: set[asyncio.Future[Any]] = {ready, keeper}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        keeper.cancel()
        told = f"the server did not answer within {CONNECT_S:g} s{log.told()}"
        raise RemoteFailure(told) from None
    except asyncio.CancelledError:
        keeper.cancel()
        raise
    if not ready.done():
        problem = keeper.exception() if not keeper.cancelled() else None
        raise RemoteFailure(f"cannot reach the server: {_reason(problem)}{log.told()}")
    connection = ready.result()
    connection.keeper = keeper
    return connection


def _kept(keeper: asyncio.Task[None]) -> None:
    _keepers.discard(keeper)
    if not keeper.cancelled():
        keeper.exception()  # it is told


async def _keep(endpoint: Endpoint, log: _ErrorStream, ready: asyncio.Future[_Connection]) -> None:
    """Hold a connection open. A client must be left by the task that entered it."""
    try:
        async with _client(endpoint, log.file) as client:
            connection = _Connection(client, log)
            ready.set_result(connection)
            await connection.leave.wait()
    finally:
        log.close()


@contextlib.asynccontextmanager
async def _client(endpoint: Endpoint, log: Any) -> AsyncIterator[Any]:
    import httpx2
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    given = {name: os.environ.get(name) for name in endpoint.variables}
    for name, value in given.items():
        remember(name, value)
    address = endpoint.address
    if address.url is None:
        command, *arguments = _ending_with_us(address.command, endpoint.folder)
        env = {name: value for name, value in given.items() if value is not None}
        told = StdioServerParameters(
            command=command, args=arguments, env=env, cwd=endpoint.folder,
            encoding_error_handler="replace",
        )  # fmt: skip
        async with Client(mended(stdio_client(told, errlog=log))) as client:
            yield client
        return
    key = os.environ.get(endpoint.key_variable or "")
    remember(endpoint.key_variable or "", key)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    headers |= {"Accept-Encoding": "identity"}  # a small body may unpack to a huge one
    limits = httpx2.Timeout(30.0, read=300.0)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=limits, transport=_bounded()) as http,
        Client(mended(streamable_http_client(address.url, http_client=http))) as client,
    ):
        yield client


def _ending_with_us(command: Sequence[str], folder: str | None) -> Sequence[str]:
    """A command whose process ends with this one, even if nobody can tell it to (Linux)."""
    if os.sep in command[0]:
        runs = os.access(Path(folder or ".", command[0]), os.X_OK)
    else:
        runs = shutil.which(command[0]) is not None
    if sys.platform != "linux" or not runs:  # what cannot be run is told as such
        return command
    return [sys.executable, "-I", "-S", str(_SIDE), str(os.getpid()), *command]


def _bounded() -> Any:
    """A transport that refuses packed and endless responses."""
    import httpx2

    class Bounded(httpx2.AsyncHTTPTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            response = await super().handle_async_request(request)
            if response.headers.get("content-encoding", "identity") != "identity":
                await response.aclose()
                raise httpx2.DecodingError("the server packed its response", request=request)
            response.stream = BoundedStream(response.stream)
            return response

    class BoundedStream(httpx2.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for data in self.stream:
                size += len(data)
                if size > MOST_BYTES:
                    raise httpx2.ReadError(f"a response of more than {MOST_BYTES >> 20} MiB")
                yield data

        async def aclose(self) -> None:
            await self.stream.aclose()

    return Bounded()


async def _close(connection: _Connection) -> None:
    connection.leave.set()
    if connection.keeper is not None:
        await asyncio.wait({connection.keeper}, timeout=10)


async def _while_open(connection: _Connection, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, unless the connection ends before. Raises: what ended it."""
    task, keeper = asyncio.ensure_future(work), connection.keeper
    assert keeper is not None
    try:
        waiting: set[asyncio.Future[Any]] = {task, keeper}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not task.cancelled():
            return task.result()
        raise ConnectionError(_reason(None if keeper.cancelled() else keeper.exception()))
    finally:
        task.cancel()


async def _failed(
    endpoint: Endpoint, connection: _Connection, problem: BaseException
) -> RemoteFailure:
    """The failure of a call. A server that ended is forgotten, so the next call starts it anew."""
    reason = _reason(problem)
    if _has_ended(problem, reason, endpoint.address.url):
        table = _open.get(asyncio.get_running_loop(), {})
        table.pop(endpoint, None)
        await _close(connection)
        keeper = connection.keeper
        if keeper is not None and keeper.done() and not keeper.cancelled() and keeper.exception():
            reason = _reason(keeper.exception())  # says more than that it was closed
        return RemoteFailure(f"the server ended: {reason}{connection.log.told()}")
    return RemoteFailure(reason)


def _has_ended(problem: BaseException, reason: str, url: str | None) -> bool:
    """Whether a connection is over. A server at a URL that starts anew knows no old session."""
    kind = type(problem).__name__
    return (
        (url and kind == "MCPError" and "session" in reason.lower())
        or kind in ("ClosedResourceError", "BrokenResourceError", "EndOfStream")
        or isinstance(problem, OSError)
        or "closed" in reason.lower()
    )


def _reason(problem: BaseException | None) -> str:
    """What is wrong, from the inside of a group of exceptions."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    if problem is None:
        return "it was closed"
    return _shown(str(problem)) or type(problem).__name__


def _shown(text: str) -> str:
    line = redact(" ".join(text[: 10 * _TOLD].split()))
    return line if len(line) <= _TOLD else line[: _TOLD - 1] + "…"


# --- tools ---


async def _tools(connection: _Connection) -> dict[str, Any]:
    """The tools of a server by name, the first of each name. Raises: RemoteFailure."""
    async with connection.listing:
        if connection.tools is None:
            try:
                connection.tools = await _while_open(connection, _all_pages(connection.client))
            except RemoteFailure:
                raise
            except Exception as problem:
                raise RemoteFailure(f"cannot list its tools: {_reason(problem)}") from None
    return connection.tools


async def _all_pages(client: Any) -> dict[str, Any]:
    tools: dict[str, Any] = {}
    cursor, seen = None, set()
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            tools.setdefault(tool.name, tool)
        cursor = page.next_cursor
        if cursor is None or len(tools) >= MOST_TOOLS:
            return tools
        if cursor in seen:
            raise RemoteFailure("its list of tools goes in a circle")
        seen.add(cursor)
    raise RemoteFailure(f"its list of tools has more than {MOST_PAGES} pages")


def _read_tool(tool: Any) -> RemoteTool:
    schema = tool.input_schema if isinstance(tool.input_schema, dict) else {}
    usual = len(json.dumps(schema, default=str)) <= MOST_SCHEMA
    doc = str(tool.description or "")[:MOST_DOC]
    schema = schema if usual else {"type": "object"}
    return RemoteTool(tool.name, doc, ports_of(schema), {"properties": {}, **schema})


def folder_of(base_dir: Path | None) -> str | None:
    """The folder in which a server's command runs: that of the program."""
    return str(base_dir) if base_dir is not None and base_dir.is_dir() else None
