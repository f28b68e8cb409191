"""What every request passes first: its id, its host, its key, and the limits of its body.

It is plain ASGI, so that streams and the MCP application pass through it too.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from lmc.diagnostics import LmcError
from lmc.serve.keys import EVERYBODY, ApiKeys
from lmc.serve.metrics import Metrics
from lmc.serve.options import ServeOptions
from lmc.serve.problems import (
    MEDIA_TYPE,
    ClientLeft,
    internal,
    json_bytes,
    openai_error,
    problem_json,
    retry_after_s,
    status_of,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_OPEN_PATHS = ("/health/live", "/health/ready")
_DOC_PATHS = ("/", "/docs", "/openapi.json")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class Gatekeeper:
    """Lets requests through to an application, or answers them with a problem.

    The scope of a request gets `lmc.id` and `lmc.owner`; the application may set `lmc.route`, and
    `lmc.methods` where a path has others.
    """

    def __init__(
        self, inner: AsgiApp, options: ServeOptions, keys: ApiKeys, metrics: Metrics
    ) -> None:
        self.inner, self.options, self.keys, self.metrics = inner, options, keys, metrics
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request. A web socket is refused by closing it."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        id = scope["lmc.id"] = _request_id(headers.get(b"x-request-id"))
        exchange = _Exchange(send, id)
        start_s = time.perf_counter()
        try:
            self._admit(scope, headers)
            body = _Body(receive, headers, self.options)
            await self.inner(scope, body, exchange)
        except ClientLeft:
            exchange.status = 499
        except LmcError as failure:
            await exchange.fail(failure, scope)
        except Exception as bug:
            await exchange.fail(internal(bug, id), scope)
        finally:
            route = scope.get("lmc.route", "other")
            self.metrics.requests.labels(route, str(exchange.status)).inc()
            self.metrics.request_seconds.labels(route).observe(time.perf_counter() - start_s)

    def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Raises: LmcError[wrong-host, wrong-origin, no-key, stopping]."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        scope["lmc.owner"] = EVERYBODY
        self._require_host(headers)
        if path in _OPEN_PATHS:
            return
        if self.draining:
            raise LmcError.of("stopping", "the server is about to stop", help="try again")
        documents = path in _DOC_PATHS or path.startswith("/problems/")
        if not self.keys or (documents and self.options.public_docs):
            return
        owner = self.keys.owner(_key(headers))
        if owner is None:
            message = "the API key is missing or not known"
            raise LmcError.of("no-key", message, help="send `Authorization: Bearer KEY`")
        scope["lmc.owner"] = owner

    def _require_host(self, headers: dict[bytes, bytes]) -> None:
        """Refuse names that a page on the web may have turned to this machine (DNS rebinding)."""
        hosts = self.options.hosts
        if hosts is None:
            return
        host = _text(headers.get(b"host"))
        if not _is_one_of(host, hosts):
            message = f"this server is not known as `{host[:80]}`"
            raise LmcError.of("wrong-host", message, help="allow the name with `--host-name`")
        origin = _text(headers.get(b"origin"))
        if not origin or origin in self.options.origins or "*" in self.options.origins:
            return
        if not _is_one_of(origin.partition("://")[2], hosts):
            message = "pages of this site may not ask this server"
            raise LmcError.of("wrong-origin", message, help="allow it with `--cors`")


class _Exchange:
    """The `send` of one request. It adds headers, and knows whether an answer has begun."""

    def __init__(self, send: Send, id: str) -> None:
        self._send, self._id = send, id.encode()
        self.status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(b"x-request-id", self._id), *_HEADERS]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)

    async def fail(self, failure: LmcError, scope: Scope) -> None:
        """Answer with a problem, unless an answer has begun: then the connection ends."""
        if self.status:
            raise ClientLeft from failure
        status, again_s = status_of(failure), retry_after_s(failure)
        kind, body = _told(failure, scope)
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if status == 405 and (methods := scope.get("lmc.methods")):
            headers.append((b"allow", ", ".join(sorted(methods)).encode()))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if again_s is not None:
            headers.append((b"retry-after", str(again_s).encode()))
        if failure.code in ("body-too-large", "body-too-slow"):
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _told(failure: LmcError, scope: Scope) -> tuple[bytes, bytes]:
    """The media type and the body that tell a failure, in the form that a path has."""
    root = scope.get("root_path", "")
    if scope["path"].startswith(f"{root}/v1/"):
        return b"application/json", json_bytes(openai_error(failure))
    return MEDIA_TYPE.encode(), json_bytes(problem_json(failure, scope["lmc.id"], root))


class _Body:
    """The `receive` of one request, whose body may be neither large nor slow."""

    def __init__(
        self, receive: Receive, headers: dict[bytes, bytes], options: ServeOptions
    ) -> None:
        self._receive, self._most = receive, options.body_bytes
        self._got, self._whole = 0, False
        self._until_s = time.monotonic() + options.body_s
        told = _text(headers.get(b"content-length"))
        if told.isdigit() and len(told) < 20 and int(told) > self._most:
            raise self._too_large()

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(max(self._until_s - time.monotonic(), 0.001)):
                message = await self._receive()
        except TimeoutError:
            raise LmcError.of("body-too-slow", "the body took too long to arrive") from None
        if message["type"] == "http.request":
            self._got += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._got > self._most:
                raise self._too_large()
        elif message["type"] == "http.disconnect":
            raise ClientLeft
        return message

    def _too_large(self) -> LmcError:
        return LmcError.of("body-too-large", f"a body has at most {self._most:,} bytes here")


async def while_there(receive: Receive, work: Awaitable[Any]) -> Any:
    """Do some work while the client is there. The body must have been read.

    Raises: ClientLeft, after the work was cancelled.
    """
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft
    finally:
        for one in (task, left):
            if not one.done():
                one.cancel()
        if not task.done():
            await asyncio.wait((task,))


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _request_id(given: bytes | None) -> str:
    text = _text(given)
    return text if _ID.match(text) else secrets.token_hex(12)


def _key(headers: dict[bytes, bytes]) -> str:
    """The key of a request: a bearer token, or the header that some clients use."""
    scheme, _, token = _text(headers.get(b"authorization")).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else _text(headers.get(b"x-api-key"))


def _text(value: bytes | None) -> str:
    return (value or b"").decode("latin-1")


def _is_one_of(host: str, hosts: Iterable[str]) -> bool:
    """Whether a host, with or without a port, is one of some."""
    name = host if host.endswith("]") else re.sub(r":\d*\Z", "", host)
    return any(known.lower() in (host.lower(), name.lower()) for known in hosts)
