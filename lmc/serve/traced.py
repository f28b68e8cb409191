"""A span for each request, for a tracing tool. It is below that of the client, if it sent one.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from lmc.diagnostics import LmcError
from lmc.requests.spans import Spans
from lmc.serve.gate import AsgiApp, Receive, Scope, Send
from lmc.serve.problems import ClientLeft, status_of

_NO_RUNS = ("/health/", "/metrics")  # asked all the time


class TracedApp:
    """An application whose requests are spans. `spans` gives what hears of them, if anything does.

    Requests that the gate refuses are none.
    """

    def __init__(self, inner: AsgiApp, spans: Callable[[], Spans | None]) -> None:
        self._inner, self._spans = inner, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        spans = self._spans()
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if spans is None or path.startswith(_NO_RUNS):
            await self._inner(scope, receive, send)
            return
        with spans.exchange(scope) as exchange:

            async def tell(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    exchange.status = message["status"]
                await send(message)

            try:
                await self._inner(scope, receive, tell)
            except ClientLeft:
                raise
            except LmcError as failure:  # the gate answers
                exchange.status = exchange.status or status_of(failure)
                raise
            except Exception:
                exchange.status = exchange.status or 500
                raise
