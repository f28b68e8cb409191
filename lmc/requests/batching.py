"""Batching: samples that ask the same prompt in one turn of the event loop share a request.

An engine reads a shared prompt once, so n samples of a request cost far less than n requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.tool_calls import message_data
from lmc.requests.payers import Payers, payers

MOST_SAMPLES = 64  # of a request; servers refuse more than 128
Send = Callable[[Request], Awaitable[list[Answer]]]


@dataclass(slots=True, eq=False)
class _Waiter:
    """A waiting sample. `turn` gives its answer, or the batch that it must send."""

    kind: object
    request: Request
    payers: Payers = field(default_factory=payers)  # one sends for all, and so pays for all
    turn: asyncio.Future[Answer | list[_Waiter] | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class SampleBatcher:
    """Gathers equal requests for one turn of the event loop. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: list[_Waiter] = []

    async def ask(self, kind: object, request: Request, send: Send) -> Answer:
        """The answer to one sample.

        Requests of one `kind` differ in messages, index and `logprobs` only.

        One sample of each batch sends for all. If it is cancelled, the others send for themselves.
        Raises: ModelFailure, that of the sample if it has one, else that of the batch.
        """
        waiter = _Waiter(kind, request)
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(waiter)
        match await _its_turn(waiter):
            case Answer() as answer:
                return answer
            case list() as batch:
                return await _lead(batch, request, send)
            case _:
                (answer,) = await send(request)
                return answer

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in _batches([w for w in waiting if not w.turn.done()]):
            batch[0].turn.set_result(batch)


async def _its_turn(waiter: _Waiter) -> Answer | list[_Waiter] | None:
    try:
        return await waiter.turn
    except asyncio.CancelledError:
        if waiter.turn.done() and not waiter.turn.cancelled() and not waiter.turn.exception():
            batch = waiter.turn.result()  # it should have sent for others
            for other in batch[1:] if isinstance(batch, list) else ():
                _settle(other.turn, None)
        raise


async def _lead(batch: list[_Waiter], request: Request, send: Send) -> Answer:
    outcomes: Sequence[Answer | ModelFailure | None] = [None] * len(batch)
    try:
        answers = outcomes = await send(replace(request, n=len(batch)))
        return answers[0]
    except ModelFailure as failure:
        each = failure.outcomes  # some of the answers may be complete
        outcomes = each if len(each) == len(batch) else [failure] * len(batch)
        if isinstance(outcomes[0], Answer):
            return outcomes[0]
        raise
    finally:
        for waiter, outcome in zip(batch[1:], outcomes[1:]):
            _settle(waiter.turn, outcome)


def _settle(turn: asyncio.Future[Any], outcome: Answer | ModelFailure | None) -> None:
    if turn.done():
        return
    if isinstance(outcome, ModelFailure):
        turn.set_exception(outcome)
    else:
        turn.set_result(outcome)


def _batches(waiting: list[_Waiter]) -> list[list[_Waiter]]:
    """Samples of one prompt with neighbouring indices."""
    by_prompt: dict[tuple[object, ...], list[_Waiter]] = {}
    for waiter in waiting:
        texts = (m["content"] + message_data(m) for m in waiter.request.messages)
        payer = tuple(map(id, waiter.payers))
        kind = (id(waiter.kind), payer, waiter.request.logprobs, *texts)
        by_prompt.setdefault(kind, []).append(waiter)
    return [run for group in by_prompt.values() for run in _runs(group)]


def _runs(group: list[_Waiter]) -> list[list[_Waiter]]:
    """Split at a missing or repeated index, and where a request has enough samples."""
    runs: list[list[_Waiter]] = []
    for waiter in sorted(group, key=lambda w: w.request.index):
        last = runs[-1] if runs else []
        next_one = bool(last) and last[-1].request.index + 1 == waiter.request.index
        if next_one and len(last) < MOST_SAMPLES:
            runs[-1].append(waiter)
        else:
            runs.append([waiter])
    return runs
