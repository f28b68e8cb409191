"""Single flight: what is being asked already is waited for, not asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from lmc.models.base import Answer, ModelFailure

# An answer, a failure to share, or None: whoever asked gave up, so somebody else must.
Outcome = Answer | ModelFailure | None
Fetch = Callable[[Sequence[int]], Awaitable[dict[int, Answer]]]


class Flights:
    """Samples that are being asked for, by cache key. Belongs to one event loop."""

    def __init__(self) -> None:
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}

    async def complete(self, keys: Sequence[str], found: dict[int, Answer], fetch: Fetch) -> None:
        """Fill `found` up to all places of `keys`: from others' flights, the rest by `fetch`.

        Raises: ModelFailure, own or of the flight that was waited for.
        """
        while len(found) < len(keys):
            missing = [place for place in range(len(keys)) if place not in found]
            theirs = {p: self._outcomes[keys[p]] for p in missing if keys[p] in self._outcomes}
            mine = [place for place in missing if place not in theirs]
            if mine:
                found.update(await self._lead(keys, mine, fetch))
            for place, outcome in theirs.items():
                answer = await _outcome(outcome)
                if answer is not None:
                    found[place] = answer

    async def _lead(
        self, keys: Sequence[str], places: Sequence[int], fetch: Fetch
    ) -> dict[int, Answer]:
        loop = asyncio.get_running_loop()
        flights = {place: loop.create_future() for place in places}
        self._outcomes.update((keys[place], flight) for place, flight in flights.items())
        outcomes: dict[int, Answer] | dict[int, ModelFailure] = {}
        try:
            answers = await fetch(places)
            outcomes = answers
            return answers
        except ModelFailure as failure:
            outcomes = dict.fromkeys(places, failure)
            raise
        finally:
            for place, flight in flights.items():
                del self._outcomes[keys[place]]
                flight.set_result(outcomes.get(place))


async def _outcome(flight: asyncio.Future[Outcome]) -> Answer | None:
    await asyncio.wait((flight,))  # unlike `await`, leaves the flight alone when cancelled
    outcome = flight.result()
    if isinstance(outcome, ModelFailure):
        raise outcome
    return replace(outcome, cached=True) if outcome is not None else None
