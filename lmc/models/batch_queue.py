"""Requests that wait together, go out as one batch, and get their answers when it is over."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from lmc.models.base import ModelFailure
from lmc.models.batch_api import (
    MOST_BYTES,
    BatchAnswers,
    BatchApi,
    BatchState,
    Outcome,
    Reply,
    may_pass,
    request_key,
    unanswered,
)
from lmc.models.batch_journal import BatchJournal, JournaledBatch
from lmc.models.batch_service import BatchService
from lmc.redaction import logger

_log = logger(__name__)
T = TypeVar("T")
_PAUSES_GROW = 1.5
_AROUND = 160  # most bytes of a line of requests beside the body
_CANCELLING_S = 900.0  # a cancelled batch may take ten minutes to end
_MOST_QUIET = 30  # times `quiet_s` after the first request, a batch goes even if more come
_TRIES = 4  # of what costs nothing
# After these, the server may have taken a batch all the same.
_OPEN = ("connection", "timeout", "server")


@dataclass(eq=False, slots=True)
class _Waiting:
    key: str
    body: bytes
    outcome: asyncio.Future[Outcome]


class _Batch:
    """A submitted batch. Each of its answers is handed out once.

    `earlier`: an earlier run submitted it.
    """

    def __init__(self, journaled: JournaledBatch, *, earlier: bool) -> None:
        self.journaled, self.earlier = journaled, earlier
        self.result: asyncio.Task[dict[int, Outcome]] | None = None
        self._free: defaultdict[str, deque[int]] = defaultdict(deque)
        self.left = len(journaled.keys)
        for number, key in enumerate(journaled.keys):
            self._free[key].append(number)

    def has(self, key: str) -> bool:
        """Whether a request has this key and no owner yet."""
        return bool(self._free.get(key))

    def take(self, key: str) -> int | None:
        """The number of a request that has this key and no owner yet."""
        free = self._free.get(key)
        if not free:
            return None
        self.left -= 1
        return free.popleft()

    @property
    def used_up(self) -> bool:
        """Whether all of its answers are here, and were handed out."""
        task = self.result
        done = task is not None and task.done() and not task.cancelled() and not task.exception()
        return done and not self.left

    @property
    def open(self) -> bool:
        """Whether somebody waits for it."""
        return self.result is not None and not self.result.done()


@dataclass(eq=False, slots=True)
class _Group:
    """Requests to one model that wait: providers take one model in a file."""

    waiting: list[_Waiting] = field(default_factory=list)
    bytes: int = 0
    first_s: float = 0.0
    timer: asyncio.TimerHandle | None = None


class BatchQueue:
    """The requests to one endpoint that go by its batch API. Belongs to one event loop."""

    def __init__(
        self, service: BatchService, options: BatchApi, journal: BatchJournal | None = None
    ) -> None:
        self.options = options
        self._service, self._journal = service, journal or BatchJournal()
        self._groups: defaultdict[str, _Group] = defaultdict(_Group)
        self._batches: list[_Batch] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ordinary: set[str] = set()  # keys that go the ordinary way from now on
        self._recovered = False

    async def ask(self, model: str, body: bytes, index: int) -> Reply | None:
        """The reply to a chat, which comes late; None if it should be asked the ordinary way.

        An earlier run may have submitted the same chat for the same sample. Raises: ModelFailure,
        LmcError[cannot-write].
        """
        key = request_key(body, index)
        if key in self._ordinary:
            return None
        outcome = await self._earlier(key)
        if outcome is None:
            outcome = await self._gathered(model, key, body)
        if self.options.late == "ask" and may_pass(outcome):
            self._ordinary.add(key)
            return None
        if isinstance(outcome, ModelFailure):
            raise copy(outcome)  # its callers add to it
        return outcome

    async def close(self) -> None:
        """Stop waiting. Batches go on at the server, and the next run asks for them.

        Batches whose answers were all handed out are forgotten, unless another one is open: who
        starts again then may need them too.
        """
        waits = any(batch.open for batch in self._batches) or bool(self._tasks)
        tasks = [*self._tasks, *(b.result for b in self._batches if b.result is not None)]
        for group in self._groups.values():
            if group.timer is not None:
                group.timer.cancel()
        for task in tasks:
            task.cancel()
        if not waits:
            for batch in self._batches:
                if batch.used_up:
                    self._journal.forget(batch.journaled)
                    self._service.forget(str(batch.journaled.id))
        await asyncio.gather(*tasks, return_exceptions=True)
        self._journal.close()
        self._groups.clear()
        self._batches.clear()
        self._recovered = False

    async def _earlier(self, key: str) -> Outcome | None:
        """The answer from a batch of an earlier run; None if there is none."""
        if not self._recovered:
            self._recovered = True
            found = self._journal.batches(self._service.endpoint)
            self._batches += [_Batch(one, earlier=True) for one in found]
        for batch in self._batches:
            if not batch.earlier or not batch.has(key):
                continue
            if not self._journal.adopt(batch.journaled):
                continue  # its run goes on
            number = batch.take(key)
            outcome = (await self._result(batch)).get(-1 if number is None else number)
            if outcome is not None and not may_pass(outcome):
                return outcome
        return None

    async def _result(self, batch: _Batch) -> dict[int, Outcome]:
        if batch.result is None:
            batch.result = asyncio.create_task(self._followed(batch))
        try:
            return await asyncio.shield(batch.result)
        except ModelFailure as failure:
            raise copy(failure) from None

    async def _gathered(self, model: str, key: str, body: bytes) -> Outcome:
        """Wait with others for a batch, and then for its answers."""
        loop = asyncio.get_running_loop()
        one, group = _Waiting(key, body, loop.create_future()), self._groups[model]
        if group.bytes + len(body) > MOST_BYTES:
            self._submit(model)
            group = self._groups[model]
        if not group.waiting:
            group.first_s = loop.time()
        group.waiting.append(one)
        group.bytes += _AROUND + len(body)
        if group.timer is not None:
            group.timer.cancel()
        if len(group.waiting) >= self.options.most:
            self._submit(model)
        else:
            quiet_s = self.options.quiet_s
            last_s = group.first_s + _MOST_QUIET * quiet_s
            at_s = min(loop.time() + quiet_s, last_s)
            group.timer = loop.call_at(at_s, self._submit, model)
        return await one.outcome

    def _submit(self, model: str) -> None:
        group = self._groups.pop(model)
        if group.timer is not None:
            group.timer.cancel()
        waiting = [one for one in group.waiting if not one.outcome.done()]
        if waiting:
            task = asyncio.create_task(self._answer(waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, waiting: list[_Waiting]) -> None:
        """Submit a batch and hand out what comes of it."""
        try:
            batch = await self._submitted(waiting)
            found = await self._result(batch)
        except asyncio.CancelledError:
            for one in waiting:
                one.outcome.cancel()
            raise
        except Exception as failure:  # whoever waits is told, whatever it is
            for one in waiting:
                if not one.outcome.done():
                    own = copy(failure) if isinstance(failure, ModelFailure) else failure
                    one.outcome.set_exception(own)
            return
        for one in waiting:
            number = batch.take(one.key)
            if not one.outcome.done() and number is not None:
                one.outcome.set_result(found[number])

    async def _submitted(self, waiting: list[_Waiting]) -> _Batch:
        """Submit requests as a batch. The journal knows them before the server does."""
        service, bodies = self._service, [one.body for one in waiting]
        prepared = await _patient(lambda: service.prepare(bodies))
        journaled = self._journal.new(service.endpoint, [one.key for one in waiting])
        id = await self._created(prepared, journaled)
        journaled = replace(journaled, id=id)
        self._journal.write(journaled)
        _log.info("batch %s has %d requests at %s", id, len(waiting), service.endpoint)
        batch = _Batch(journaled, earlier=False)
        self._batches.append(batch)
        return batch

    async def _created(self, prepared: Any, journaled: JournaledBatch) -> str:
        try:
            return await self._service.create(prepared, journaled)
        except ModelFailure as failure:
            if failure.kind in _OPEN:  # it may be there all the same
                found = await self._found(journaled, failure)
                if found is not None:
                    return found
            self._journal.forget(journaled)
            raise

    async def _found(self, journaled: JournaledBatch, cause: ModelFailure) -> str | None:
        try:
            return await self._sought(journaled)
        except ModelFailure:
            hint = "start again when the server is back: lmc asks it first whether it has the batch"
            message = f"nobody knows whether the server took a batch: {cause.message}"
            raise ModelFailure(cause.kind, message, retryable=False, hint=hint) from None

    async def _sought(self, journaled: JournaledBatch) -> str | None:
        """The id of a batch that the server may have. It is looked for as long as batches may take.

        Raises: ModelFailure.
        """
        wait_s = self.options.wait_s
        try:
            async with asyncio.timeout(wait_s):
                return await _patient(lambda: self._service.find(journaled))
        except TimeoutError:
            raise _overdue("that an earlier run submitted", wait_s) from None

    async def _followed(self, batch: _Batch) -> dict[int, Outcome]:
        """Wait for the end of a batch, and read its answers."""
        if batch.journaled.id is None:  # the run was killed as it submitted it
            id = await self._sought(batch.journaled)
            if id is None:
                self._journal.forget(batch.journaled)
                return {}
            batch.journaled = replace(batch.journaled, id=id)
            self._journal.write(batch.journaled)
        try:
            state = await self._ended(str(batch.journaled.id))
            return await _patient(lambda: self._answers(state, len(batch.journaled.keys)))
        except ModelFailure as failure:
            if failure.kind != "not_found" or not batch.earlier:
                raise
            _log.warning("%s has no batch %s any more", self._service.endpoint, batch.journaled.id)
            self._journal.forget(batch.journaled)
            return {}

    async def _ended(self, id: str) -> BatchState:
        """The state of a batch that is over. Raises: ModelFailure if it takes too long."""
        loop, options = asyncio.get_running_loop(), self.options
        end_s, pause_s, cancelled = loop.time() + options.wait_s, options.poll_s, False
        while True:
            state = await self._state(id)
            if state is not None and state.over:
                return state
            left_s = end_s - loop.time()
            if left_s <= 0:
                if options.late == "fail" or cancelled:
                    raise _overdue(id, options.wait_s)
                await _patient(lambda: self._service.cancel(id))
                cancelled, left_s, pause_s = True, _CANCELLING_S, options.poll_s
                end_s = loop.time() + left_s
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * _PAUSES_GROW, self._service.longest_pause_s)

    async def _state(self, id: str) -> BatchState | None:
        """The state of a batch; None if the server cannot tell it now."""
        try:
            return await self._service.state(id)
        except ModelFailure as failure:
            if not failure.retryable:
                raise
            _log.info("batch %s: %s", id, failure.kind)
            return None

    async def _answers(self, state: BatchState, requests: int) -> dict[int, Outcome]:
        """The outcome of each request of a batch that is over."""
        answers = BatchAnswers(requests, self._service.read)
        for file in state.files:
            await self._service.each_line(file, answers.take)
        missing: Outcome = unanswered(state.status)
        if state.status == "completed":
            message = f"{self._service.endpoint} left a request out of a batch"
            missing = ModelFailure("server", message, retryable=True)
        elif state.status == "failed":
            missing = _refused(self._service.endpoint, state.problem)
        return {number: answers.found.get(number, missing) for number in range(requests)}


def _overdue(which: str, wait_s: float) -> ModelFailure:
    message = f"batch {which} is not over after {wait_s / 3600:g} hours"
    hint = "start again later: the same batch is asked for, and nothing is paid for twice"
    return ModelFailure("timeout", message, retryable=False, hint=hint, sent=False)


def _refused(endpoint: str, problem: str) -> ModelFailure:
    message = f"{endpoint} refused a batch: {problem or 'it does not say why'}"
    hint = "smaller batches may pass: lower `most`" if "limit" in problem else ""
    return ModelFailure("bad_request", message, retryable=False, hint=hint, sent=False)


async def _patient(ask: Callable[[], Awaitable[T]]) -> T:
    """What a question gives that costs nothing, so that it can be asked again."""
    for tried in range(_TRIES):
        try:
            return await ask()
        except ModelFailure as failure:
            if not failure.retryable or tried == _TRIES - 1:
                raise
            asked_s = failure.retry_after_s
            await asyncio.sleep(2.0**tried if asked_s is None else min(asked_s, 30.0))
    raise AssertionError
