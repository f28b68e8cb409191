"""The type stubs that `lmc stubs` writes for Python callers of a program."""

from __future__ import annotations

from collections.abc import Iterable

from lmc.ir.graph import Graph, Port, ProgramGraph
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    parts,
)

HEAD = '''"""Types of {source}, written by `lmc stubs`; do not edit.

    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from {module} import Program
    program: "Program" = lmc.load("{source}")
"""

from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from typing import Any, Literal

import lmc
from pydantic import BaseModel
'''


def stub_text(program: ProgramGraph, source: str, module: str) -> str:
    """The text of a `.pyi` file: a class for each record, enum and callable, and `Program`."""
    graphs = [program.graphs[name] for name in program.exports]
    parts = [HEAD.format(source=source, module=module)]
    parts += [_class_of(t) for t in _named_types(graphs)]
    parts += [_callable(g) for g in graphs]
    members = "\n".join(f"    {g.name}: _{g.name}" for g in graphs) or "    ..."
    parts.append(f"class Program(lmc.Program):\n{members}\n")
    return "\n".join(parts)


def annotation(type: Type) -> str:
    """A type as a Python annotation, without its refinements."""
    match type:
        case StrType():
            return "str"
        case IntType():
            return "int"
        case FloatType():
            return "float"
        case BoolType():
            return "bool"
        case NoneType():
            return "None"
        case OptionalType(item):
            return f"{annotation(item)} | None"
        case ListType(item):
            return f"list[{annotation(item)}]"
        case DictType(item):
            return f"dict[str, {annotation(item)}]"
        case LiteralType(values):
            return f"Literal[{', '.join(map(repr, values))}]"
        case UnionType(options):
            return " | ".join(map(annotation, options))
        case EnumType() | RecordType():
            return type.name
        case _:
            return "Any"


def _named_types(graphs: Iterable[Graph]) -> list[RecordType | EnumType]:
    found: dict[str, RecordType | EnumType] = {}
    for graph in graphs:
        for type in (*(p.type for p in graph.inputs), graph.result):
            found |= {t.name: t for t in parts(type) if isinstance(t, RecordType | EnumType)}
    return list(found.values())


def _class_of(type: RecordType | EnumType) -> str:
    if isinstance(type, EnumType):
        return f"class {type.name}(StrEnum):\n" + "".join(
            f'    {v} = "{v}"\n' for v in type.variants
        )
    fields = (
        f"    {f.name}: {annotation(f.type)}{' = ...' if f.has_default else ''}\n"
        for f in type.fields
    )
    return f"class {type.name}(BaseModel):\n" + ("".join(fields) or "    ...\n")


def _parameter(port: Port) -> str:
    return f"{port.name}: {annotation(port.type)}{' = ...' if port.has_default else ''}"


def _callable(graph: Graph) -> str:
    result = annotation(graph.result)
    parameters = "".join(f", {_parameter(p)}" for p in graph.inputs if not p.train)
    return (
        f"class _{graph.name}:\n"
        f"    def __call__(self{parameters}) -> {result}: ...\n"
        f"    async def acall(self{parameters}) -> {result}: ...\n"
        f"    def batch(self, rows: Iterable[dict[str, Any]]) -> list[{result}]: ...\n"
        f"    def stream(self{parameters}) -> AsyncIterator[str]: ...\n"
    )
