"""The types of an agent: its next action, and the results of earlier actions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from lmc.ir.graph import Offer, Port, Tool
from lmc.types import (
    JSON,
    STR,
    EnumType,
    Field,
    JsonType,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    Type,
)

FINISH = "finish"
ACTION = "action"  # the parameter of an environment, as an agent uses it
TURN = RecordType("Turn", (Field("tool", STR), Field("arguments", JSON), Field("observation", STR)))
_SHAPE_DEPTH = 3  # of records in one another that a signature writes out


def action_type(result: Type, offers: Sequence[Offer]) -> RecordType:
    """The type of an agent's step: a thought, a tool with its arguments, or the answer.

    The notes contain the tools with their parameters. Every layout shows them. The names of the
    tools of a server are known only when it is reached, so with one any name is allowed. Where no
    answer is one too, the model must say that it finishes.
    """
    told = "; ".join(map(signature_text, offers))
    names: Type = LiteralType((*(offer.name for offer in offers), FINISH))
    if any(offer.server for offer in offers):
        names = STR
    sure = not isinstance(result, OptionalType | JsonType)
    default = FINISH if sure else None
    return RecordType(
        "Action",
        (
            Field("thought", STR, "what to do next, and why", True, ""),
            Field("tool", names, f"{told}; {FINISH}: when you know the answer", sure, default),
            Field("arguments", JSON, "of the tool, as a JSON object", True, {}),
            Field("answer", OptionalType(result), f"the answer, with {FINISH} only", True, None),
        ),
    )


def environment_offer(tool: Tool) -> Offer:
    """An environment as the model of an agent sees it: a tool that takes one action at a time.

    The agent holds the actions so far, and its own inputs go to `reset`.
    """
    *_, last = tool.inputs
    item = last.type.item if isinstance(last.type, ListType) else JSON
    whole = item if isinstance(item, OptionalType | JsonType) else OptionalType(item)
    port = Port(ACTION, whole, has_default=True, note=last.note)
    most = f"{tool.settings['episode']:,}"
    own = f"{' '.join(tool.doc.split()).rstrip('.')}. " if tool.doc else ""
    told = f"One action, and what is observed after it; none: what is observed now. At most {most}"
    return Offer(tool.name, (port,), tool.result, f"{own}{told} actions.")


def is_environment(offer: Offer, tool: Tool | None) -> bool:
    """Whether an agent acts in an environment through this tool, one action at a time."""
    if tool is None or not tool.settings.get("episode"):
        return False
    return [port.name for port in offer.inputs] == [ACTION] and offer.inputs != tool.inputs


def answer_type(action: RecordType) -> Type:
    """The type of the answer in the type of an action."""
    answer = action.get("answer")
    assert answer is not None
    return answer.type.item if isinstance(answer.type, OptionalType) else answer.type


def offered(action: RecordType, offers: Sequence[Offer]) -> RecordType:
    """The type of an action that may use these tools instead of its own ones."""
    own = action.get("answer")
    made = action_type(answer_type(action), offers)
    if own is None:
        return made
    return replace(made, fields=tuple(own if f.name == "answer" else f for f in made.fields))


def signature_text(offer: Offer) -> str:
    """A tool on one line: `search(query: str (what to look for), k: int = 5) -> str: Finds …`."""
    parameters = ", ".join(map(_parameter, offer.inputs))
    doc = f": {' '.join(offer.doc.split()).rstrip('.')}" if offer.doc else ""
    return f"{offer.name}({parameters}) -> {_shape(offer.result)}{doc}"


def _parameter(port: Port) -> str:
    note = f" ({' '.join(port.note.split())})" if port.note else ""
    default = f" = {_default(port)}" if port.has_default else ""
    return f"{port.name}: {_shape(port.type)}{default}{note}"


def _default(port: Port) -> str:
    """A default as a model writes it."""
    type = port.type.item if isinstance(port.type, OptionalType) else port.type
    value = port.default
    if isinstance(type, EnumType) and type.aliases and value in type.variants:
        value = type.aliases[type.variants.index(value)]
    return json.dumps(value, ensure_ascii=False)


def _shape(type: Type, depth: int = _SHAPE_DEPTH) -> str:
    """A type with the fields of its records and the variants of its enums, as a model sees them."""
    match type:
        case RecordType(fields=fields) if depth:
            inner = ", ".join(
                f"{f.alias or f.name}: {_shape(f.type, depth - 1)}{_note(f)}" for f in fields
            )
            return f"{{{inner}}}"
        case EnumType(variants=variants, aliases=aliases):
            labels = aliases or variants
            return " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)
        case OptionalType(item):
            return f"{_shape(item, depth)}?"
        case ListType(item, None, None):
            return f"list[{_shape(item, depth)}]"
        case _:
            return str(type)


def _note(field: Field) -> str:
    return f" ({field.note})" if field.note else ""
