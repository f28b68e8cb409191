"""Send one request through the model's gate, and retry until its answers are complete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from logging import DEBUG
from typing import TypeVar

from lmc.models import border
from lmc.models.base import SAID, Answer, ModelFailure, Request
from lmc.models.border import Outcome
from lmc.models.tool_calls import has_tool_turns, without_tool_turns
from lmc.redaction import logger
from lmc.requests.bound import BoundModel
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.requests.deadlines import Deadlines
from lmc.requests.pacing import Ticket
from lmc.requests.reservations import UNLIMITED, Held
from lmc.requests.retry import LONGEST_WAIT_S, Retries, RetryPolicy
from lmc.requests.spans import Spans
from lmc.requests.usage import Usage

_log = logger(__name__)
T = TypeVar("T")

RESEND_STRIDE = 1 << 24  # from the index of a sample to that of its replacement
_LONGER = 4  # factor on the tokens after a cut answer
_MOST_LONGER = 16  # greatest factor on the tokens first asked for
_MOST_TOKENS = 32_768
_CUT_AT = 256  # assumed tokens of a cut answer whose length is not reported
_ONE = Usage(calls=1)
_ADAPTED = "adapted"  # the server refused a setting, and the request was changed
# Failures after which the provider may have made an answer and may charge for it.
_OPEN = ("connection", "timeout", "server", "broken_stream")


@dataclass(slots=True)
class Sending:
    """One call in progress: its reservations, and the cost of its failed attempts."""

    bound: BoundModel
    policy: RetryPolicy
    held: Held
    retries: int = 0
    lost: Usage = field(default_factory=Usage)  # paid for without a complete answer
    heard: bool = False  # a listener received a part of the text
    whole: list[Answer] = field(default_factory=list)  # from requests that failed in part

    def answered(self, answers: list[Answer]) -> list[Answer]:
        """The answers, with the cost of failed attempts added to the first one."""
        if not self.retries:
            return answers
        first, lost = answers[0], self.lost
        answers[0] = replace(
            first,
            prompt_tokens=first.prompt_tokens + lost.prompt_tokens,
            completion_tokens=first.completion_tokens + lost.completion_tokens,
            cost_usd=first.cost_usd + lost.cost_usd,
            retries=self.retries,
            details=first.details + lost.details,
        )
        return answers


class Sender:
    """Sends requests until their answers are complete. Belongs to one event loop.

    `require` is called before each attempt. What it raises stops the request. `spans` hears of
    retries.
    """

    def __init__(
        self,
        budget: Budget | None,
        require: Callable[[], None] = lambda: None,
        spans: Spans | None = None,
    ) -> None:
        self.budget, self._require, self.spans = budget, require, spans
        self._minutes = budget.minutes if budget is not None else None
        self.deadlines = Deadlines()
        self._estimated: set[str] = set()

    async def send(self, sending: Sending, request: Request) -> list[Answer]:
        """A complete answer for each sample. Raises: ModelFailure, with each sample's outcome."""
        if request.on_text is not None or sending.held is not UNLIMITED:
            request = _watched(sending, request)
        if request.n == 1:
            outcomes = await _Course(self, sending, request).run()
            if isinstance(outcomes[0], Answer):
                return [outcomes[0]]
        else:
            outcomes = await self._outcomes(sending, request)
        failures = [outcome for outcome in outcomes if isinstance(outcome, ModelFailure)]
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        if not failures:
            return answers
        sending.whole += answers
        failure = copy(failures[0])  # the other samples keep their own outcomes
        failure.heard, failure.retries = sending.heard, sending.retries
        failure.outcomes = outcomes if answers else ()
        raise failure

    async def _outcomes(self, sending: Sending, request: Request) -> list[Outcome]:
        """The outcome of each sample: first one request for all, then one per failed sample."""
        singles = [replace(request, index=request.index + i, n=1) for i in range(request.n)]
        if not sending.bound.backend.capabilities.multiple_samples:
            parts = await _all(_Course(self, sending, one, whole=False).run() for one in singles)
            return [outcome for part in parts for outcome in part]
        course = _Course(self, sending, request)
        outcomes = await course.run()

        async def settled(one: Request, outcome: Outcome) -> list[Outcome]:
            if isinstance(outcome, Answer) or course.failed:
                return [outcome]
            return await _Course(self, sending, one, whole=False).run(outcome)

        parts = await _all(settled(one, outcome) for one, outcome in zip(singles, outcomes))
        return [outcome for part in parts for outcome in part]

    async def attempt(
        self, sending: Sending, request: Request, left_s: float | None, *, again: bool
    ) -> list[Outcome]:
        """Send a request once. Its timeout starts after the gate. Raises: ModelFailure."""
        bound = sending.bound
        if not bound.backend.capabilities.tools and has_tool_turns(request.messages):
            request = replace(request, messages=tuple(without_tool_turns(request.messages)))
        gate = bound.gate
        limit_s = None if bound.backend.capabilities.deferred else request.timeout_s
        if left_s is None and self._minutes is None and not gate.by_tokens:  # the usual case
            ticket = await gate.enter(first=again)
        else:
            ticket = await self._enter(bound, request, left_s, again=again)
            limit_s = _least(limit_s, left_s, self._budget_left_s())
        try:
            self._require()
            if _log.isEnabledFor(DEBUG):
                _log.debug("`%s` is asked: %s", bound.name, _described(request))
            with self.deadlines.limit(limit_s):
                answers = await bound.backend.generate(request)
        except TimeoutError:
            self.require_time()
            raise _late(bound, limit_s, request.timeout_s) from None
        except ModelFailure as failure:
            if failure.kind == "rate_limit" and failure.retryable:
                asked_s = failure.retry_after_s
                gate.refused(ticket, asked_s if (asked_s or 0) <= LONGEST_WAIT_S else None)
            else:
                gate.accepted(ticket)
            raise
        finally:
            gate.leave()
        gate.accepted(ticket)
        return self._judged(bound, request, ticket, answers)

    async def _enter(
        self, bound: BoundModel, request: Request, left_s: float | None, *, again: bool
    ) -> Ticket:
        gate = bound.gate
        tokens = border.prompt_estimate(request) if gate.by_tokens else 0
        limit_s = _least(left_s, self._budget_left_s())
        if limit_s is None:
            return await gate.enter(tokens, first=again)
        try:
            with self.deadlines.limit(limit_s):
                return await gate.enter(tokens, first=again)
        except TimeoutError:
            self.require_time()
            raise _late(bound, limit_s, None) from None

    def _judged(
        self, bound: BoundModel, request: Request, ticket: Ticket, answers: Sequence[Answer]
    ) -> list[Outcome]:
        """Check and price the figures of each answer, then judge it."""
        local = bound.backend.capabilities.local
        sound = [border.sound(answer) for answer in answers[: request.n]]
        if not local:
            sound, estimated = border.with_estimates(sound, request)
            if estimated and bound.name not in self._estimated:
                self._estimated.add(bound.name)
                _log.warning("`%s` reports no plausible usage: tokens are estimated", bound.name)
        if bound.price is not None:
            sound = [bound.priced(answer) for answer in sound]
        if _log.isEnabledFor(DEBUG):
            for answer in sound:
                _log.debug("`%s` answered: %s", bound.name, _told(answer))
        outcomes = [border.judge(answer, bound.name) for answer in sound]
        if len(outcomes) < request.n:
            text = f"`{bound.name}` gave {len(outcomes)} answers for {request.n} samples"
            lacking: Outcome = ModelFailure("server", text, retryable=True)
            outcomes += [lacking] * (request.n - len(outcomes))
        if any(isinstance(outcome, Answer) for outcome in outcomes):
            tokens = sum(a.prompt_tokens + a.completion_tokens for a in sound)
            bound.gate.took(ticket, tokens, _pause_s(sound))
        return outcomes

    def require_time(self) -> None:
        """Check the time. Raises: BudgetExceeded if the minutes of the budget are over."""
        if self.budget is not None:
            self.budget.require_time()

    def _budget_left_s(self) -> float | None:
        if self.budget is None or self._minutes is None:
            return None
        return (self.budget.remaining().minutes or 0.0) * 60


