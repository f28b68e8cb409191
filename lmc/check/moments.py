"""What programs do with dates, times and decimals: constants, fields, operators.

These tables are the rules of the language. `lmc.ir.written_functions` does what they allow.
"""

from __future__ import annotations

from collections.abc import Mapping

from lmc import types
from lmc.check.subtyping import is_text, is_written, required
from lmc.types import DATE, DATETIME, DECIMAL, FLOAT, INT, TIME, IntType, Type, WrittenType
from lmc.written import EXAMPLES, KINDS, Kind, decimal_text, normal

_CLOCK: Mapping[str, Type] = {
    "hour": IntType(0, 23),
    "minute": IntType(0, 59),
    "second": IntType(0, 59),
}
_DAY: Mapping[str, Type] = {
    "year": IntType(1, 9999),
    "month": IntType(1, 12),
    "day": IntType(1, 31),
    "weekday": IntType(1, 7),  # Monday is 1
}
FIELDS: Mapping[Kind, Mapping[str, Type]] = {
    "date": _DAY,
    "time": _CLOCK,
    "datetime": {**_DAY, **_CLOCK, "date": DATE, "time": TIME},
    "decimal": {},
}
# What each function is given beside its own kind and texts.
_FROM: Mapping[Kind, tuple[type[Type], ...]] = {
    "date": (),
    "time": (),
    "datetime": (),
    "decimal": (types.IntType, types.FloatType),
}
_FROM_KINDS: Mapping[Kind, tuple[Kind, ...]] = {
    "date": ("date", "datetime"),
    "time": ("time", "datetime"),
    "datetime": ("datetime", "date"),
    "decimal": ("decimal",),
}
TAKES: Mapping[Kind, str] = {
    "date": "a string, a date or a datetime",
    "time": "a string, a time or a datetime",
    "datetime": "a string, a datetime or a date",
    "decimal": "a string or a number",
}


def takes(kind: Kind, type: Type) -> bool:
    """Whether the function of a kind accepts a value."""
    return is_text(type) or isinstance(type, _FROM[kind]) or is_written(type, *_FROM_KINDS[kind])


def made(kind: Kind, given: Type) -> Type:
    """The type of `date(x)` and the like: the value of a constant, `T?` for any other text."""
    try:
        constant = constant_text(kind, given)
    except ValueError:
        return types.ERROR  # it is reported
    if constant is not None:
        return WrittenType(kind, constant, constant)
    return types.OptionalType(WrittenType(kind)) if is_text(given) else WrittenType(kind)


def constant_text(kind: Kind, given: Type) -> str | None:
    """The value that a constant argument gives; None for all others. Raises: ValueError."""
    match given:
        case types.LiteralType(values=(text,)):
            return normal(kind, text)
        case IntType(low, high) if kind == "decimal" and low is not None and low == high:
            return decimal_text(low)
        case types.FloatType(low, high) if kind == "decimal" and low is not None and low == high:
            return decimal_text(low)
    return None


def bad_constant(kind: Kind, given: Type) -> str | None:
    """Why a constant is no value of a kind, in words. None if it is one, or is no constant."""
    try:
        constant_text(kind, given)
    except ValueError as problem:
        return f'{problem}; for example `{kind}("{EXAMPLES[kind]}")`'
    return None


def operation(op: str, left: Type, right: Type) -> Type | None:
    """The type of `left op right`, if one side is a date and the like. None if there is none."""
    if is_written(left, "decimal") or is_written(right, "decimal"):
        both = all(is_written(t, "decimal") or isinstance(t, IntType) for t in (left, right))
        return DECIMAL if both else None
    if op == "-" and is_written(left, "date") and is_written(right, "date"):
        return INT
    if op == "-" and is_written(left, "datetime") and is_written(right, "datetime"):
        return FLOAT
    if op == "+" and is_written(right, "date", "datetime"):
        left, right = right, left
    if op in ("+", "-") and is_written(left, "date") and isinstance(right, IntType):
        return DATE
    seconds = isinstance(right, IntType | types.FloatType)
    return DATETIME if op in ("+", "-") and is_written(left, "datetime") and seconds else None


def kind_of(*operands: Type) -> Kind | None:
    """The kind that an operation or a function of such values works on; None for other values.

    Lists count by their items. A decimal beside an int is a decimal.
    """
    for operand in operands:
        operand = required(operand)
        item = required(operand.item) if isinstance(operand, types.ListType) else operand
        if isinstance(item, WrittenType):
            return item.kind
    return None


def ordered(left: Type, right: Type) -> bool:
    """Whether two values of these types are ordered: of one kind, or a decimal and an int."""
    if not (is_written(left) or is_written(right)):
        return False
    if isinstance(left, WrittenType) and isinstance(right, WrittenType):
        return left.kind == right.kind
    return operation("+", left, right) == DECIMAL


def is_decimal_and_int(left: Type, right: Type) -> bool:
    """Whether a decimal is compared with an int, whose JSON values are of two forms."""
    pair = required(left), required(right)
    return any(is_written(t, "decimal") for t in pair) and any(isinstance(t, IntType) for t in pair)


NAMES: Mapping[str, Kind] = {kind: kind for kind in KINDS}
