"""What a program builds meets the refinements of its type, such as the `0..5` of an `int(0..5)`.

The checker proves what types tell, and reports constants. The rest is checked when the value is
there. What lies inside a record was checked when that record was made, so it is not walked again.
"""

from __future__ import annotations

from typing import Any

from lmc.check.constants import misfit
from lmc.types import (
    JSON,
    DictType,
    FloatType,
    IntType,
    ListType,
    OptionalType,
    RecordType,
    StrType,
    Type,
)


class UnmetError(ValueError):
    """A value does not meet the refinements of its type. `help` says how it could."""

    def __init__(self, message: str, help: str | None) -> None:
        super().__init__(message)
        self.help = help


def to_meet(type: Type) -> Type:
    """What is left to check of a value that has the type but for its refinements."""
    match type:
        case RecordType():
            return JSON
        case OptionalType(item):
            return OptionalType(to_meet(item))
        case DictType(item):
            return DictType(to_meet(item))
        case ListType(item, low, high, unique):
            return ListType(to_meet(item), low, high, unique)
    return type


def meet(type: Type, place: str, value: Any) -> Any:
    """The value, if it is of the type. `place` is the field it is for. Raises: UnmetError."""
    if problem := misfit(value, type, place):
        raise UnmetError(problem, _help(type, value))
    return value


def _help(type: Type, value: Any) -> str | None:
    match type:
        case OptionalType(item):
            return _help(item, value)
        case IntType(low, high) | FloatType(low, high) if low is not None and high is not None:
            return f"`min(max(x, {low}), {high})` keeps a number within"
        case StrType(_, int(high)) | ListType(_, _, int(high)) if len(value) > high:
            return f"`x[:{high}]` leaves out the rest"
        case ListType(unique=True):
            return "`unique(xs)` leaves out repetitions"
    return None