class _Course:
    """The attempts of one request, until it is complete or has `failed` for good.

    `whole`: it is the whole request of the caller, not one of several samples.
    """

    def __init__(
        self, sender: Sender, sending: Sending, request: Request, *, whole: bool = True
    ) -> None:
        self.sender, self.sending, self.request = sender, sending, request
        self.whole = whole
        self.asked, self.failed = request, False
        self._retries: Retries | None = None
        self._started_s: float | None = None
        self._answered_before = sending.bound.gate.answered

    @property
    def retries(self) -> Retries:
        """The retries so far. Most requests need none."""
        if self._retries is None:
            bound, policy = self.sending.bound, self.sending.policy
            self._retries = Retries(policy, local=bound.backend.capabilities.local)
        return self._retries

    async def run(self, failure: ModelFailure | None = None) -> list[Outcome]:
        """The outcome of each sample. `failure` is that of an earlier attempt."""
        gate, cut = self.sending.bound.gate, None
        while True:
            if failure is not None:
                if cut is not None and failure.kind in ("bad_request", "context_length"):
                    failure = cut  # the server refused the larger limit
                if failure is cut or not await self._again(failure):
                    self.failed = True
                    return [failure] * self.request.n
                cut = failure if failure.kind == "length" else None
            self._answered_before = gate.answered
            again = self._retries is not None
            try:
                outcomes = await self.sender.attempt(
                    self.sending, self.asked, self._left_s(), again=again
                )
            except ModelFailure as failed:
                failure = failed
                continue
            if len(outcomes) > 1 or isinstance(outcomes[0], Answer):
                return outcomes
            failure = outcomes[0]

    async def _again(self, failure: ModelFailure) -> bool:
        """Pay for the failed attempt and prepare the next one. False if a retry cannot help.

        Raises: BudgetExceeded if a budget is spent.
        """
        sending, bound = self.sending, self.sending.bound
        used = _used(bound, self.asked, failure)
        part = bound.worst_case(self.asked)
        wait_s = self._wait_s(failure)
        if wait_s is None:
            sending.lost += used
            sending.held.pay(part, used)
            return False
        following = _following(self.request, self.asked, failure, self.retries.count)
        if failure.kind != "rate_limit":  # after a 429 the reservation stays as it is
            sending.lost += replace(used, calls=0)
            sending.held.pay(part, used)
            if not await self._reserved(bound.worst_case(following), failure):
                return False
        sending.retries += 1
        _log.info("`%s`: %s; again in %.2f s", bound.name, failure.kind, wait_s)
        _log.debug("`%s`: %s", bound.name, failure.message)  # it may quote the prompt
        if self.sender.spans is not None:
            self.sender.spans.retried(failure.kind, wait_s)
        self.asked = following
        await self._rest(wait_s)
        return True

    def _wait_s(self, failure: ModelFailure) -> float | None:
        if self.sending.heard:
            return None
        if failure.kind == _ADAPTED:
            return 0.0
        gate = self.sending.bound.gate
        moved = gate.answered > self._answered_before
        if failure.kind != "rate_limit":
            gate.failed()
        wait_s = self.retries.wait_s(failure, lively=gate.lively, moved=moved)
        left_s = self._left_s()
        if wait_s is not None and left_s is not None and wait_s >= left_s:
            failure.add_note(f"a retry would wait {wait_s:.0f} s, past the deadline")
            return None
        return wait_s

    async def _reserved(self, worst: Usage, failure: ModelFailure) -> bool:
        try:
            await self.sending.held.again(worst, wait=self.whole)
        except BudgetExceeded:
            budgets = (self.sending.bound.budget, self.sender.budget)
            if any(budget is not None and budget.used_up for budget in budgets):
                raise
            failure.add_note("the budget leaves no room for a retry")
            return False
        return True

    async def _rest(self, seconds: float) -> None:
        if seconds <= 0:
            return
        left_s = self.sender._budget_left_s()
        await asyncio.sleep(seconds if left_s is None else min(seconds, left_s + 0.001))
        self.sender.require_time()

    def _left_s(self) -> float | None:
        """Seconds left until the deadline, counted from the first attempt."""
        deadline_s = self.sending.bound.deadline_s
        if deadline_s is None:
            return None
        now_s = asyncio.get_running_loop().time()
        if self._started_s is None:
            self._started_s = now_s
        return max(0.0, self._started_s + deadline_s - now_s)


