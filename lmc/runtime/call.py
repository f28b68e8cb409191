"""One model call: prompt, answer, value; repaired, retried, handed on, at last a typed failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.check.program import Choice
from lmc.check.types import STR, RecordType, Type
from lmc.diagnostics import LmcError, error
from lmc.ir.graph import Slots
from lmc.models.base import Answer, ModelFailure, Request, Sampling
from lmc.prompts.layouts import layout_for
from lmc.prompts.spec import BARE, REASONING, CallSpec, Demo, FieldSpec, Message, ParseFailure
from lmc.runtime.failures import Attempts, no_answer, unusable_answer
from lmc.runtime.parameters import ModuleParameters
from lmc.runtime.plan import Step
from lmc.runtime.scope import Scope
from lmc.runtime.traces import CallTrace
from lmc.runtime.usage import Usage
from lmc.values import InvalidValue, validate

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

DEFAULT_REPAIR = 1
RETRY_STRIDE = 1 << 20  # retries take sample indices that no vote reaches
_BODIES = ("require", "check")
SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed")


class ModuleCall:
    """A model node made ready: signature, layout, demonstrations, model, sampling are settled."""

    def __init__(self, executor: Executor, step: Step) -> None:
        node = step.node
        slots: Slots = node.attrs["slots"]
        self.executor, self.node, self.bodies, self.slots = executor, node, step.bodies, slots
        parameters = executor.parameters.modules.get(slots.module, ModuleParameters())
        self.settings = {key: executor.resolve(value) for key, value in slots.settings.items()}
        self.own = _own(self.settings, executor.program.default)
        self.model = executor.model or parameters.model or self.settings.get("model")
        self.bound = executor.pool.bind(self.model)
        self.spec = call_spec(
            step,
            parameters.instruction,
            training=executor.training,
            reason=bool(self.settings.get("reason")),
        )
        self.layout = layout_for(self.setting("layout") or "chat", self.settings.get("template"))
        self.demos = self._demos(parameters.demos)
        self.request = self._request(parameters.adapter)
        self.repair = _count(self.settings.get("repair"), DEFAULT_REPAIR)
        self.policy: dict[str, Any] = {
            "retry": self.own.get("retry"),
            "fallback": self.own.get("fallback"),
            "cache": _cache(self.setting("cache")),
        }
        self.retry = _answer_retries(self.own.get("retry", self.bound.settings.get("retry")))

    def setting(self, name: str) -> Any:
        """A setting of the module, else of its model, else of the program."""
        return self.own.get(name, self.bound.settings.get(name))

    async def __call__(self, inputs: Mapping[str, Any], scope: Scope) -> Any:
        """The JSON value of the answer. Raises: CallFailure, LmcError[budget-exceeded]."""
        if self.slots.module in scope.run.stubs and self.node.attrs["role"] == "generate":
            return scope.run.stubs[self.slots.module]
        asked = _Conversation(self, inputs, scope)
        try:
            return await asked.result()
        except LmcError as failure:
            asked.fail(failure)
            raise
        finally:
            asked.record()

    async def ask(self, model: str | None, request: Request, *, batched: bool) -> Answer:
        """One sample, alone or together with others of the same prompt. Raises: ModelFailure."""

        async def send(request: Request) -> list[Answer]:
            return await self.executor.pool.ask(model, request, **self.policy)

        if batched and self.bound.backend.capabilities.multiple_samples and model == self.model:
            return await self.executor.batcher.ask(self, request, send)
        (answer,) = await send(request)
        return answer

    def prompt(self, inputs: Mapping[str, Any]) -> list[Message]:
        """The messages for some inputs; nothing is sent."""
        return self.layout.render(self.spec, self.demos, self.shown(inputs))

    def shown(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that the model sees."""
        return {f.name: inputs[f.name] for f in self.spec.inputs}

    def read(self, text: str) -> dict[str, Any]:
        """Validated output values by field. Raises: ParseFailure."""
        outputs = self.layout.parse(self.spec, text)
        try:
            value = validate(self.spec.result, self.value(outputs), lenient=True)
        except InvalidValue as problem:
            raise ParseFailure(str(problem)) from None
        typed = value if isinstance(self.spec.result, RecordType) else {BARE: value}
        reasoning = {REASONING: outputs[REASONING]} if self._reasons(outputs) else {}
        return reasoning | typed

    def value(self, outputs: Mapping[str, Any]) -> Any:
        """The result that some output fields stand for."""
        if not isinstance(self.spec.result, RecordType):
            return outputs[BARE]
        return {
            k: v for k, v in outputs.items() if k != REASONING or not self.settings.get("reason")
        }

    def models(self) -> list[str | None]:
        """The model, then those to hand the call on to when its answers cannot be used."""
        fallback = self.setting("fallback") or ()
        names = (fallback,) if isinstance(fallback, str) else fallback
        return [self.model, *names]

    def _reasons(self, outputs: Mapping[str, Any]) -> bool:
        return bool(self.settings.get("reason")) and REASONING in outputs

    def _demos(self, given: tuple[Demo, ...] | None) -> tuple[Demo, ...]:
        """Demonstrations of the optimizer, else the examples of the source; `demos:` says how many.

        A `demos: tune[…]` that nothing has chosen does not cut what an optimizer set.
        """
        limit = self.slots.settings.get("demos")
        if isinstance(limit, Choice) and given is not None:
            limit = self.executor.parameters.choices.get(limit.id)
        count = self.executor.resolve(limit)
        demos = given if given is not None else tuple(map(self._example, self.slots.demos))
        return demos if count is None else demos[:count]

    def _example(self, example: tuple[Mapping[str, Any], Any]) -> Demo:
        inputs, result = example
        outputs = result if isinstance(self.spec.result, RecordType) else {BARE: result}
        return Demo(self.shown(inputs), outputs)

    def _request(self, adapter: str | None) -> Request:
        can = self.bound.backend.capabilities
        stop = self.own.get("stop") or ()
        return Request(
            model=self.bound.model,
            messages=(),
            sampling=Sampling(
                **{k: self.own[k] for k in SAMPLING if k in self.own and k != "stop"},
                stop=(stop,) if isinstance(stop, str) else tuple(stop),
            ),
            schema=self.layout.response_schema(self.spec) if can.json_schema else None,
            adapter=adapter or self.settings.get("adapter"),
            timeout_s=self.own.get("timeout"),
        )


