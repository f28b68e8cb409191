"""Untrusted JSON values checked against a type; what is wrong is said in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc.types import STR, StrType, Type
from lmc.values.by_type import once_by_type


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
