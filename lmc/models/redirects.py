"""Redirects, which litellm's clients follow with the prompt and some keys, wherever they lead.

Its clients are httpx's, made in many places. So lmc teaches httpx itself not to follow redirects,
but only in the context of lmc's own requests: other code in the process has httpx as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# The statuses of the redirects that were not followed in a context; None where all are.
_refused: ContextVar[list[int] | None] = ContextVar("refused_redirects", default=None)


@contextmanager
def refused_redirects() -> Iterator[list[int]]:
    """Follow no redirects in this context. Gives the statuses of those that came."""
    _teach()
    statuses: list[int] = []
    token = _refused.set(statuses)
    try:
        yield statuses
    finally:
        _refused.reset(token)


@functools.cache
def _teach() -> None:
    import httpx

    httpx.AsyncClient.send = _async(httpx.AsyncClient.send)  # type: ignore[method-assign]
    httpx.Client.send = _sync(httpx.Client.send)  # type: ignore[method-assign]


def _async(send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    async def sent(*args: Any, **options: Any) -> Any:
        statuses = _refused.get()
        if statuses is None:
            return await send(*args, **options)
        return _seen(await send(*args, **{**options, "follow_redirects": False}), statuses)

    return sent


def _sync(send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    def sent(*args: Any, **options: Any) -> Any:
        statuses = _refused.get()
        if statuses is None:
            return send(*args, **options)
        return _seen(send(*args, **{**options, "follow_redirects": False}), statuses)

    return sent


def _seen(response: Any, statuses: list[int]) -> Any:
    if response.has_redirect_location:
        statuses.append(response.status_code)
    return response
