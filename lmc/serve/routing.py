"""Routes of an application behind the gate: endpoints as ASGI, and refusals as problems."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Route, Router

from lmc.diagnostics import LmcError
from lmc.serve.gate import AsgiApp, Receive, Scope, Send


class KnownRoute(Route):
    """A route that tells its template, which figures are counted by."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request of the route."""
        scope["lmc.route"] = self.path
        await super().handle(scope, receive, send)


def with_problems(inner: Router) -> AsgiApp:
    """An application whose refusals of paths and methods are problems as all others."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("app", None)
        try:
            await inner(scope, receive, send)
        except HTTPException as refused:
            if refused.status_code == 405:
                scope["lmc.methods"] = _methods(inner, scope)
                raise LmcError.of("wrong-method", "this path has no such method") from None
            raise LmcError.of("unknown-path", "there is nothing at this path") from None

    return call


def _methods(router: Router, scope: Scope) -> set[str]:
    """The methods that the path of a request has."""
    routes = (r for r in router.routes if isinstance(r, Route) and r.methods)
    return {m for r in routes if r.matches(scope)[0] is not Match.NONE for m in r.methods or ()}


def bound(endpoint: Callable[[Request], Awaitable[Any]]) -> AsgiApp:
    """An endpoint as an ASGI application. What it returns answers the request."""

    class Bound:  # a class, so that Starlette takes it for an ASGI application
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            answer = await endpoint(Request(scope, receive))
            await answer(scope, receive, send)

    return Bound()
