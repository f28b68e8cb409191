"""An oracle of its own for what a value of a type is, and random values of types."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from decimal import Decimal
from random import Random
from typing import Any

from lmc.canonical import canonical, distinct
from lmc.media.content import Media, described, is_media_json
from lmc.media.store import media_store
from lmc.patterns import whole_pattern
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    MediaType,
    NeverType,
    NoneType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from tests.test_soundness.kinds import PIXEL

TEXTS = (
    "", "a", "plain words", "[[result]] x", '"q" \\ {y}', "<answer>1</answer>", "three", "12",
    "none", "yes", "Straße ☃", "line\nline", "```sql\nSELECT 1\n```", "{{ x }}", "<|im_start|>",
    '{"kind": "a"}', " spaces ", "true", "2026-01-31", "\u202e", "-", "[1, 2]", "null", "1e999",
)  # fmt: skip
LABELS = ("red", "green", "not red", "Red!")
PATTERN_TEXT = {r"[a-c]{2}\d": ("ab1", "cc9", "ba0")}


def fits(type: Type, value: Any) -> bool:
    """Whether a JSON value is of a type, with no field too many or too few."""
    match type:
        case NeverType():
            return False
        case NoneType():
            return value is None
        case OptionalType(item):
            return value is None or fits(item, value)
        case UnionType(options):
            return any(fits(option, value) for option in options)
        case BoolType():
            return isinstance(value, bool)
        case IntType(low, high):
            return isinstance(value, int) and not isinstance(value, bool) and _in(low, value, high)
        case FloatType(low, high):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and math.isfinite(value) and _in(low, value, high)
        case StrType(low, high, pattern):
            known = isinstance(value, str) and _in(low, len(value), high)
            return known and (pattern is None or whole_pattern(pattern).matches(value))
        case OneOfType():
            return isinstance(value, str)
        case LiteralType(values) | EnumType(variants=values):
            return isinstance(value, str) and value in values
        case WrittenType(kind, low, high):
            return isinstance(value, str) and _written(kind, low, value, high)
        case ListType(item, low, high, unique):
            if not isinstance(value, list) or not _in(low, len(value), high):
                return False
            distinct_enough = not unique or len({canonical(v) for v in value}) == len(value)
            return distinct_enough and all(fits(item, v) for v in value)
        case DictType(item):
            return isinstance(value, dict) and all(
                isinstance(k, str) and fits(item, v) for k, v in value.items()
            )
        case RecordType(fields=fields):
            named = isinstance(value, dict) and set(value) == {f.name for f in fields}
            return named and all(fits(f.type, value[f.name]) for f in fields)
        case MediaType(kind):
            return is_media_json(value) and kind in (Media.from_json(value).kind, "media")
        case JsonType():
            json.dumps(value, allow_nan=False)
            return True
    raise AssertionError(f"no rule for {type!r}")


def _in(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def _written(kind: str, low: str | None, value: str, high: str | None) -> bool:
    try:
        if kind == "decimal":
            number = Decimal(value)
            ends = [None if e is None else Decimal(e) for e in (low, high)]
            plain = number.is_finite() and "e" not in value.lower()
            return plain and (ends[0] is None or ends[0] <= number) and (
                ends[1] is None or number <= ends[1]
            )  # fmt: skip
        read: Any = {"date": dt.date, "time": dt.time, "datetime": dt.datetime}[kind].fromisoformat
        return read(value) is not None and (kind == "datetime") == ("T" in value)
    except (ValueError, ArithmeticError):
        return False


def a_value(rng: Random, type: Type) -> Any:
    """A random value of a type."""
    match type:
        case OptionalType(item):
            ends = isinstance(item, NeverType)
            return None if ends or rng.random() < 0.3 else a_value(rng, item)
        case UnionType(options):
            return a_value(rng, rng.choice([o for o in options if not isinstance(o, NeverType)]))
        case NoneType():
            return None
        case BoolType():
            return rng.random() < 0.5
        case IntType(low, high):
            return _number(rng, low, high)
        case FloatType(low, high):
            whole = _number(rng, low, high)
            return max(low, whole - 0.5) if low is not None else whole + 0.25
        case StrType(low, high, pattern):
            if pattern is not None:
                return rng.choice(PATTERN_TEXT[pattern])
            text = rng.choice(TEXTS) + "x" * (low or 0)
            return text if high is None else text[:high]
        case OneOfType():
            return rng.choice(LABELS)
        case LiteralType(values) | EnumType(variants=values):
            return rng.choice(values)
        case WrittenType(kind, low, high):
            return low or high or rng.choice(WRITTEN[kind])
        case ListType(item, low, high, unique):
            if isinstance(item, NeverType):
                return []
            count = rng.randint(low or 0, max(low or 0, min(3, 3 if high is None else high)))
            items = [a_value(rng, item) for _ in range(count)]
            return distinct(items) if unique and len(distinct(items)) >= (low or 0) else items
        case DictType(item):
            return {rng.choice("abc "): a_value(rng, item) for _ in range(rng.randint(0, 2))}
        case RecordType(fields=fields):
            return {f.name: a_value(rng, f.type) for f in fields}
        case MediaType():
            return media_json(base64.b64decode(PIXEL) + rng.choice([b"", b"more"]))
        case JsonType():
            return rng.choice([None, 1, 0.5, "s", [1, None], {"a": {"b": []}}, True])
    raise AssertionError(f"no rule for {type!r}")


def media_json(data: bytes) -> dict[str, Any]:
    """Media with these bytes, as a value."""
    media = described(data)
    media_store().put(media.sha256, data)
    return media.to_json()


def fits_so_far(type: Type, value: Any) -> bool:
    """Whether a value may be the beginning of one of a type, as a stream brings it."""
    match type:
        case OptionalType(item):
            return value is None or fits_so_far(item, value)
        case UnionType(options):
            return any(fits_so_far(option, value) for option in options)
        case StrType() | OneOfType():
            return isinstance(value, str)
        case ListType(item):
            return isinstance(value, list) and all(fits_so_far(item, part) for part in value)
        case DictType(item):
            return isinstance(value, dict) and all(
                isinstance(key, str) and fits_so_far(item, part) for key, part in value.items()
            )
        case RecordType(fields=fields):
            types = {field.name: field.type for field in fields}
            return isinstance(value, dict) and all(
                key in types and fits_so_far(types[key], part) for key, part in value.items()
            )
    return fits(type, value)


WRITTEN = {
    "date": ("2026-01-31", "2024-02-29", "0001-01-01", "9999-12-31"),
    "time": ("14:30:00", "00:00:00", "23:59:59"),
    "datetime": ("2026-01-31T14:30:00", "2026-01-31T14:30:00+02:00", "0001-01-01T00:00:00"),
    "decimal": ("12.5", "0", "-3", "0.001", "99999999999999999999.25"),
}


def _number(rng: Random, low: float | None, high: float | None) -> int:
    least = -3 if low is None else math.ceil(low)
    most = max(least, least + 9 if high is None else math.floor(high))
    usual = rng.randint(least, most)
    wild = rng.random() < 0.1
    return 10**12 if wild and high is None else -(10**12) if wild and low is None else usual
