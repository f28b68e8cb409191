"""How much of each prompt is the same in every call: what provider and engine caches can serve."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from lmc.check.types import (
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
)
from lmc.frozen import frozen
from lmc.runtime.plan import Plan, Step
from lmc.runtime.program import Program
from lmc.runtime.prompting import Mirror

CHARS_A_TOKEN = 4  # about, of English
CHARS_A_TEXT = 200  # what an input of type `str` is taken to have


@frozen
class PrefixShare:
    """A module's prompt: about how many tokens, and which share of them comes first in every call.

    The share is the hit rate of a prefix cache once a first call has filled it.
    """

    module: str
    tokens: int
    share: float


def prefix_shares(program: Program) -> Iterator[PrefixShare]:
    """One for each model call of a program, with texts of a usual length as inputs."""
    mirror: Any = Mirror(program)
    executor = program.open_executor(mirror)
    for name, graph in program.graph.graphs.items():
        for step in _model_steps(executor.plan(graph)):
            call = executor.module_call(step)
            texts = [
                "".join(message["content"] for message in call.prompt(_inputs(step, letter)))
                for letter in "ab"
            ]
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts)))
            role = step.node.attrs["role"]
            words = name if role in ("generate", "critique") else f"{name}.{role}"
            length = max(1, len(texts[0]))
            yield PrefixShare(words, length // CHARS_A_TOKEN, shared / length)


def _model_steps(plan: Plan) -> Iterator[Step]:
    for step in plan.steps:
        if step.node.op == "model":
            yield step
        for body in step.bodies.values():
            yield from _model_steps(body)


def _inputs(step: Step, letter: str) -> dict[str, Any]:
    return {n: _some(t, letter) for n, t in zip(step.node.attrs["names"], step.types)}


def _some(type: Type, letter: str) -> Any:
    """A value of a type; values of two letters differ from their start."""
    match type:
        case IntType() | FloatType():
            return ord(letter) - ord("a")
        case BoolType():
            return letter == "a"
        case LiteralType(values=(first, *_)) | EnumType(variants=(first, *_)):
            return first
        case OptionalType(item=item) | UnionType(options=(item, *_)):
            return _some(item, letter)
        case ListType(item=item):
            return [_some(item, letter)] * 3
        case DictType(item=item):
            return {letter: _some(item, letter)}
        case RecordType(fields=fields):
            return {field.name: _some(field.type, letter) for field in fields}
    return letter * CHARS_A_TEXT
