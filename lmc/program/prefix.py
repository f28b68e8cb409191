"""The share of each prompt that is equal in every call, so that prefix caches can serve it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from lmc.frozen import frozen
from lmc.program.program import Program
from lmc.program.prompting import Mirror
from lmc.runtime.plan import Plan, PlannedNode
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
    WrittenType,
)

CHARS_A_TOKEN = 4  # about, in English
CHARS_A_TEXT = 200  # assumed length of an input of type `str`


@frozen
class PrefixShare:
    """A module's prompt: its estimated tokens, and the share of them in the common prefix.

    The share is the hit rate of a prefix cache after the first call.
    """

    module: str
    tokens: int
    share: float


def prefix_shares(program: Program) -> Iterator[PrefixShare]:
    """The share for each model call of a program, with texts of a usual length as inputs."""
    mirror: Any = Mirror(program.graph)
    executor = program.open_executor(mirror)
    for name, graph in program.graph.graphs.items():
        for planned in model_nodes(executor.plan(graph)):
            call = executor.module_call(planned)
            texts = [
                "".join(message["content"] for message in call.prompt(_inputs(planned, letter)))
                for letter in "ab"
            ]
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts)))
            role = planned.node.attrs["role"]
            words = name if role in ("generate", "critique") else f"{name}.{role}"
            length = max(1, len(texts[0]))
            yield PrefixShare(words, length // CHARS_A_TOKEN, shared / length)


def model_nodes(plan: Plan) -> Iterator[PlannedNode]:
    """The model calls of a plan and of the bodies inside it."""
    for planned in plan.nodes:
        if planned.node.op == "model":
            yield planned
        for body in planned.bodies.values():
            yield from model_nodes(body)


def _inputs(planned: PlannedNode, letter: str) -> dict[str, Any]:
    return {n: _some(t, letter) for n, t in zip(planned.node.attrs["names"], planned.types)}


_SOME = {
    "date": ("1985-12-24", "2026-01-31"),
    "time": ("01:10:00", "14:30:00"),
    "datetime": ("1985-12-24T01:10:00", "2026-01-31T14:30:00"),
    "decimal": ("9.5", "12.25"),
}


def _some(type: Type, letter: str) -> Any:
    """A sample value of a type. Values of two letters differ from their first character."""
    match type:
        case IntType() | FloatType():
            return ord(letter) - ord("a")
        case BoolType():
            return letter == "a"
        case WrittenType(kind):
            return _SOME[kind][letter == "a"]
        case LiteralType(values=(first, *_)) | EnumType(variants=(first, *_)):
            return first
        case OptionalType(RecordType(family=family)) | ListType(RecordType(family=family)) if (
            family
        ):
            return None if isinstance(type, OptionalType) else []
        case OptionalType(item=item) | UnionType(options=(item, *_)):
            return _some(item, letter)
        case ListType(item=item):
            return [_some(item, letter)] * 3
        case DictType(item=item):
            return {letter: _some(item, letter)}
        case RecordType(fields=fields):
            return {field.name: _some(field.type, letter) for field in fields}
    return letter * CHARS_A_TEXT
