"""The chats of a server that go by its batch API, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from lmc.diagnostics import LmcError
from lmc.models import border, quick_json
from lmc.models.base import Answer, Price
from lmc.models.batch_queue import BatchQueue
from lmc.models.batch_service import BatchService

_MOST_AT_ONCE = 32  # chats that a batch left; others are limited by who asks


class BatchedChats:
    """Chats by a batch API. `settings` are those of the model, with the user's `batch_api`.

    `price` is the usual one where the settings give none, and `share` the part of it that the
    provider takes. Raises: LmcError[headers-in-batch].
    """

    def __init__(
        self, service: BatchService, settings: Mapping[str, Any], price: Price | None, share: float
    ) -> None:
        if settings.get("headers"):
            message = "the `headers` of a model cannot go with the requests of a batch"
            help = "leave out `headers`, or run without `batch_api`"
            raise LmcError.of("headers-in-batch", message, help=help)
        options, usual = settings["batch_api"], Price.from_settings(settings) or price
        self._queue, self._at_once = BatchQueue(service, options), asyncio.Semaphore(_MOST_AT_ONCE)
        self._share = options.share(share)
        self._price = usual and usual.scaled(self._share)
        # What may be asked the ordinary way is reserved at the ordinary price.
        self.reserved = usual if options.late == "ask" else self._price

    async def ask(
        self, payload: Mapping[str, Any], index: int
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        """The reply to a chat; None if it should be asked the ordinary way. Raises: ModelFailure.

        `index` is that of the first sample: another one is another chat.
        """
        body = quick_json.encode(dict(payload))
        reply = await self._queue.ask(str(payload["model"]), body, index)
        return None if reply is None else (reply[0], {}, reply[1])

    @asynccontextmanager
    async def at_once(self, timeout_s: float | None) -> AsyncIterator[None]:
        """While a chat is asked the ordinary way: some at a time. Raises: TimeoutError."""
        async with self._at_once, asyncio.timeout(timeout_s):
            yield

    def priced(self, answers: Sequence[Answer]) -> list[Answer]:
        """Answers of a batch with what they cost."""
        if (price := self._price) is None:
            return [replace(a, cost_usd=a.cost_usd * self._share) for a in answers]
        return [
            replace(a, cost_usd=price.cost_usd(a.prompt_tokens, a.completion_tokens, a.details))
            for a in map(border.sound, answers)
        ]

    async def close(self) -> None:
        """Stop waiting."""
        await self._queue.close()
