"""Anthropic's Message Batches: requests go in one body, and a batch has no mark of ours.

Source: https://platform.claude.com/docs/en/build-with-claude/batch-processing. Requests are the
bodies of `/v1/messages`, as litellm makes them, prompt caches and all. Ids of requests have at most
64 letters, digits, `_` and `-`. They begin with the token of the batch, by which it is found again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import aiohttp
from yarl import URL

from lmc.models import quick_json
from lmc.models.base import ModelFailure
from lmc.models.batch_api import BatchState, Outcome, unanswered
from lmc.models.batch_http import FILE_S, BatchHttp
from lmc.models.batch_journal import JournaledBatch
from lmc.redaction import logger

_log = logger(__name__)
_LISTED = 1000  # the most that one page has
_ASKED_AGAIN_S = 10.0
_CLOCKS_S = 900.0  # by which two clocks may differ
_SUBMITTING_S = FILE_S  # from the journal to the server at most
_CONNECT_S = 15.0
_NOT_SENT = ("content-length", "content-type", "host", "accept-encoding")
_STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402,
    "permission_error": 403, "not_found_error": 404, "request_too_large": 413,
    "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


class AnthropicBatches(BatchHttp):
    """The batches of one key. Where they are and how to ask is learnt from ordinary requests."""

    def __init__(self, key_env: str) -> None:
        super().__init__(URL("http://unknown.invalid"), "", key_env, self._connections)
        self._open: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._headers: dict[str, str] = {}
        self._betas: set[str] = set()
        self._created: set[str] = set()

    def learn(self, url: str, headers: Mapping[str, str]) -> None:
        """Learn from a request for one message, which would go to `url`."""
        self._base = URL(url)
        self.endpoint = str(self._base.with_user(None).with_query(None))
        named = {name.lower(): str(value) for name, value in headers.items()}
        self._betas |= {beta.strip() for beta in named.pop("anthropic-beta", "").split(",")} - {""}
        self._headers = {n: value for n, value in named.items() if n not in _NOT_SENT}

    async def prepare(self, bodies: Sequence[bytes]) -> Sequence[bytes]:
        """The requests as they are."""
        return bodies

    async def create(self, prepared: Sequence[bytes], batch: JournaledBatch) -> str:
        """Submit requests, and return the id of the batch. Raises: ModelFailure."""
        told = (
            b'{"custom_id":"%s-%d","params":%s}' % (batch.token.encode(), number, body)
            for number, body in enumerate(prepared)
        )
        data = b'{"requests":[%s]}' % b",".join(told)
        betas = {"anthropic-beta": ",".join(sorted(self._betas))} if self._betas else {}
        asked = self.json("POST", "batches", data=data, headers=betas, limit_s=FILE_S)
        id = self.id_in(await asked)
        self._created.add(id)
        return id

    async def find(self, batch: JournaledBatch) -> str | None:
        """The batch of this size and time whose requests have the token.

        A batch tells its requests only when it is over, so this waits. Raises: ModelFailure.
        """
        waiting: list[Mapping[str, Any]]
        listed = [one for one in await self._listed() if self.id_in(one) not in self._created]
        waiting = [one for one in listed if _may_be(one, batch)]
        while waiting:
            for one in [one for one in waiting if one.get("processing_status") == "ended"]:
                waiting.remove(one)
                if await self._has(self.id_in(one), batch.token):
                    return self.id_in(one)
            if waiting:
                ids = ", ".join(map(self.id_in, waiting))
                _log.info("waiting for the end of %s, to see whose requests these are", ids)
                await asyncio.sleep(_ASKED_AGAIN_S)
                waiting = [await self.json("GET", f"batches/{self.id_in(o)}") for o in waiting]
        return None

    async def state(self, id: str) -> BatchState:
        """How far a batch is. Raises: ModelFailure."""
        told = await self.json("GET", f"batches/{id}")
        if told.get("processing_status") != "ended":
            return BatchState("in_progress")
        if told.get("archived_at"):  # after 29 days
            message = f"{self.endpoint} has the answers of batch {id} no more"
            raise ModelFailure("not_found", message, retryable=False)
        return BatchState("completed", (id,))

    async def cancel(self, id: str) -> None:
        """Have no more of a batch answered. Raises: ModelFailure."""
        await self.json("POST", f"batches/{id}/cancel")

    async def each_line(self, file: str, take: Callable[[bytes], None]) -> None:
        """Have the answers of a batch taken. Raises: ModelFailure.

        The address that the server names is not followed, as the key would go there.
        """
        await self.lines(f"batches/{file}/results", take)

    def read(self, line: bytes) -> tuple[int, Outcome]:
        """Read a line of answers. Raises: ValueError, KeyError, TypeError."""
        told = quick_json.decode(line)
        number, result = int(told["custom_id"].rpartition("-")[2]), told["result"]
        match result["type"]:
            case "succeeded":
                return number, (200, quick_json.encode(result["message"]))
            case "errored":
                found = result["error"]
                kind = (found.get("error") or found).get("type")
                return number, (_STATUSES.get(str(kind), 500), quick_json.encode(found))
            case "canceled":
                return number, unanswered("cancelled")
            case "expired":
                return number, unanswered("expired")
        raise ValueError(result["type"])

    async def close(self) -> None:
        """Close the connections."""
        session, self._open = self._open, None
        if session is not None:
            await session.close()

    async def _listed(self) -> list[Mapping[str, Any]]:
        told = await self.json("GET", "batches", query={"limit": str(_LISTED)})
        return [one for one in told.get("data") or () if isinstance(one, Mapping)]

    async def _has(self, id: str, token: str) -> bool:
        """Whether the requests of a batch that is over have a token."""
        found: list[bool] = []

        def take(line: bytes) -> None:
            try:
                found.append(str(quick_json.decode(line)["custom_id"]).rpartition("-")[0] == token)
            except (ValueError, KeyError, TypeError, RecursionError):
                found.append(False)

        await self.each_line(id, take)
        return any(found)

    def _connections(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._open is None or self._loop is not loop:
            self._loop = loop
            self._open = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={**self._headers, "Content-Type": "application/json"},
                trust_env=True,
            )
        return self._open


def _may_be(told: Mapping[str, Any], batch: JournaledBatch) -> bool:
    """Whether a batch at the server may be one of the journal, by its size and time."""
    counts = told.get("request_counts")
    sizes = counts.values() if isinstance(counts, Mapping) else ()
    if sum(size for size in sizes if isinstance(size, int)) != len(batch.keys):
        return False
    try:
        made_s = datetime.fromisoformat(str(told.get("created_at"))).timestamp()
    except ValueError:
        return True
    begun_s = batch.begun_s or time.time()
    return begun_s - _CLOCKS_S <= made_s <= begun_s + _SUBMITTING_S + _CLOCKS_S
