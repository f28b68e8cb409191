"""Values of tables as JSON, by one set of rules, so that rows are equal wherever they come from.

A table is a frame of pandas or polars, a file of Arrow or Parquet, the result of a query, a dataset
of Hugging Face, or mappings in Python. `docs/reference/data.md` tells the rules.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from lmc.media.content import Media
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    MediaType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.values.border import field_names
from lmc.written import decimal_text, text_of

MOST_DEPTH = 100
_MOST_DIGITS = 4300  # of a whole number, as for numbers in JSON
_NOTHING = ("NAType", "NaTType")  # of pandas: `NA`, and what a missing time is


class Unreadable:
    """In place of a value that Python cannot have, such as a date in the year 50,000."""

    def __init__(self, why: str) -> None:
        self.why = why


class BadValue(ValueError):
    """A value that rows cannot hold. The message says why."""


def fitted(type: Type, value: Any) -> Any:
    """A value of a table as JSON for a field of a type. What does not fit is left to the validator.

    Raises: BadValue.
    """
    if absent(value):
        return None
    match type:
        case OptionalType(item):
            return fitted(item, value)
        case IntType():
            return _whole(plain(value))
        case FloatType():
            return float(value) if isinstance(value, Decimal) else plain(value)
        case BoolType():
            found = plain(value)
            return bool(found) if found in (0, 1) else found
        case WrittenType(kind):
            return _written(kind, value)
        case StrType() | LiteralType() | EnumType():
            return _text(value)
        case MediaType():
            return _media(value)
        case ListType(item):
            found = _opened(_listed(value))
            return [fitted(item, v) for v in found] if isinstance(found, list) else found
        case DictType(item):
            found = _opened(_mapped(value))
            if not isinstance(found, dict):
                return found
            return {str(k): fitted(item, v) for k, v in found.items()}
        case RecordType():
            return _record(type, value)
        case UnionType():
            return _without_absent(plain(value))
    return plain(value)


def absent(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, and pandas' NA and NaT."""
    if value is None or value.__class__.__name__ in _NOTHING:
        return True
    return isinstance(value, float) and value != value


def plain(value: Any, depth: int = 0) -> Any:
    """A value of a table as JSON, without a type. Raises: BadValue."""
    if value.__class__ in (str, int, bool):
        return value
    if absent(value):
        return None
    if depth > MOST_DEPTH:
        raise BadValue("is nested too deeply")
    match value:
        case Enum():
            return value.value if isinstance(value, str) else value.name
        case bool() | int() | str():
            return str(value) if isinstance(value, str) else int(value)
        case float():
            if math.isinf(value):
                raise BadValue("is infinite, which JSON cannot hold")
            return float(value)
        case dt.date() | dt.time() | Decimal():
            return _as_text(value)
        case dt.timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case Media():
            return value.to_json()
        case Mapping():
            return {str(k): plain(v, depth + 1) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(v, depth + 1) for v in value]
    return _other(value, depth)


def _other(value: Any, depth: int) -> Any:
    """Scalars and arrays of numpy and the like, dataclasses, and models of pydantic."""
    if value.__class__.__name__ == "datetime64":  # its nanoseconds would become a number
        return plain(value.astype("datetime64[us]").item(), depth + 1)
    for name in ("tolist", "to_list", "item"):
        if callable(found := getattr(value, name, None)) and hasattr(value, "dtype"):
            return plain(found(), depth + 1)
    if isinstance(value, Unreadable):
        raise BadValue(f"cannot be read: {value.why}")
    names = None if isinstance(value, type) else field_names(value)
    if names is None:
        raise BadValue(f"is a Python {value.__class__.__name__}, which JSON cannot hold")
    return {key: plain(getattr(value, name), depth + 1) for name, key in names.items()}


def _whole(found: Any) -> Any:
    """A whole number that came as a float, as pandas has them, or as a decimal."""
    if isinstance(found, float) and found.is_integer():
        return int(found)
    if isinstance(found, str):
        try:
            number = Decimal(found)
            if number.adjusted() >= _MOST_DIGITS:  # a few characters, and hours to compute
                return found
            return int(number) if number == number.to_integral_value() else found
        except ArithmeticError:
            return found
    return found


def _written(kind: str, value: Any) -> Any:
    """A date, time, datetime or decimal as its text. Midnight is a date, and a date midnight."""
    if value.__class__.__name__ == "datetime64":
        value = value.astype("datetime64[us]").item()
    if kind == "date" and isinstance(value, dt.datetime) and value.time() == dt.time():
        value = value.date()
    elif kind == "datetime" and isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    found = plain(value)
    if kind == "decimal" and isinstance(found, int | float) and not isinstance(found, bool):
        return decimal_text(found)
    return found


def _text(value: Any) -> Any:
    if not isinstance(value, bytes | bytearray | memoryview):
        return plain(value)
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise BadValue(f"is bytes that are not UTF-8 at byte {problem.start}") from None


def _media(value: Any) -> Any:
    """Bytes, a picture, or the form that datasets have: `bytes`, else a `path`."""
    if isinstance(value, Mapping) and value.keys() >= {"bytes", "path"}:
        return value["path"] if value["bytes"] is None else bytes(value["bytes"])
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return value


def _record(type: RecordType, value: Any) -> Any:
    found = _opened(value)
    if not isinstance(found, Mapping):
        found = plain(found)
    if not isinstance(found, Mapping):
        return found
    return {str(key): fitted_field(type, str(key), part) for key, part in found.items()
            if not left_out(type, str(key), part)}  # fmt: skip


def fitted_field(type: RecordType, key: str, value: Any) -> Any:
    """The value of a key of a record, by the type of its field."""
    field = type.get(key) or next((f for f in type.fields if f.alias == key), None)
    return plain(value) if field is None else fitted(field.type, value)


def left_out(type: RecordType, key: str, value: Any) -> bool:
    """Whether a key only says that a field is absent, whose default counts then.

    A table has all columns in each row. Where JSON leaves a key out, it has a null.
    """
    if not absent(value):
        return False
    field = type.get(key) or next((f for f in type.fields if f.alias == key), None)
    return field is None or (field.has_default and not isinstance(field.type, OptionalType))


def _without_absent(found: Any) -> Any:
    """A record of a union without the fields of the other members, which a table has as nulls."""
    if isinstance(found, dict):
        return {key: value for key, value in found.items() if value is not None}
    return found


def _opened(value: Any) -> Any:
    """A list or record that a table holds as a text of JSON."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if hasattr(value, "dtype") and (make := getattr(value, "tolist", None)) is not None:
        return make()
    if hasattr(value, "dtype") and (make := getattr(value, "to_list", None)) is not None:
        return make()
    return value


def _mapped(value: Any) -> Any:
    """A mapping, also as the pairs in which Arrow has one."""
    value = _listed(value)
    pairs = isinstance(value, list) and all(isinstance(p, tuple) and len(p) == 2 for p in value)
    return dict(value) if pairs else value


def _as_text(value: Any) -> str:
    try:
        return text_of(value)
    except ValueError as problem:
        raise BadValue(f"cannot be used: {problem}") from None
