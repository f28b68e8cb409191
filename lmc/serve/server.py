"""The server process: its socket, its signals, and an end that drops no request.

Everything runs on lmc's own event loop, so a request needs no hop between threads. The main thread
waits, and turns signals into work for the loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import uvicorn

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.redaction import logger
from lmc.serve.gate import Receive, Scope, Send
from lmc.serve.guarded import guarded
from lmc.tasks.loop import to_future

_log = logger(__name__)
_WATCH_S = 1.0
_IDLE_S = 75  # longer than proxies keep their connections, so that they close them and not we
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Servable(Protocol):
    """An application that a server runs: it starts, loads its files again, and ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""

    async def ready(self) -> None:
        """Check what would fail at the first request, and start. Raises: LmcError."""

    async def reload(self) -> None:
        """Load the files again."""

    def files(self) -> Sequence[Path]:
        """The files that it was loaded from."""
        ...

    def drain(self) -> None:
        """Refuse new requests."""

    async def stop(self) -> None:
        """End what runs beside the requests."""


@frozen
class Listening:
    """Where and how a server listens. `grace_s` is how long running requests may go on at the end.

    `header_s` is how long a client may take to send the head of a request.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    connections: int = 4096
    header_s: float = 10.0
    grace_s: float = 30.0
    watch: bool = False


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises: LmcError[cannot-listen]."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.set_inheritable(False)
    except OSError as problem:
        reason = problem.strerror or problem
        message = f"cannot listen on {host}:{port}: {reason}"
        help = "name another one with `--port`; 0 takes any free one"
        raise LmcError.of("cannot-listen", message, help=help) from None
    return made


class RunningServer:
    """A server that runs on lmc's loop. Leaving the block ends it. Raises: LmcError."""

    def __init__(self, serving: Servable, listening: Listening) -> None:
        self.serving = serving
        listener = bound_socket(listening.host, listening.port)
        host, self.port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._uvicorn = _server(serving, listening)
        self._ready = threading.Event()
        work = _serve(self._uvicorn, serving, listener, listening, self._ready)
        self._end = to_future(work)

    def wait_ready(self) -> None:
        """Wait until requests are taken. Raises: LmcError, also for what preflight finds."""
        while not self._ready.wait(0.02):
            if self._end.done():
                self._end.result()
                raise LmcError.of("cannot-listen", "the server ended before it took requests")

    def wait(self) -> None:
        """Wait until the server has ended."""
        self._end.result()

    def stop(self) -> None:
        """Take no more requests, and end when those that run have; at once if told twice."""
        if self._uvicorn.should_exit:
            self._uvicorn.force_exit = True
        to_future(_stop(self._uvicorn, self.serving))

    def reload(self) -> concurrent.futures.Future[None]:
        """Load the programs again."""
        return to_future(self.serving.reload())

    def __enter__(self) -> RunningServer:
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self.wait()


def serve_until_stopped(
    serving: Servable, listening: Listening, told: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C. A second one ends at once. SIGHUP loads programs again.

    `told` is called with the URL once requests are taken. Raises: LmcError.
    """
    server = RunningServer(serving, listening)
    with _signals(server):
        server.wait_ready()
        told(server.url)
        server.wait()


def _server(serving: Servable, listening: Listening) -> uvicorn.Server:
    config = uvicorn.Config(
        serving,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=listening.connections,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=max(1, round(listening.grace_s)),
        h11_max_incomplete_event_size=64 << 10,
        ws="none",
    )
    config.load()
    config.http_protocol_class = guarded(config.http_protocol_class, listening.header_s)
    return uvicorn.Server(config)


async def _serve(
    server: uvicorn.Server,
    serving: Servable,
    listener: socket.socket,
    listening: Listening,
    ready: threading.Event,
) -> None:
    watching = None
    try:
        await serving.ready()
        if listening.watch:
            watching = asyncio.ensure_future(_watch(serving))
        running = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.01)
        ready.set()
        await running
    finally:
        if watching is not None:
            watching.cancel()
        listener.close()
        await serving.stop()


@contextlib.contextmanager
def _signals(server: RunningServer) -> Iterator[None]:
    """Turn signals into an end or a reload while the block runs."""
    handlers: dict[Any, Callable[[], Any]] = {
        signal.SIGTERM: server.stop,
        signal.SIGINT: server.stop,
    }
    if hasattr(signal, "SIGHUP"):  # Windows has none
        handlers[signal.SIGHUP] = server.reload
    before = {
        number: signal.signal(number, lambda *_, act=act: act()) for number, act in handlers.items()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _stop(server: uvicorn.Server, serving: Servable) -> None:
    serving.drain()
    server.should_exit = True


# --- watching files ---


async def _watch(serving: Servable) -> None:
    """Load programs again when one of their files changes."""
    seen = await asyncio.to_thread(_stamps, serving.files())
    while True:
        await asyncio.sleep(_WATCH_S)
        now = await asyncio.to_thread(_stamps, serving.files())
        if now != seen:
            seen = now
            await serving.reload()


def _stamps(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    found = {}
    for file in files:
        with contextlib.suppress(OSError):  # it is being replaced
            stat = file.stat()
            found[file] = stat.st_mtime_ns, stat.st_size
    return found
