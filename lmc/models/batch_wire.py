"""The requests of a batch API over HTTP: files, batches, and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from lmc.models import quick_json
from lmc.models.base import ModelFailure
from lmc.models.batch_api import CHATS, BatchState
from lmc.models.batch_journal import IS_ID
from lmc.models.http_failures import failure_from_response
from lmc.redaction import redact

MOST_LINE = 32 << 20  # bytes of a line of answers
MOST_FILE = 2 << 30
_MOST_BODY = 4 << 20  # of what is said about batches
_MOST_ERROR = 65_536
_ASIDE_S, _FILE_S = 60.0, 3600.0
_MARK = "lmc"  # the key of the metadata that tells a batch of ours
_LISTED = 100
_NO_API = "the server may have no batch API: leave `batch_api` out to ask it the ordinary way"


class BatchWire:
    """One server's batch API. `session` opens connections that have the key in their headers."""

    def __init__(
        self,
        base: URL,
        endpoint: str,
        key_env: str | None,
        session: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self.endpoint = endpoint
        self._base, self._key_env, self._session = base, key_env, session

    async def upload(self, lines: bytes) -> str:
        """Send a file of requests, and return its id. Raises: ModelFailure."""
        with aiohttp.MultipartWriter("form-data") as form:
            form.append("batch").set_content_disposition("form-data", name="purpose")
            part = form.append(lines, {"Content-Type": "application/jsonl"})
            part.set_content_disposition("form-data", name="file", filename="requests.jsonl")
        headers = {"Content-Type": form.headers["Content-Type"]}
        told = await self._json("POST", "files", data=form, headers=headers, limit_s=_FILE_S)
        return self._id(told)

    async def create(self, file: str, token: str) -> str:
        """Submit a file as a batch with our mark, and return its id. Raises: ModelFailure."""
        asked = {
            "input_file_id": file, "endpoint": CHATS, "completion_window": "24h",
            "metadata": {_MARK: token},
        }  # fmt: skip
        return self._id(await self._json("POST", "batches", data=quick_json.encode(asked)))

    async def find(self, token: str) -> str | None:
        """The id of the batch with our mark; None if there is none. Raises: ModelFailure."""
        told = await self._json("GET", "batches", query={"limit": str(_LISTED)})
        for batch in told.get("data") or ():
            if isinstance(batch, Mapping) and _mark(batch) == token:
                return self._id(batch)
        return None

    async def state(self, id: str) -> BatchState:
        """How far a batch is. Raises: ModelFailure."""
        told = await self._json("GET", f"batches/{id}")
        named = [told.get("output_file_id"), told.get("error_file_id")]
        files = tuple(self._id({"id": file}) for file in named if file)
        return BatchState(str(told.get("status")), files, _problem(told.get("errors")))

    async def cancel(self, id: str) -> None:
        """Have the server answer no more of a batch. Raises: ModelFailure."""
        await self._json("POST", f"batches/{id}/cancel")

    async def each_line(self, file: str, take: Callable[[bytes], None]) -> None:
        """Have the lines of a file taken, one after the other. Raises: ModelFailure."""
        async with self._asked("GET", f"files/{file}/content", _FILE_S) as response:
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

    async def _json(
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

    def _id(self, told: Mapping[str, Any]) -> str:
        id = told.get("id")
        if not isinstance(id, str) or not IS_ID.fullmatch(id):
            raise self._bad(f"sent no valid id: {str(id)[:80]!r}")
        return id

    def _bad(self, what: str) -> ModelFailure:
        return ModelFailure("server", f"{self.endpoint} {redact(what)}", retryable=True)


def _mark(batch: Mapping[str, Any]) -> Any:
    metadata = batch.get("metadata")
    return metadata.get(_MARK) if isinstance(metadata, Mapping) else None


def _problem(errors: Any) -> str:
    """What a failed batch says about itself."""
    listed = errors.get("data") if isinstance(errors, Mapping) else None
    told = [e for e in listed or () if isinstance(e, Mapping)]
    return "; ".join(f"{e.get('code')}: {e.get('message')}" for e in told[:3])
