"""One model call in progress: ask, read, repair, retry, fall back, else fail with a typed error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.ops import body_numbers
from lmc.models.base import SAID, Answer, ModelFailure, Request
from lmc.models.tool_calls import calls_text, has_tool_turns, without_tool_turns
from lmc.prompts.border import quoted
from lmc.prompts.spec import Message, ParseFailure
from lmc.requests.usage import Usage
from lmc.runtime.failures import (
    Attempts,
    CallFailure,
    is_infrastructure,
    no_answer,
    unusable_answer,
)
from lmc.runtime.history import shortened
from lmc.runtime.scope import Scope
from lmc.runtime.traces import CallTrace, place_id
from lmc.special_tokens import escaped

if TYPE_CHECKING:
    from lmc.requests.bound import BoundModel
    from lmc.runtime.call import ModuleCall

RETRY_STRIDE = 1 << 20  # retries use sample indices beyond those of any vote
_NUMBERS = body_numbers("model")
KEEP = "write `keep: 4000 tokens` to leave out the oldest turns of `{history}`"


async def converse(call: ModuleCall, inputs: Mapping[str, Any], scope: Scope) -> Any:
    """The JSON value of a call's answer. Raises: CallFailure, LmcError[budget-exceeded]."""
    if call.slots.module in scope.run.stubs and call.node.attrs["role"] == "generate":
        return scope.run.stubbed(call.slots.module)
    if call.awaits_layout:
        await call.fit()
    inputs, dropped = await shortened(call, inputs) if call.keep else (inputs, 0)
    call = call.given(inputs)
    answer = None
    if call.by_meaning is not None:
        messages, answer = await call.prompt_by_meaning(call.by_meaning, inputs)
    else:
        messages = call.prompt(inputs)
    return await Conversation(call, inputs, scope, messages, answer, dropped).result()


class AsksOtherwise(Exception):
    """The same model is to be asked once more in another form, since it does not know this one."""