class _Conversation:
    """One call under way: what was sent, what came back, what it cost."""

    def __init__(self, call: ModuleCall, inputs: Mapping[str, Any], scope: Scope) -> None:
        self.call, self.inputs, self.scope = call, inputs, scope
        self.attempts = Attempts(call.prompt(inputs))
        self.answers: list[Answer] = []
        self.outputs: dict[str, Any] | None = None
        self.check: Any = None
        self.error: LmcError | None = None
        self.model = call.bound.name

    async def result(self) -> Any:
        """The first usable answer: repair, then retry, then the next model."""
        problem: ParseFailure | None = None
        first = self.attempts.messages
        for model, index in self._tries():
            self.attempts.messages = first
            for _ in range(self.call.repair + 1):
                answer = await self._ask(model, index)
                try:
                    return await self._take(answer)
                except ParseFailure as unusable:
                    problem = unusable
                    self.attempts.messages = _with_problem(
                        self.attempts.messages, answer.text, unusable
                    )
        raise unusable_answer(
            self.call.slots.module, self.model, self.call.node.span, str(problem), self.attempts
        )

    def fail(self, failure: LmcError) -> None:
        """Remember what went wrong, for the trace."""
        self.error = failure

    def record(self) -> None:
        """Put the call into the trace, and show it to whoever watches."""
        run = self.scope.run
        if run.trace is None and run.observer is None:
            return
        trace = self._trace()
        if run.trace is not None:
            run.trace.calls.append(trace)
        if run.observer is not None:
            run.observer(trace)

    def _tries(self) -> Iterator[tuple[str | None, int]]:
        """Models with sample indices: a retry is another sample."""
        for turn, model in enumerate(self.call.models()):
            for retry in range(self.call.retry + 1 if turn == 0 else 1):
                yield model, self.scope.sample + RETRY_STRIDE * retry

    async def _ask(self, model: str | None, index: int) -> Answer:
        call, scope = self.call, self.scope
        self.attempts.count += 1
        request = replace(
            call.request,
            messages=tuple(self.attempts.messages),
            index=index,
            logprobs=scope.tokens is not None,
        )
        try:
            answer = await call.ask(model, request, batched=scope.batched)
        except ModelFailure as failure:
            name = model or call.bound.name
            raise no_answer(
                call.slots.module, name, call.node.span, failure, self.attempts
            ) from failure
        self.model = model or call.bound.name
        self.answers.append(answer)
        self.attempts.raw.append(answer.text)
        return answer

    async def _take(self, answer: Answer) -> Any:
        """The value of an answer, if it satisfies the type and the requirements."""
        outputs = self.call.read(answer.text)
        value = self.call.value(outputs)
        await self._require(value)
        self.outputs = outputs
        if self.scope.tokens is not None:
            self._collect_logprobs(answer)
        if "check" in self.call.bodies and self.scope.run.trace is not None:
            self.check = await self._body("check", value)
        return value

    async def _require(self, value: Any) -> None:
        if "require" in self.call.bodies and not await self._body("require", value):
            wanted = "; ".join(self.call.slots.requirements)
            raise ParseFailure(f"the answer must satisfy: {wanted}")

    async def _body(self, name: str, value: Any) -> Any:
        env = {**self.inputs, "out": value}
        place = self.scope.at(self.attempts.count, _BODIES.index(name))
        return await self.call.executor.run_plan(self.call.bodies[name], env, place)

    def _collect_logprobs(self, answer: Answer) -> None:
        if answer.logprobs is None:
            message = f"`{self.model}` gives no log-probabilities, which `by: certainty` needs"
            raise LmcError(error("no-logprobs", message, self.call.node.span))
        if self.scope.tokens is not None:
            self.scope.tokens.extend(answer.logprobs)

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
            usage=Usage.of(self.answers),
            latency_ms=sum(answer.latency_ms for answer in self.answers),
            error=str(failed) if failed else None if self.outputs else "stopped",
            infrastructure=bool(getattr(failed, "infrastructure", False)),
            check=self.check,
        )


