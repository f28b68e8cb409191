"""The parameters of an MCP server's tools: a JSON Schema as ports, and whether ours fit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.ir.graph import Port
from lmc.types import BOOL, FLOAT, INT, JSON, STR, ListType, LiteralType, OptionalType, Type

MOST_DOC = 4000  # characters of the description of a tool or a parameter
_SIMPLE: Mapping[str, Type] = {"string": STR, "integer": INT, "number": FLOAT, "boolean": BOOL}


def ports_of(schema: Mapping[str, Any]) -> tuple[Port, ...]:
    """The parameters in a JSON Schema. What has no simple type is `json`."""
    properties = schema.get("properties")
    required = schema.get("required")
    needed = set(map(str, required)) if isinstance(required, list) else set()
    ports = []
    for name, given in properties.items() if isinstance(properties, dict) else ():
        one = given if isinstance(given, dict) else {}
        type, note = _type(one), one.get("description")
        if name not in needed and type != JSON:
            type = OptionalType(type)
        told = note[:MOST_DOC] if isinstance(note, str) else ""
        ports.append(Port(str(name), type, name not in needed, None, note=told))
    return tuple(ports)


def _type(schema: Mapping[str, Any], depth: int = 4) -> Type:
    options = schema.get("enum")
    if isinstance(options, list) and options and all(isinstance(o, str) for o in options):
        return LiteralType(tuple(dict.fromkeys(options)))
    kind = schema.get("type")
    if kind == "array" and isinstance(schema.get("items"), dict) and depth:
        return ListType(_type(schema["items"], depth - 1))
    return _SIMPLE.get(kind, JSON) if isinstance(kind, str) else JSON


def mismatch(schema: Any, inputs: tuple[Port, ...]) -> str | None:
    """Why a tool with these parameters cannot be called with some inputs; None if it can."""
    if not isinstance(schema, dict):
        return "has no schema"
    theirs = {port.name: port for port in ports_of(schema)}
    ours = {port.name: port for port in inputs}
    if missing := [n for n, p in theirs.items() if not p.has_default and n not in ours]:
        return f"needs `{missing[0]}`, which the program does not declare"
    closed = schema.get("additionalProperties") is False or theirs
    if unknown := [name for name in ours if name not in theirs and closed]:
        return f"has no parameter `{unknown[0]}`; it has {', '.join(theirs) or 'none'}"
    for name, port in theirs.items():
        if name in ours and not _may_fit(ours[name].type, port.type):
            return f"takes `{name}` as `{port.type}`, not as `{ours[name].type}`"
    return None


def _may_fit(ours: Type, theirs: Type) -> bool:
    """Whether some values of our type can have theirs; only clear contradictions count."""
    kinds = _kind(ours), _kind(theirs)
    return None in kinds or kinds[0] == kinds[1] or set(kinds) == {"integer", "number"}


def _kind(type: Type) -> str | None:
    from lmc.values.schema import json_schema

    own = type.item if isinstance(type, OptionalType) else type
    kind = json_schema(own).get("type")
    return kind if isinstance(kind, str) else None
