"""Check untrusted JSON values against a type, and describe problems in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc.types import FEW_VALUES, STR, LiteralType, StrType, Type
from lmc.values.by_type import once_by_type


def validate(type: Type, raw: Any, *, lenient: bool = False) -> Any:
    """Check a JSON value against a type, and fill in the defaults of missing fields.

    The only conversion is from an integer to a float. `lenient` also accepts "5" for 5 and 5 for
    "5", and drops fields that the record does not have. Raises: InvalidValue.
    """
    if raw.__class__ is str and type.__class__ is StrType and raw.isascii() and type == STR:
        return raw  # other text may contain half a surrogate pair
    if type.__class__ is LiteralType and len(type.values) > FEW_VALUES:
        return _one_of_many(type, raw)
    return (_lenient if lenient else _strict)(type)(raw)


def _one_of_many(type: Type, raw: Any) -> Any:
    """One of many strings, which may be known at run time only, so that nothing is kept of them."""
    from lmc.values.validators import validator

    return validator(type, strict=True)(raw)


@once_by_type
def _strict(type: Type) -> Callable[[Any], Any]:
    from lmc.values.validators import validator

    return validator(type, strict=True)


@once_by_type
def _lenient(type: Type) -> Callable[[Any], Any]:
    from lmc.values.validators import validator

    return validator(type, strict=False)
