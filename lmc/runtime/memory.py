"""The memory of a run: a repeated deterministic call reuses its answer and costs nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from lmc.models.base import NO_DETAILS, Answer, Request
from lmc.models.tool_calls import message_data
from lmc.requests.flights import Flights

Fetch = Callable[[], Awaitable[Answer]]


class Memory:
    """The answers of one run, including pending ones. Belongs to one event loop."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._flights = Flights()

    async def ask(self, kind: object, model: str | None, request: Request, fetch: Fetch) -> Answer:
        """The answer to one sample. Requests of one `kind` differ in messages and index only.

        Raises: what `fetch` raises. All callers that wait for an answer get its ModelFailure.
        """
        texts = [(message["content"], message_data(message)) for message in request.messages]
        key = repr((id(kind), model, request.index, request.logprobs, texts))
        if key in self._answers:
            return self._answers[key]
        asked: list[Answer] = []

        async def lead(_: Sequence[int]) -> dict[int, Answer]:
            asked.append(await fetch())
            self._answers[key] = _free(asked[0])
            return {0: asked[0]}

        found: dict[int, Answer] = {}
        await self._flights.complete([key], found, lead)
        return asked[0] if asked else _free(found[0])


def _free(answer: Answer) -> Answer:
    """The same answer at no cost."""
    return replace(
        answer, prompt_tokens=0, completion_tokens=0, cost_usd=0.0, latency_ms=0.0, cached=True,
        details=NO_DETAILS,
    )  # fmt: skip