def call_spec(step: Step, instruction: str | None, *, training: bool, reason: bool) -> CallSpec:
    """The signature of a model node; `instruction` replaces one that is not frozen."""
    node = step.node
    slots: Slots = node.attrs["slots"]
    hidden = () if training else slots.train_only
    return CallSpec(
        instruction=slots.instruction if instruction is None or slots.frozen else instruction,
        inputs=tuple(
            FieldSpec(name, type)
            for name, type in zip(node.attrs["names"], step.types)
            if name not in hidden
        ),
        outputs=_output_fields(node.type, reason=reason),
        result=node.type,
        requirements=slots.requirements,
    )


def _output_fields(result: Type, *, reason: bool) -> tuple[FieldSpec, ...]:
    if isinstance(result, RecordType):
        fields = tuple(FieldSpec(f.name, f.type, f.note) for f in result.fields)
    else:
        fields = (FieldSpec(BARE, result),)
    return (FieldSpec(REASONING, STR, "think step by step"), *fields) if reason else fields


def _with_problem(messages: Sequence[Message], text: str, problem: ParseFailure) -> list[Message]:
    """The conversation so far, the answer that cannot be used, and why."""
    words = f"That reply cannot be used: {problem}\nReply again in full, in the format asked for."
    return [
        *messages,
        {"role": "assistant", "content": text},
        {"role": "user", "content": words},
    ]


def _own(settings: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """A module's own settings, without the program's, which come after those of its model."""
    missing = object()
    return {k: v for k, v in settings.items() if default.get(k, missing) != v}


def _count(value: Any, default: int) -> int:
    return default if value is None else int(value)


def _answer_retries(retry: Any) -> int:
    """How often an answer that cannot be used is asked for again, as another sample."""
    if isinstance(retry, Mapping):
        kinds = retry.get("on")
        return int(retry.get("max", 0)) if kinds is None or "invalid" in kinds else 0
    return _count(retry, 0)


def _cache(value: Any) -> bool | None:
    return None if value is None else value not in (False, "off", "none")
