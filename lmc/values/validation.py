"""Untrusted JSON values checked against a type; what is wrong is said in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc.check.types import STR, StrType, Type
from lmc.frozen import frozen
from lmc.values.by_type import once_by_type

MAX_PROBLEMS = 5


@frozen
class Problem:
    """One thing that is wrong: where (`steps[0]`, empty for the whole value), and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"`{self.path}` {self.message}" if self.path else f"the value {self.message}"


class InvalidValue(Exception):
    """A value that does not have its type; the text is fit for a person and for a model."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        shown = "; ".join(map(str, self.problems[:MAX_PROBLEMS]))
        more = len(self.problems) - MAX_PROBLEMS
        return f"{shown}; and {more} more" if more > 0 else shown


def validate(type: Type, raw: Any, *, lenient: bool = False) -> Any:
    """The JSON value of a type, with the defaults of left-out fields filled in.

    Nothing is converted but integers where a float is wanted. `lenient` also takes "5" for 5, 5 for
    "5", and fields that the record lacks (they are dropped). Raises: InvalidValue.
    """
    if raw.__class__ is str and type.__class__ is StrType and raw.isascii() and type == STR:
        return raw  # what is not ASCII may be half a character
    return (_lenient if lenient else _strict)(type)(raw)


@once_by_type
def _strict(type: Type) -> Callable[[Any], Any]:
    from lmc.values.validators import validator

    return validator(type, strict=True)


@once_by_type
def _lenient(type: Type) -> Callable[[Any], Any]:
    from lmc.values.validators import validator

    return validator(type, strict=False)