class Conversation:
    """One call in progress: what was sent, what came back, what it cost.

    `before` is an answer that was paid for while the prompt was made. `dropped` is how many turns
    of a conversation were left out of the inputs.
    """

    def __init__(
        self,
        call: ModuleCall,
        inputs: Mapping[str, Any],
        scope: Scope,
        messages: list[Message],
        before: Answer | None = None,
        dropped: int = 0,
    ) -> None:
        self.dropped, self.media = dropped, call.media(messages, inputs)
        self.call, self.inputs, self.scope, self.before = call, inputs, scope, before
        self.attempts = Attempts(messages)
        self.first = messages
        self.answers: list[Answer] = []
        self.unusable: list[Answer] = []  # paid for, but not complete
        self.latest: Answer | None = None  # of both
        self.retries = 0
        self.outputs: dict[str, Any] | None = None
        self.check: Any = None
        self.error: LmcError | None = None
        self.model = call.bound.name

    async def result(self) -> Any:
        """The JSON value of the first usable answer. Raises: CallFailure."""
        try:
            return await self._first_usable()
        except LmcError as failure:
            self.error = failure
            raise
        finally:
            self._record()

    async def _first_usable(self) -> Any:
        """Ask, then repair, then retry, then ask the next model."""
        problem: ParseFailure | CallFailure | None = None
        for model, index in self._tries():
            messages = first = self._opening(model)
            left = self.call.repair + 1
            while left:
                left -= 1
                try:
                    answer = await self._ask(model, index, messages)
                    return await self._take(answer)
                except AsksOtherwise:
                    messages = first = self._opening(model)
                    left += 1
                except ParseFailure as unusable:
                    problem = unusable
                    if self.scope.run.spans is not None:
                        self.scope.run.spans.repaired(self.attempts.count, str(unusable))
                    messages = self._told(messages, answer, str(problem))
                except CallFailure as failure:
                    if self._is_last(failure, model, repairing=messages is not first):
                        raise
                    problem = failure  # the next try starts afresh
                    break
        if isinstance(problem, CallFailure):
            raise problem
        module, span = self.call.slots.module, self.call.node.span
        shown = self.call.machine.pool.bind(self.model).shown
        raise unusable_answer(module, shown, span, str(problem or ""), self.attempts)

    def _opening(self, model: str | None) -> list[Message]:
        """The prompt for a model."""
        return self.first

    def _told(self, messages: Sequence[Message], answer: Answer, problem: str) -> list[Message]:
        """The conversation so far, then an unusable answer and the reason."""
        return _with_problem(messages, answer.text, problem)

    def _is_last(self, failure: CallFailure, model: str | None, *, repairing: bool) -> bool:
        """Whether a failure ends the call. A first request was retried already."""
        return not repairing or failure.kind not in SAID or failure.heard

    def _is_last_model(self, model: str | None) -> bool:
        """Whether no other model is asked here; the pool has asked the fallbacks already."""
        return True

    def _record(self) -> None:
        """Add the call to the trace, and pass it to the observer."""
        run = self.scope.run
        if run.trace is None and run.observer is None:
            return
        trace = self._trace()
        if run.trace is not None:
            run.trace.calls.append(trace)
        if run.observer is not None:
            run.observer(trace)

    def _tries(self) -> Iterator[tuple[str | None, int]]:
        """The models to try, each with a sample index. A retry is another sample."""
        own = self.scope.run.sample_of(self.call.slots.module, self.scope.sample, self.scope.place)
        sample = 0 if self.call.steady else own
        for turn, model in enumerate(self.call.models):
            for retry in range(self.call.retry + 1 if turn == 0 else 1):
                yield model, sample + RETRY_STRIDE * retry

    async def _ask(self, model: str | None, index: int, messages: list[Message]) -> Answer:
        call = self.call
        self.attempts.count += 1
        self.attempts.messages = messages
        request = self._request(model, index, messages)
        try:
            answer = await self._asked_for(model, request)
        except ModelFailure as failure:
            shown = call.machine.pool.bind(model or call.bound.name).shown
            self.unusable += failure.paid
            self.retries += failure.retries
            self.attempts.raw += map(_raw, failure.paid)
            self.latest = failure.paid[-1] if failure.paid else self.latest
            if failure.kind == "media" and self._is_last_model(model):
                code, message = "media-not-supported", f"`{call.slots.module}`: {failure.message}"
                raise LmcError.of(code, message, call.node.span, help=failure.hint) from failure
            if failure.kind == "context_length" and call.spec.history and not call.keep:
                failure.hint = KEEP.format(history=call.spec.history)
            raise no_answer(
                call.slots.module, shown, call.node.span, failure, self.attempts
            ) from failure
        self.model = model or call.bound.name
        answer = replace(answer, text=call.begin + answer.text) if call.begin else answer
        self.answers.append(answer)
        self.latest = answer
        self.attempts.raw.append(_raw(answer))
        return answer

    async def _asked_for(self, model: str | None, request: Request) -> Answer:
        """The answer, with a word for tracing tools about what the request is for."""
        spans = self.scope.run.spans
        if spans is None:
            return await self._answer(model, request)
        facts = {
            "module": self.call.slots.module,
            "role": self.call.node.attrs["role"],
            "place": place_id(self.scope.place),
            "sample": self.scope.sample,
            "attempt": self.attempts.count,
        }
        with spans.asking(facts):
            return await self._answer(model, request)

    def _request(self, model: str | None, index: int, messages: Sequence[Message]) -> Request:
        call, listener = self.call, self.scope.run.listener
        messages = self._as_known(model, messages)
        known, logprobs, begin = call.request, self._is_weighed() or self._studied(), call.begin
        ear = listener.ear(call) if listener is not None else None
        if begin and ear is not None:
            ear(begin)
        sent = (*messages, {"role": "assistant", "content": begin}) if begin else tuple(messages)
        return Request(  # `replace` would be far slower
            known.model, sent, known.sampling, known.schema, known.grammar,
            known.adapter, known.n, index, logprobs, known.timeout_s, ear,
            media=self.media,
        )  # fmt: skip

    def _as_known(self, model: str | None, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages, with earlier calls of tools as text if that is the model's form."""
        call = self.call
        if not call.spec.history or not has_tool_turns(messages):
            return messages
        bound = call.machine.pool.bind(model)
        unknown = call.machine.pool.calls_tools.get(bound.name) is False
        if unknown or self._declared(bound) == "text":
            return without_tool_turns(messages)
        return messages

    def _declared(self, bound: BoundModel) -> Any:
        """The form of calls of tools that the program declares."""
        own = self.call.own.get("tool_calls")
        return bound.settings.get("tool_calls", "auto") if own is None else own

    async def _answer(self, model: str | None, request: Request) -> Answer:
        call, scope = self.call, self.scope
        if not call.steady:
            return await call.ask(model, request, batched=scope.batched)
        return await scope.run.memory.ask(call, model, request, lambda: call.ask(model, request))

    def _is_weighed(self) -> bool:
        """Whether its certainty is asked for. A model that has none is asked where it is needed."""
        certainty = self.scope.certainty
        can = self.call.bound.backend.capabilities.logprobs
        return certainty is not None and (can or certainty.wanted)

    def _studied(self) -> bool:
        """Whether this is a training run on an engine whose log-probabilities are free."""
        can = self.call.bound.backend.capabilities
        return self.call.machine.training and can.local and can.logprobs

    async def _take(self, answer: Answer) -> Any:
        """The value of an answer. Raises: ParseFailure if type or requirements do not hold."""
        outputs = self._outputs(answer)
        value = self.call.value(outputs)
        await self._require(value)
        self.outputs = outputs
        if self.scope.certainty is not None:
            self._count_certainty(answer)
        if "check" in self.call.bodies and self.scope.run.trace is not None:
            self.check = await self._body("check", value)
        return value

    def _outputs(self, answer: Answer) -> dict[str, Any]:
        """The fields of an answer. Raises: ParseFailure, AsksOtherwise."""
        return self.call.read(answer.text)

    async def _require(self, value: Any) -> None:
        if "require" in self.call.bodies and not await self._body("require", value):
            wanted = "; ".join(self.call.slots.requirements)
            raise ParseFailure(f"the answer must satisfy: {wanted}")

    async def _body(self, name: str, value: Any) -> Any:
        env = {**self.inputs, "out": value}
        place = self.scope.at(self.attempts.count, _NUMBERS[name])
        return await self.call.machine.run_plan(self.call.bodies[name], env, place)

    def _count_certainty(self, answer: Answer) -> None:
        if self.scope.certainty is not None and not self.scope.certainty.add(answer):
            message = f"`{self.model}` gives no log-probabilities, which `by: certainty` needs"
            raise LmcError.of("no-logprobs", message, self.call.node.span)

    def _trace(self) -> CallTrace:
        last = self.answers[-1] if self.answers else None
        failed = self.error
        return CallTrace(
            place=self.scope.place,
            parent=self.scope.parent,
            module=self.call.slots.module,
            role=self.call.node.attrs["role"],
            inputs=dict(self.inputs),
            sample=self.scope.sample,
            outputs=None if failed else self.outputs,
            result=None if failed or self.outputs is None else self.call.value(self.outputs),
            model=self.model,
            messages=self.attempts.messages,
            raw=self.attempts.raw,
            logprobs=last.logprobs if last else None,
            attempts=self.attempts.count,
            usage=Usage.of([*([self.before] if self.before else ()), *self.answers, *self.unusable])
            + Usage(retries=self.retries),
            latency_ms=sum(answer.latency_ms for answer in self.answers),
            error=str(failed) if failed else None if self.outputs else "stopped",
            infrastructure=failed is not None and is_infrastructure(failed),
            check=self.check,
            adapter=self.call.request.adapter,
            dropped=self.dropped,
            finish_reason=self._finish_reason(),
            thoughts=last.reasoning if last else "",
            sampled=self.latest.sampled if self.latest else None,
        )

    def _finish_reason(self) -> str:
        ended = self.answers or self.unusable
        return ended[-1].finish_reason if ended else ""


def _raw(answer: Answer) -> str:
    """What an answer says, with its calls of tools."""
    if not answer.tool_calls:
        return answer.text
    return "\n".join(filter(None, (answer.text, calls_text(answer.tool_calls))))


def _with_problem(messages: Sequence[Message], text: str, problem: str) -> list[Message]:
    """The conversation so far, then the unusable answer and the reason.

    The answer may quote text of another source, so its special tokens are disarmed.
    """
    why = escaped(problem)
    words = f"That reply cannot be used: {why}\nReply again in full, in the format asked for."
    return [
        *messages,
        {"role": "assistant", "content": escaped(quoted(text))},
        {"role": "user", "content": words},
    ]
