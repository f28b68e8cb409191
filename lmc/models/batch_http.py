"""Requests about batches over HTTP: bounded, without redirects, with failures that say what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from lmc.models import quick_json
from lmc.models.base import ModelFailure
from lmc.models.batch_journal import IS_ID
from lmc.models.http_failures import failure_from_response
from lmc.redaction import redact

MOST_LINE = 32 << 20  # bytes of a line of answers
MOST_FILE = 2 << 30
FILE_S = 3600.0  # for a file of requests or answers
_MOST_BODY = 4 << 20  # of what is said about batches
_MOST_ERROR = 65_536
_ASIDE_S = 60.0
_NO_API = "the server may have no batch API: leave `batch_api` out to ask it the ordinary way"


class BatchHttp:
    """One server. `session` opens connections that have the key in their headers."""

    longest_pause_s = 300.0

    def __init__(
        self,
        base: URL,
        endpoint: str,
        key_env: str | None,
        session: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self.endpoint = endpoint
        self._base, self._key_env, self._session = base, key_env, session

    def forget(self, id: str) -> None:
        """Nothing of a batch is kept here."""

    async def lines(self, path: str, take: Callable[[bytes], None]) -> None:
        """Have the lines of a reply taken, one after the other. Raises: ModelFailure."""
        async with self._asked("GET", path, FILE_S) as response:
            size, rest = 0, b""
            async for data in response.content.iter_any():
                size += len(data)
                *whole, rest = (rest + data).split(b"\n")
                if size > MOST_FILE or len(rest) > MOST_LINE:
                    raise ModelFailure("server", f"{self.endpoint} sent too much", retryable=False)
                for line in whole:
                    take(line)
            if rest:
                take(rest)

    async def json(
        self, method: str, path: str, *, limit_s: float = _ASIDE_S, **sent: Any
    ) -> Mapping[str, Any]:
        """The JSON object of a reply. Raises: ModelFailure."""
        async with self._asked(method, path, limit_s, **sent) as response:
            raw = await response.content.read(_MOST_BODY)
            while len(raw) < _MOST_BODY and (more := await response.content.read(_MOST_BODY)):
                raw += more
        try:
            told = quick_json.decode(raw)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise self._bad(f"sent no JSON object about batches: {raw[:80]!r}")
        return told

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        limit_s: float,
        *,
        query: Mapping[str, str] | None = None,
        **sent: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with status 200. Raises: ModelFailure."""
        url = self._base.joinpath(*path.split("/")).update_query(query)
        request = self._session().request
        try:
            async with (
                asyncio.timeout(limit_s),
                request(method, url, allow_redirects=False, **sent) as response,
            ):
                if response.status != 200:
                    raise await self._failure(response)
                yield response
        except TimeoutError:
            message = f"{self.endpoint} took too long to answer"
            raise ModelFailure("timeout", message, retryable=True) from None
        except (aiohttp.ClientError, OSError) as e:
            reason = redact(str(e) or type(e).__name__)
            raise ModelFailure("connection", f"{self.endpoint}: {reason}", retryable=True) from None

    async def _failure(self, response: aiohttp.ClientResponse) -> ModelFailure:
        raw = await response.content.read(_MOST_ERROR)
        text, headers = redact(raw.decode("utf-8", "replace")), response.headers
        status, key_env = response.status, self._key_env
        failure = failure_from_response(self.endpoint, status, headers, text, key_env)
        if status in (404, 405, 501):
            failure.hint = _NO_API
        return failure

    def id_in(self, told: Mapping[str, Any]) -> str:
        """The id in what the server says. Raises: ModelFailure."""
        id = told.get("id")
        if not isinstance(id, str) or not IS_ID.fullmatch(id):
            raise self._bad(f"sent no valid id: {str(id)[:80]!r}")
        return id

    def _bad(self, what: str) -> ModelFailure:
        return ModelFailure("server", f"{self.endpoint} {redact(what)}", retryable=True)