def _described(request: Request) -> str:
    """A request in a line of the log, with its prompt. Only `debug` tells prompts."""
    samples = f"samples {request.index} to {request.index + request.n - 1}"
    prompt = [(message["role"], message["content"]) for message in request.messages]
    return f"{samples}, {request.sampling}, {prompt!r}"


def _told(answer: Answer) -> str:
    tokens = f"{answer.prompt_tokens} + {answer.completion_tokens} tokens"
    return f"{tokens} in {answer.latency_ms:.0f} ms, {answer.finish_reason}, {answer.text!r}"


def _pause_s(answers: Sequence[Answer]) -> float:
    """Seconds to send nothing, as the server asks.

    A day would end the run without a word. So the next request goes out, and its failure says why.
    """
    asked_s = max(answer.wait_s for answer in answers)
    return asked_s if asked_s <= LONGEST_WAIT_S else 0.0


def _watched(sending: Sending, request: Request) -> Request:
    """Note whether a listener receives text, and charge further requests of the backend."""
    listen, held = request.on_text, sending.held

    async def resend() -> None:
        try:
            held.charge(_ONE)
        except BudgetExceeded:  # waiting here would deadlock: others wait for what this holds
            raise ModelFailure(_ADAPTED, "the request was adapted", retryable=True) from None
        sending.retries += 1

    def hear(piece: str) -> None:
        sending.heard = True
        assert listen is not None
        listen(piece)

    r = request
    return Request(  # `replace` would be slower
        r.model, r.messages, r.sampling, r.schema, r.grammar, r.adapter, r.n, r.index,
        r.logprobs, r.timeout_s, hear if listen is not None else None, resend, r.tools, r.media,
    )  # fmt: skip


