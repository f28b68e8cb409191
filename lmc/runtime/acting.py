"""An agent's model decides what to do next, in the form that it knows.

A model that can call tools in the protocol of its provider is offered them there. Others read about
the tools in the prompt and answer with fields. If a server leaves the tools out silently, it gives
a text and no call: then the model is asked again in the other form, and so are all later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmc.ir.actions import FINISH, answer_type
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.tool_calls import MOST_ARGUMENTS
from lmc.prompts.border import as_text, quoted
from lmc.prompts.object_texts import unfenced
from lmc.prompts.spec import Demo, Message, ParseFailure
from lmc.prompts.tool_turns import ANSWER, CALL, TRANSCRIPT, Called, ToolTurns
from lmc.prompts.wire_calls import wire_call, wire_name
from lmc.redaction import logger
from lmc.requests.bound import BoundModel
from lmc.requests.budget import ModelBudgetExceeded
from lmc.runtime.call import ModuleCall
from lmc.runtime.conversation import AsksOtherwise, Conversation
from lmc.runtime.failures import CallFailure
from lmc.runtime.history import shortened
from lmc.runtime.scope import Scope
from lmc.runtime.toolset import Toolset
from lmc.special_tokens import escaped
from lmc.types import RecordType
from lmc.values import InvalidValue, validate

_log = logger(__name__)


async def act(call: ModuleCall, inputs: Mapping[str, Any], scope: Scope) -> Any:
    """The next step of an agent as a JSON value. Raises: CallFailure, LmcError[budget-exceeded]."""
    if call.awaits_layout:
        await call.fit()
    toolset = scope.toolset
    if toolset is not None and toolset.open_ended:
        call = call.offering(toolset.offers)
    call = call.given(inputs)
    inputs, dropped = await shortened(call, inputs) if call.keep else (inputs, 0)
    before: Answer | None = None
    if call.by_meaning is not None:
        demos, before = await call.demos_by_meaning(call.by_meaning, inputs)
        messages = call.layout.prompt(call.spec_for(inputs), demos)(call.shown(inputs))
    else:
        demos = call.nearest.pick(call.shown(inputs)) if call.nearest else call.demos
        messages = call.prompt(inputs)
    acting = Acting(call, inputs, scope, messages, before, dropped)
    acting.demos, acting.toolset = demos, toolset
    return await acting.result()


class Acting(Conversation):
    """One step of an agent in progress."""

    demos: Sequence[Demo] = ()
    toolset: Toolset | None = None
    _turns: ToolTurns | None = None
    _native = False  # the form of the last request
    _asked: BoundModel  # the model of the last request

    # --- the form ---

    def _opening(self, model: str | None) -> list[Message]:
        self._asked = self.call.machine.pool.bind(model)
        self._native = self.toolset is not None and self._may_call(self._asked)
        if not self._native:
            return self.first
        return self.turns.messages(self.inputs, self.demos)

    def _may_call(self, bound: BoundModel) -> bool:
        """Whether a model is offered tools in the protocol of its provider."""
        can, form = bound.backend.capabilities, self._declared(bound)
        if form == "text" or can.local or self.call.settings.get("template"):
            return False
        if form == "native":
            return self.call.machine.pool.calls_tools.get(bound.name) is not False
        return can.tools and self.call.machine.pool.calls_tools.get(bound.name) is not False

    @property
    def turns(self) -> ToolTurns:
        """The turns with calls of tools."""
        if self._turns is None:
            call, result = self.call, self.call.read_as.result
            assert isinstance(result, RecordType)
            assert self.toolset is not None
            spec, tools = call.spec_for(self.inputs), self.toolset.tools
            self._turns = ToolTurns(call.layout, spec, answer_type(result), tools)
        return self._turns

    # --- asking ---

    def _request(self, model: str | None, index: int, messages: Sequence[Message]) -> Request:
        request = super()._request(model, index, messages)
        if not self._native:
            return request
        return Request(
            request.model, request.messages, request.sampling, None, None, request.adapter,
            request.n, index, request.logprobs, request.timeout_s, tools=self.turns.tools,
            media=request.media,
        )  # fmt: skip

    async def _answer(self, model: str | None, request: Request) -> Answer:
        try:
            return await super()._answer(model, request)
        except ModelFailure as failure:
            if failure.kind != "no_tools" or not self._native:
                raise
            self.attempts.count -= not failure.sent
            self._note_text_only(failure.message)
            raise AsksOtherwise from None
        except ModelBudgetExceeded as spent:
            if self._is_last_model(model):
                raise
            raise ModelFailure("budget", str(spent), retryable=False, sent=False) from None

    def _is_last(self, failure: CallFailure, model: str | None, *, repairing: bool) -> bool:
        more = not self._is_last_model(model) and not failure.heard
        return not more and super()._is_last(failure, model, repairing=repairing)

    def _is_last_model(self, model: str | None) -> bool:
        return not self._native or model == self.call.models[-1]

    def _note_text_only(self, why: str) -> None:
        known = self.call.machine.pool.calls_tools
        if known.get(self._asked.name) is not False:
            _log.warning("%s: the tools of agents are described in the prompt", why)
        known[self._asked.name] = False

    # --- reading ---

    def _outputs(self, answer: Answer) -> dict[str, Any]:
        if not self._native:
            return super()._outputs(answer)
        known, name = self.call.machine.pool.calls_tools, self._asked.name
        if answer.tool_calls:
            known[name] = True
        elif not known.get(name) and self._declared(self._asked) != "native":
            self._note_text_only(f"`{name}` was offered tools and called none")
            raise AsksOtherwise
        return self._read(answer)

    def _read(self, answer: Answer) -> dict[str, Any]:
        """The next step. Raises: ParseFailure."""
        taken = [(step.get(CALL) or {}).get("id", "") for step in self.inputs.get(TRANSCRIPT) or ()]
        step = self.turns.read(as_text(answer.text), _called(answer), filter(None, taken))
        if ANSWER not in step:
            return step
        try:
            value = validate(self.turns.result, step[ANSWER], lenient=True)
        except InvalidValue as problem:
            raise ParseFailure(f"the answer in `{FINISH}`: {problem}") from None
        return self.call.spec.named_outputs({**step, ANSWER: value})

    def _told(self, messages: Sequence[Message], answer: Answer, problem: str) -> list[Message]:
        if not self._native or not answer.tool_calls:
            return super()._told(messages, answer, problem)
        calls = [
            wire_call(call.id or f"call99{place:03d}", wire_name(call.name), {}, call.extra)
            for place, call in enumerate(answer.tool_calls)
        ]
        why = f"error: {escaped(problem)} Nothing was run. You wrote: "
        said = [
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "content": why + escaped(quoted(asked.arguments)),
            }
            for call, asked in zip(calls, answer.tool_calls)
        ]
        text = escaped(quoted(answer.text))
        return [*messages, {"role": "assistant", "content": text, "tool_calls": calls}, *said]


def _called(answer: Answer) -> list[Called]:
    """The calls in an answer. Raises: ParseFailure for arguments that nobody wants to read."""
    for call in answer.tool_calls:
        if len(call.arguments) > MOST_ARGUMENTS:
            raise ParseFailure(f"the arguments of `{call.name}` are too long")
    return [Called(c.id, c.name, as_text(_bare(c.arguments)), c.extra) for c in answer.tool_calls]


def _bare(arguments: str) -> str:
    """Arguments without the fence that some models put around them."""
    return unfenced(arguments) if arguments.lstrip().startswith("```") else arguments
