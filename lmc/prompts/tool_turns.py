"""The turns of an agent whose model calls tools in the protocol of its provider.

    system     <instruction>

               Call the tools for what you need. When you know the answer, call `finish` with it.
    user       [[question]] What do two lamps cost?
    assistant  → price({"thing": "lamp"})
    tool       24.0
    assistant  → finish({"answer": 48.0})

The inputs are laid out as in the text form. The steps so far are true turns, with all calls of one
answer in one turn. An answer without a call may be the result as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lmc.frozen import frozen
from lmc.ir.actions import FINISH
from lmc.prompts.spec import (
    BARE,
    CallSpec,
    Demo,
    FieldSpec,
    Layout,
    Message,
    ParseFailure,
    told_inputs,
    told_requirements,
)
from lmc.prompts.thinking import without_thoughts
from lmc.prompts.tolerant_json import NotJson, find_json, read_json
from lmc.prompts.turns import asked, with_system
from lmc.prompts.values import fit_value
from lmc.prompts.wire_calls import made_id, wire_call, wire_name
from lmc.special_tokens import escaped, unescaped
from lmc.types import DictType, OptionalType, RecordType, StrType, Type, alternatives
from lmc.values.schema import Schema, described, json_schema, object_schema

ANSWER, TRANSCRIPT, CALL, CALLS = "answer", "transcript", "call", "calls"
TOLD = f"Call the tools for what you need. When you know the answer, call `{FINISH}` with it."
LEFT_OUT = "(left out)"  # the result of the last call of a demonstration
MOST_SHOWN = 200  # characters of arguments that cannot be read, in an error
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@frozen
class Called:
    """A call of a tool in a model's answer, as the provider's protocol has it."""

    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any]


@frozen
class OfferedTool:
    """A tool for the protocol: its name there, the name for lmc, its text and its parameters."""

    wire: str
    name: str
    doc: str
    parameters: Schema


class ToolTurns:
    """Lays an agent's steps out as turns with calls of tools, and reads the next step.

    `result` is the type of the agent's answer, with the names that the model writes.
    """

    def __init__(
        self, layout: Layout, spec: CallSpec, result: Type, tools: Sequence[OfferedTool]
    ) -> None:
        self.layout, self.result = layout, result
        self.spec = replace(spec, inputs=tuple(f for f in spec.inputs if f.name != TRANSCRIPT))
        self.names = {tool.name: tool.wire for tool in tools}
        self.own_names = {tool.wire: tool.name for tool in tools}
        shapes = ((tool.name, list(tool.parameters.get("properties", ()))) for tool in tools)
        self.only = {name: names[0] for name, names in shapes if len(names) == 1}
        finish = OfferedTool(FINISH, FINISH, "Give the answer.", answer_schema(result))
        self.tools = tuple(map(_wire, (*tools, finish)))

    # --- writing ---

    def messages(self, inputs: Mapping[str, Any], demos: Iterable[Demo]) -> list[Message]:
        """The instruction, the demonstrations, and the steps so far."""
        system = (self.spec.instruction, told_inputs(self.spec), TOLD, told_requirements(self.spec))
        text = "\n\n".join(part for part in system if part)
        words = with_system(text, self.layout, self.spec, inputs)
        messages: list[Message] = [{"role": "system", "content": words}]
        for demo in _longest(demos):
            messages += self._run(demo.inputs)
            messages += self._last(demo)
        return [*messages, *self._run(inputs)]

    def _run(self, inputs: Mapping[str, Any]) -> list[Message]:
        """The inputs and the steps of a run."""
        messages = asked(self.layout, self.spec, inputs)
        for number, steps in enumerate(_turns(inputs.get(TRANSCRIPT) or ())):
            messages += self._turn(number, steps)
        return messages

    def _turn(self, number: int, steps: Sequence[Mapping[str, Any]]) -> list[Message]:
        known = [step.get(CALL) or {} for step in steps]
        ids = [call.get("id") or made_id(number, place) for place, call in enumerate(known)]
        calls = [
            self._call(id, step["tool"], step.get("arguments"), call.get("extra") or {})
            for id, step, call in zip(ids, steps, known)
        ]
        said = escaped(str(known[0].get("said") or ""))
        results = (escaped(str(step.get("observation", ""))) for step in steps)
        return [
            {"role": "assistant", "content": said, "tool_calls": calls},
            *(
                {"role": "tool", "tool_call_id": id, "content": result}
                for id, result in zip(ids, results)
            ),
        ]

    def _last(self, demo: Demo) -> list[Message]:
        """The step that a demonstration shows."""
        done = self.spec.seen_outputs(demo.outputs)
        calls = list(done.get(CALLS) or ())
        if done.get("tool", FINISH) == FINISH:
            calls.append({"tool": FINISH, "arguments": self._answer(done.get(ANSWER))})
        elif not calls:
            calls = [{"tool": done["tool"], "arguments": done.get("arguments")}]
        said = {CALL: {"said": done.get("thought", "")}}
        plain = [{**call, "observation": LEFT_OUT} for call in calls]
        plain[0] |= said
        number = len(_turns(demo.inputs.get(TRANSCRIPT) or ()))
        return self._turn(number, plain)

    def _answer(self, value: Any) -> Any:
        return value if isinstance(self.result, RecordType) else {ANSWER: value}

    def _call(self, id: str, name: str, arguments: Any, extra: Mapping[str, Any]) -> dict[str, Any]:
        given = arguments if isinstance(arguments, dict) else {}
        if given is not arguments and arguments is not None and name in self.only:
            given = {self.only[name]: arguments}
        wire = self.names.get(name) or wire_name(name)
        return wire_call(id, wire, escaped(given), extra)

    # --- reading ---

    def read(self, text: str, calls: Sequence[Called], taken: Iterable[str]) -> dict[str, Any]:
        """The next step from an answer. `taken` are the ids of earlier calls.

        Raises: ParseFailure for an answer of the agent that cannot be read.
        """
        thought = without_thoughts(self.spec, text).strip() if text else ""
        found: list[dict[str, Any]] = []
        ids = {*taken}
        number = len(ids)
        for place, call in enumerate(calls):
            if call.name == FINISH:
                return _step(thought, found, {ANSWER: self._finished(call.arguments)})
            id = call.id if _ID.fullmatch(call.id) and call.id not in ids else ""
            while not id or id in ids:
                id, number = made_id(number, place), number + 1
            ids.add(id)
            found.append(self._read(id, call))
        if not calls:
            return _step("", (), {ANSWER: self._said(thought)})
        return _step(thought, found, {})

    def _read(self, id: str, call: Called) -> dict[str, Any]:
        name = self.own_names.get(call.name, call.name)
        read: dict[str, Any] = {"id": id, "tool": name, "extra": dict(call.extra)}
        try:
            return {**read, "arguments": unescaped(read_arguments(call.arguments))}
        except NotJson as problem:
            shown = call.arguments[:MOST_SHOWN]
            why = f"the arguments of `{name}` are not a JSON object ({problem}): {shown}"
            return {**read, "arguments": {}, "problem": why}

    def _finished(self, arguments: str) -> Any:
        """The answer in the arguments of `finish`. Raises: ParseFailure."""
        try:
            given = unescaped(read_arguments(arguments))
        except NotJson as problem:
            raise ParseFailure(f"the arguments of `{FINISH}` are not JSON: {problem}") from None
        return fit_value(self.result, self._unwrapped(given))

    def _unwrapped(self, given: Any) -> Any:
        """The answer in an object around it, if there is one."""
        if not isinstance(given, dict):
            return given
        if isinstance(self.result, RecordType):
            wrapped = list(given) == [ANSWER] and self.result.get(ANSWER) is None
            return given[ANSWER] if wrapped else given
        if ANSWER not in given and self._is_object:
            return given
        if ANSWER not in given and len(given) != 1:
            raise ParseFailure(f"`{FINISH}` needs the answer in the field `{ANSWER}`")
        return given[ANSWER] if ANSWER in given else next(iter(given.values()))

    @property
    def _is_object(self) -> bool:
        """Whether an object may be the answer itself, without the field `answer` around it."""
        inner = self.result.item if isinstance(self.result, OptionalType) else self.result
        return any(isinstance(one, RecordType | DictType) for one in alternatives(inner))

    def _said(self, text: str) -> Any:
        """An answer in words, without a call. Raises: ParseFailure."""
        if isinstance(self.result, StrType):
            return unescaped(text)
        output: tuple[FieldSpec, ...] = (FieldSpec(BARE, self.result),)
        if isinstance(self.result, RecordType):
            output = tuple(FieldSpec(f.name, f.type, f.note) for f in self.result.fields)
        spec = CallSpec(self.spec.instruction, (), output, self.result)
        try:
            read = self.layout.parse(spec, text)
        except ParseFailure as problem:
            raise ParseFailure(f"it calls no tool, not even `{FINISH}`: {problem}") from None
        return read if isinstance(self.result, RecordType) else read[BARE]


def _step(
    thought: str, calls: Sequence[dict[str, Any]], answered: Mapping[str, Any]
) -> dict[str, Any]:
    first = calls[0] if calls else {"tool": FINISH, "arguments": {}}
    step = {"thought": thought, "tool": first["tool"], "arguments": first["arguments"]}
    if answered:
        step |= {"tool": FINISH, "arguments": {}, **answered}
    return {**step, CALLS: list(calls)}


def step_message(outputs: Mapping[str, Any]) -> Message:
    """The turn of the model that decided on a step."""
    calls = list(outputs.get(CALLS) or ())
    answer = outputs.get(ANSWER)
    if answer is not None or outputs.get("tool") == FINISH:
        given = answer if isinstance(answer, dict) else {ANSWER: answer}
        calls.append({"tool": FINISH, "arguments": given})
    made = [
        wire_call(call.get("id") or made_id(0, place), wire_name(call["tool"]), call["arguments"])
        for place, call in enumerate(calls)
    ]
    return {"role": "assistant", "content": outputs.get("thought", ""), "tool_calls": made}


def read_arguments(text: str) -> Any:
    """Arguments as JSON. A text within quotes is read once more. Raises: NotJson."""
    value = _json(text) if text.strip() else {}
    if isinstance(value, str):
        inner = value.strip()
        value = read_json(inner) if inner[:1] == "{" else value
    return {} if value is None else value


def _json(text: str) -> Any:
    """JSON, also with small slips such as a comma before the last brace. Raises: NotJson."""
    try:
        return read_json(text)
    except NotJson:
        found = list(find_json(text, "{"))
        if len(found) == 1 and text[: found[0][1]].strip() + text[found[0][2] :].strip() == "":
            return found[0][0]
        raise


def answer_schema(result: Type) -> Schema:
    """The parameters of `finish`: the fields of a record, else the answer alone."""
    if isinstance(result, RecordType) and result.fields:
        return json_schema(result)
    return object_schema({ANSWER: json_schema(result)}, [ANSWER])


def wire_names(names: Iterable[str]) -> dict[str, str]:
    """A name for the protocol for each name, no two the same."""
    found: dict[str, str] = {}
    taken = {FINISH}
    for name in names:
        wire, number = wire_name(name), 2
        while wire in taken:
            wire, number = f"{wire_name(name)[:60]}_{number}", number + 1
        taken.add(wire)
        found[name] = wire
    return found


def _wire(tool: OfferedTool) -> dict[str, Any]:
    doc = {"description": tool.doc} if tool.doc else {}
    function = {"name": tool.wire, **doc, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def parameters_schema(fields: Iterable[tuple[str, Type, str, bool, Any]]) -> Schema:
    """The schema of parameters: name, type, note, whether it has a default, and the default."""
    properties, required = {}, []
    for name, type, note, has_default, default in fields:
        schema = described(json_schema(type), note)
        properties[name] = schema | {"default": default} if has_default else schema
        required += [] if has_default else [name]
    return object_schema(properties, required)


def _turns(transcript: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The steps by the turn of the model that asked for them."""
    turns: list[list[Mapping[str, Any]]] = []
    last: Any = None
    for step in transcript:
        turn = (step.get(CALL) or {}).get("turn")
        if turns and turn is not None and turn == last:
            turns[-1].append(step)
        else:
            turns.append([step])
        last = turn
    return turns


def _longest(demos: Iterable[Demo]) -> list[Demo]:
    """The demonstrations without those that a later step of the same run contains."""
    kept: list[Demo] = []
    for demo in demos:
        kept = [other for other in kept if not _contains(demo, other)]
        if not any(_contains(other, demo) for other in kept):
            kept.append(demo)
    return kept


def _contains(later: Demo, earlier: Demo) -> bool:
    mine, its = ({**d.inputs, TRANSCRIPT: None} for d in (later, earlier))
    before = earlier.inputs.get(TRANSCRIPT) or []
    after = later.inputs.get(TRANSCRIPT) or []
    return mine == its and len(after) > len(before) and after[: len(before)] == before
