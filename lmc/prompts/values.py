"""Values as text in a prompt, and text back into values: strict when writing, tolerant when reading."""

from __future__ import annotations

import json
from typing import Any

from lmc.check.types import (
    BoolType, DictType, EnumType, FloatType, IntType, ListType, LiteralType, OptionalType, RecordType, StrType, Type,
)


def render_value(type: Type, value: Any) -> str:
    """A JSON value as prompt text: strings, names and numbers plain, all else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def describe_type(type: Type) -> str:
    """A type in the words a model reads: `integer from 0 to 10`, `one of: yes, no`."""
    match type:
        case StrType(min_len, max_len, pattern):
            words = "text" + _bounds(min_len, max_len, "characters")
            return words + (f" matching {pattern}" if pattern else "")
        case IntType(low, high):
            return "integer" + _bounds(low, high)
        case FloatType(low, high):
            return "number" + _bounds(low, high)
        case BoolType():
            return "true or false"
        case EnumType() | LiteralType():
            return "one of: " + ", ".join(_choices(type))
        case OptionalType(item):
            return describe_type(item) + ", or null"
        case ListType(item, low, high):
            return f"JSON list{_bounds(low, high, 'items')} of {describe_type(item)}"
        case DictType(item):
            return f"JSON object from text to {describe_type(item)}"
        case RecordType():
            inner = ", ".join(f'"{f.name}": {describe_type(f.type)}' for f in type.fields)
            return f"JSON object {{{inner}}}"
        case _:
            return "JSON value"


def _choices(type: EnumType | LiteralType) -> list[str]:
    if isinstance(type, LiteralType):
        return list(type.values)
    notes = type.notes or ("",) * len(type.variants)
    return [f"{v} ({n})" if n else v for v, n in zip(type.variants, notes)]


def _bounds(low: float | None, high: float | None, unit: str = "") -> str:
    if low is None and high is None:
        return ""
    tail = f" {unit}" if unit else ""
    if low is None:
        return f" of at most {high:g}{tail}"
    if high is None:
        return f" of at least {low:g}{tail}"
    return f" of {low:g} to {high:g}{tail}" if unit else f" from {low:g} to {high:g}"


def parse_value(type: Type, text: str) -> Any:
    """Read a value of a type from model text; see the issue for the tolerances. Raises: ParseFailure."""
    raise NotImplementedError
