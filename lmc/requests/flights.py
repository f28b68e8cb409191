"""Single flight: concurrent requests for the same sample share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from lmc.models.base import Answer, ModelFailure

# An answer, a failure to share, or None: the caller gave up, so a waiting caller must ask.
Outcome = Answer | ModelFailure | None
Fetch = Callable[[Sequence[int]], Awaitable[dict[int, Answer]]]


class Flights:
    """The samples in flight and the callers that wait for each. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[Outcome]]] = {}

    async def complete(self, keys: Sequence[str], found: dict[int, Answer], fetch: Fetch) -> None:
        """Fill `found` for all places of `keys`, from flights of other callers or by `fetch`.

        Raises: ModelFailure, its own or that of another caller's flight.
        """
        while missing := [place for place in range(len(keys)) if place not in found]:
            if self._waiting.keys().isdisjoint(keys):  # the usual case
                found.update(await self._lead(keys, missing, fetch))
                return
            theirs = {p: self._wait(keys[p]) for p in missing if keys[p] in self._waiting}
            mine = [place for place in missing if place not in theirs]
            if mine:
                found.update(await self._lead(keys, mine, fetch))
            for place, outcome in theirs.items():
                answer = _shared(await outcome)
                if answer is not None:
                    found[place] = answer

    async def _lead(
        self, keys: Sequence[str], places: Sequence[int], fetch: Fetch
    ) -> dict[int, Answer]:
        for place in places:
            self._waiting[keys[place]] = []
        outcomes: Mapping[int, Answer | ModelFailure] = {}
        try:
            outcomes = answers = await fetch(places)
            return answers
        except ModelFailure as failure:
            each = failure.outcomes
            whole = len(each) == len(places)
            outcomes = dict(zip(places, each)) if whole else dict.fromkeys(places, failure)
            raise
        finally:
            for place in places:
                for waiting in self._waiting.pop(keys[place]):
                    if not waiting.done():
                        waiting.set_result(outcomes.get(place))

    def _wait(self, key: str) -> asyncio.Future[Outcome]:
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[key].append(outcome)
        return outcome


def _shared(outcome: Outcome) -> Answer | None:
    if isinstance(outcome, ModelFailure):
        raise outcome
    return replace(outcome, cached=True) if outcome is not None else None
