"""Convert between JSON values and typed Python objects. Pydantic is imported at the first use."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

from lmc.media.content import Media
from lmc.media.given import VALUES_ONLY, Access
from lmc.types import MOST_BITS, BoolType, IntType, StrType, Type
from lmc.values.aliases import from_seen
from lmc.values.problems import InvalidValue, Problem
from lmc.values.taking import taken_in
from lmc.values.validation import validate
from lmc.written import Value, text_of

_MAX_DEPTH = 100


def python_type(type: Type) -> Any:
    """The Python type of a type: a class for records and enums, else an annotation."""
    from lmc.values.python_types import python_type

    return python_type(type)


def to_python(type: Type, value: Any) -> Any:
    """Convert a JSON value of a type to the object that Python callers get."""
    if isinstance(type, StrType | IntType | BoolType):
        return value  # the same in Python, so pydantic is not needed
    from lmc.values.python_types import adapter

    return adapter(type).validate_python(value)


def to_json(type: Type, value: Any, access: Access = VALUES_ONLY) -> Any:
    """Convert a Python object to JSON: a model, dataclass, mapping, enum or plain value.

    Keys and variants may be those of the program, or those that its models see. Media are a `Path`,
    bytes, an image of PIL or a `Media`; `access` says what a text may name.
    Raises: InvalidValue if it does not have the type.
    """
    return validate(type, taken_in(type, from_seen(type, _plain(value)), access))


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        raise InvalidValue(Problem("", "is nested too deeply"))
    match value:
        case Enum():
            return value.value if isinstance(value, str) else value.name
        case int() if int.bit_length(value) > MOST_BITS:  # Python itself refuses to print some
            raise InvalidValue(Problem("", f"must be a number of at most {MOST_BITS:,} bits"))
        case None | str() | int() | float():
            return value
        case Media():
            return value.to_json()
        case dt.date() | dt.time() | Decimal():
            return _written(value)
        case Mapping():
            return {k: _plain(v, depth + 1) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(v, depth + 1) for v in value]
        case _ if hasattr(value, "dtype") and hasattr(
            value, "tolist"
        ):  # numpy and similar libraries
            return _plain(value.tolist(), depth + 1)
        case _:
            names = field_names(value)
            return value if names is None else {
                key: _plain(getattr(value, name), depth + 1) for name, key in names.items()
            }  # fmt: skip


def _written(value: Value) -> str:
    try:
        return text_of(value)
    except ValueError as problem:
        raise InvalidValue(Problem("", f"cannot be used: {problem}")) from None


def field_names(value: Any) -> dict[str, str] | None:
    """The attributes of a dataclass or pydantic model with their keys; None for other objects."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {f.name: f.name for f in dataclasses.fields(value)}
    fields = getattr(type(value), "model_fields", None)  # of pydantic's models
    if not isinstance(fields, dict):
        return None
    return {name: field.alias or name for name, field in fields.items()}
