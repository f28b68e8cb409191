"""Graphs to JSON and back, with types, spans and choices. Reading JSON never executes anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from lmc import types
from lmc.check.program import Choice
from lmc.diagnostics import LmcError
from lmc.ir.graph import (
    FORMAT_VERSION,
    MOST_NODES,
    DeclaredMetric,
    Graph,
    Node,
    Offer,
    Port,
    ProgramGraph,
    Slots,
    Store,
    Test,
    Tool,
)
from lmc.source import Source, Span
from lmc.types import Field, Type

# The JSON form of these classes is {"$": class name, field: value, …}.
_CLASSES: Mapping[str, type] = {
    cls.__name__: cls
    for cls in (
        types.StrType, types.IntType, types.FloatType, types.BoolType, types.JsonType,
        types.NoneType, types.NeverType, types.ErrorType, types.OptionalType, types.ListType,
        types.DictType, types.MediaType, types.WrittenType, types.OneOfType, types.LiteralType,
        types.UnionType, types.RecordType, types.EnumType,
        Field, Choice, Graph, DeclaredMetric, Node, Offer, Port, Slots, Store, Test, Tool,
    )
}  # fmt: skip
_UNNAMED = frozenset(
    name
    for name, cls in _CLASSES.items()
    if issubclass(cls, Type) and cls not in (types.RecordType, types.EnumType)
)


def graph_to_json(program: ProgramGraph) -> dict[str, Any]:
    """A program as a JSON object. `types` has each record and enum once, `sources` the texts."""
    writer = _Writer()
    body = {
        field.name: writer.write(getattr(program, field.name))
        for field in dataclasses.fields(program)
        if field.name != "version"
    }
    sources = [{"name": PurePath(s.name).name, "text": s.text} for s in writer.sources]
    return {"version": program.version, "types": writer.named, "sources": sources, **body}


def graph_from_json(data: Mapping[str, Any]) -> ProgramGraph:
    """Read what `graph_to_json` wrote, now or in an older format. `verify` checks the graph.

    Raises: LmcError[unreadable-graph].
    """
    version = data.get("version")
    if version.__class__ is not int or not 1 <= version <= FORMAT_VERSION:
        what = f"the graph is of format {version!r}, and this lmc reads 1 to {FORMAT_VERSION}"
        raise LmcError.of("unreadable-graph", what, help="compile the program again")
    try:
        return _Reader(data).program()
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as problem:
        what = f"the graph is damaged: {repr(problem)[:200]}"
        raise LmcError.of("unreadable-graph", what) from None


class _Writer:
    """Writes values, and collects the named types and the sources that they mention."""

    def __init__(self) -> None:
        self.named: list[Any] = []
        self.sources: list[Source] = []
        self._type_index: dict[str, int] = {}

    def write(self, value: Any) -> Any:
        match value:
            case None | str() | bool() | int() | float():
                return value
            case types.RecordType() | types.EnumType():
                return {"$": "type", "index": self._named(value)}
            case types.LiteralType(values) if len(values) > types.FEW_VALUES:
                return {"$": "type", "index": self._named(value)}
            case Span():
                return {"$": "Span", "at": [self._source(value.source), value.start, value.end]}
            case Mapping():
                return {"$": "map", "of": {key: self.write(item) for key, item in value.items()}}
            case tuple():
                return {"$": "tuple", "of": [self.write(item) for item in value]}
            case list():
                return [self.write(item) for item in value]
        return {"$": type(value).__name__, **dict(self._fields(value))}

    def _fields(self, value: Any) -> Iterator[tuple[str, Any]]:
        """The fields that differ from their defaults."""
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if not field.init:
                continue
            if field.default is dataclasses.MISSING or (
                item is not field.default and item != field.default
            ):
                yield field.name, self.write(item)

    def _named(self, type: Type) -> int:
        # Not the type itself: a default may be a list, and comparing types leaves notes out.
        key = repr(type)
        if key not in self._type_index:
            written = {"$": type.__class__.__name__, **dict(self._fields(type))}
            self._type_index[key] = len(self.named)
            self.named.append(written)
        return self._type_index[key]

    def _source(self, source: Source) -> int:
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


class _Reader:
    """Reads what a `_Writer` wrote."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.nodes = 0
        self.sources = [Source(str(s["name"]), str(s["text"])) for s in data["sources"]]
        self.named: list[Type] = []
        self.types: dict[str, Type] = {}  # types without a name, each once, by their text
        for written in data["types"]:  # a type comes after the types that it mentions
            self.named.append(self.read(written))

    def program(self) -> ProgramGraph:
        fields = [f for f in dataclasses.fields(ProgramGraph) if f.name != "version"]
        given = [f.name for f in fields if _is_needed(f) or f.name in self.data]
        parts = {name: self.read(self.data[name]) for name in given}
        return ProgramGraph(**parts, version=self.data["version"])

    def read(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.read(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = value["$"]
        if name in _UNNAMED:
            return self._type(value)
        match name:
            case "map":
                return {str(key): self.read(item) for key, item in value["of"].items()}
            case "tuple":
                return tuple(self.read(item) for item in value["of"])
            case "type":
                return self.named[value["index"]]
            case "Span":
                source, start, end = value["at"]
                return Span(self.sources[source], int(start), int(end))
        return self._object(value)

    def _object(self, value: Mapping[str, Any]) -> Any:
        cls = _CLASSES[value["$"]]
        self.nodes += cls is Node
        if self.nodes > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} nodes")
        return cls(**{k: self.read(v) for k, v in value.items() if k != "$"})

    def _type(self, value: Mapping[str, Any]) -> Type:
        """A type. Types with the same text are one object, so that comparing them is fast."""
        key = str(value)
        if key not in self.types:
            self.types[key] = self._object(value)
        return self.types[key]
