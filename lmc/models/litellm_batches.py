"""Messages for Anthropic that litellm writes and reads, and a batch carries.

litellm sends through a client that it is given. This one puts the request into the queue of
batches, and gives litellm the answer that came for it. So a batch has the same requests as ordinary
calls, with tools, schemas, thoughts and marks of prompt caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from lmc.models.anthropic_batches import AnthropicBatches
from lmc.models.base import ModelFailure, Price
from lmc.models.batched_chats import BatchedChats
from lmc.models.http_failures import failure_from_response
from lmc.redaction import redact, remember

KEY = "ANTHROPIC_API_KEY"
SHARE = 0.5  # of the usual price


@dataclass(eq=False, slots=True)
class Carried:
    """One request on its way: its first sample, and what became of it."""

    index: int
    failure: ModelFailure | None = None
    late: bool = False  # a batch answered


_carried: ContextVar[Carried] = ContextVar("_carried")


@contextmanager
def carrying(index: int) -> Iterator[Carried]:
    """While litellm asks: for the request with this first sample."""
    carried = Carried(index)
    token = _carried.set(carried)
    try:
        yield carried
    finally:
        _carried.reset(token)


class MessageBatches:
    """The batches of one model, and the client for litellm that fills them.

    Raises: LmcError[headers-in-batch].
    """

    def __init__(
        self, settings: Mapping[str, Any], key_env: str | None, price: Price | None
    ) -> None:
        self.service = AnthropicBatches(key_env or KEY)
        self.chats = BatchedChats(self.service, settings, price, SHARE)
        self._key_env, self._client = key_env or KEY, None

    def client(self) -> Any:
        """The client for litellm."""
        if self._client is None:
            self._client = _client(self)
        return self._client

    async def reply(
        self, url: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, bytes] | None:
        """The status and body of a late reply; None if it should be asked at once."""
        remember(self._key_env, dict(headers).get("x-api-key"))
        self.service.learn(url, headers)
        carried = _carried.get()
        carried.late = False  # litellm may ask a second time
        asked = {name: value for name, value in body.items() if name != "stream"}
        try:
            found = await self.chats.ask(asked, carried.index)
        except ModelFailure as failure:
            carried.failure = failure
            raise
        if found is None:
            return None
        carried.late, (status, _, raw) = True, found
        if status != 200:
            text = redact(raw.decode("utf-8", "replace"))
            endpoint = self.service.endpoint
            carried.failure = failure_from_response(endpoint, status, {}, text, self._key_env)
            raise carried.failure
        return status, raw

    def failure(self) -> ModelFailure | None:
        """Why the request on its way failed, which litellm tells in words of its own."""
        carried = _carried.get()
        failure, carried.failure = carried.failure, None
        return failure

    async def close(self) -> None:
        """Stop waiting."""
        await self.chats.close()
        await self.service.close()
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _client(batches: MessageBatches) -> Any:
    import httpx
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    class LateHandler(AsyncHTTPHandler):  # type: ignore[misc, unused-ignore]  # litellm has no types
        """Sends by batches, and by HTTP what a batch left."""

        async def post(self, url: str, **sent: Any) -> Any:
            late = await batches.reply(url, sent.get("json") or {}, sent.get("headers") or {})
            if late is None:
                async with batches.chats.at_once(None):
                    return await super().post(url, **sent)
            status, raw = late
            request, told = httpx.Request("POST", url), {"Content-Type": "application/json"}
            return httpx.Response(status, content=raw, request=request, headers=told)

    return LateHandler()