def _following(first: Request, asked: Request, failure: ModelFailure, count: int) -> Request:
    """The next request: the same one, or another sample if the model answered.

    After a cut answer, the next one may be longer, unless the answer repeated itself.
    """
    if failure.kind not in SAID or first.n > 1:
        return asked
    following = replace(asked, index=first.index + RESEND_STRIDE * count)
    if failure.kind != "length" or failure.looped:
        return following
    written = max((answer.completion_tokens for answer in failure.paid), default=0)
    most = asked.sampling.max_tokens or written or _CUT_AT
    at_first = first.sampling.max_tokens or most
    longer = max(most, min(most * _LONGER, at_first * _MOST_LONGER, _MOST_TOKENS))
    return replace(following, sampling=replace(asked.sampling, max_tokens=longer))


def _used(bound: BoundModel, request: Request, failure: ModelFailure) -> Usage:
    """The possible cost of a failed attempt; nothing if the server was too busy."""
    if failure.kind == "rate_limit":
        return Usage()
    if failure.kind == _ADAPTED:
        return _ONE
    if failure.paid:
        return Usage.of(failure.paid)
    if failure.kind not in _OPEN or not failure.sent:
        return Usage(calls=request.n)
    prompt = border.prompt_estimate(request)
    return bound.usage(request.n, prompt, max(0, int(bound.gate.mean_tokens) - prompt))


def _late(bound: BoundModel, limit_s: float | None, timeout_s: float | None) -> ModelFailure:
    within = f"{limit_s:g} s" if limit_s is not None else "its time"
    message = f"model `{bound.name}` gave no answer within {within}"
    if limit_s == timeout_s:
        hint = "raise `timeout`, or lower `concurrency`"
        return ModelFailure("timeout", message, retryable=True, hint=hint)
    return ModelFailure("timeout", f"{message} that its `deadline` left", retryable=False)


def _least(*seconds: float | None) -> float | None:
    given = [s for s in seconds if s is not None]
    return min(given) if given else None


async def _all(parts: Iterable[Awaitable[T]]) -> list[T]:
    """The results of all parts. All finish before the first failure is raised."""
    results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]
