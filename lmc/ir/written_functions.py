"""The operations on dates, times and decimals, whose JSON values are texts.

Each takes the attributes of its node, the kind of its operands, and their values. A decimal may
stand beside an int. It fails as the other operations do (`lmc.ir.functions`).
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from typing import Any

from lmc.written import (
    DIVISION_DIGITS,
    EXACT,
    KINDS,
    MOST_DIGITS,
    Kind,
    decimal_text,
    instant,
    order,
    text_of,
    value_of,
)
from lmc.written_dates import converted, written

Attrs = Mapping[str, Any]
Function = Callable[..., Any]
_DIVISION = EXACT.copy()
_DIVISION.prec = DIVISION_DIGITS


def part(attrs: Attrs, kind: Kind, text: str) -> Any:
    """A field of a date, time or datetime."""
    value, name = value_of(kind, text), attrs["name"]
    match name:
        case "date" | "time" if isinstance(value, dt.datetime):
            return text_of(value.date() if name == "date" else value.time())
        case "weekday" if isinstance(value, dt.date):
            return value.isoweekday()
        case "year" | "month" | "day" | "hour" | "minute" | "second":
            return getattr(value, name)
    raise LookupError(f"a {kind} has no field `{name}`")


def read(kind: Kind, attrs: Attrs, value: Any) -> str | None:
    """The date and the like that a value gives; None for a text that gives none, or several."""
    if isinstance(value, int | float):
        if kind != "decimal":
            raise TypeError(f"a number is no {kind}")
        return decimal_text(value)
    return written(kind, value)


def _convert(wanted: Kind, attrs: Attrs, kind: Kind, value: str) -> str:
    return converted(kind, wanted, value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, int):
        return Decimal(value)
    made = value_of("decimal", value)
    assert isinstance(made, Decimal)
    return made


def _key(kind: Kind, value: Any) -> Any:
    """What orders a value. A decimal may be an int."""
    return _decimal(value) if kind == "decimal" else order(kind, value)


def _compare(test: Callable[[Any, Any], bool]) -> Function:
    return lambda attrs, kind, left, right: test(_key(kind, left), _key(kind, right))


def _equal(attrs: Attrs, kind: Kind, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    return bool(_key(kind, left) == _key(kind, right))


def _of_decimals(work: Callable[[Decimal, Decimal], Decimal]) -> Function:
    return lambda attrs, kind, left, right: text_of(work(_decimal(left), _decimal(right)))


def _add(attrs: Attrs, kind: Kind, left: Any, right: Any) -> Any:
    if kind == "decimal":
        return text_of(EXACT.add(_decimal(left), _decimal(right)))
    return _shifted(kind, left, right) if isinstance(left, str) else _shifted(kind, right, left)


def _sub(attrs: Attrs, kind: Kind, left: Any, right: Any) -> Any:
    if kind == "decimal":
        return text_of(EXACT.subtract(_decimal(left), _decimal(right)))
    if not isinstance(right, str):
        return _shifted(kind, left, -right)
    one, other = value_of(kind, left), value_of(kind, right)
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        return (instant(one) - instant(other)) / 1_000_000
    if isinstance(one, dt.date) and isinstance(other, dt.date):
        return one.toordinal() - other.toordinal()
    raise TypeError(f"a {kind} cannot be subtracted")


def _shifted(kind: Kind, text: str, amount: float) -> str:
    """A date some days later, or a datetime some seconds later."""
    value = value_of(kind, text)
    try:
        if isinstance(value, dt.datetime):
            return text_of(value + dt.timedelta(seconds=amount))
        if isinstance(value, dt.date):
            return text_of(value + dt.timedelta(days=amount))
    except OverflowError:
        raise OverflowError(f"no {kind} is so far from {text}: its years are 1 to 9999") from None
    raise TypeError(f"nothing is added to a {kind}")


def _divided(left: Decimal, right: Decimal) -> Decimal:
    return _DIVISION.divide(left, _not_zero(right))


def _remainder(left: Decimal, right: Decimal) -> Decimal:
    """What is left of a division down to a whole number; it has the sign of the divisor."""
    whole = EXACT.divide(left, _not_zero(right)).to_integral_value(ROUND_FLOOR)
    return EXACT.subtract(left, EXACT.multiply(whole, right))


def _not_zero(value: Decimal) -> Decimal:
    if not value:
        raise ZeroDivisionError("division by zero")
    return value


def _sum(attrs: Attrs, kind: Kind, items: list[Any]) -> str:
    total = Decimal(0)
    for item in items:
        total = EXACT.add(total, _decimal(item))
    return text_of(total)


def _extreme(choose: Callable[..., Any]) -> Function:
    def extreme(attrs: Attrs, kind: Kind, *values: Any) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        return choose(items, key=partial(_key, kind), default=None)

    return extreme


def _sort_by(attrs: Attrs, kind: Kind, items: list[Any], descending: bool = False) -> list[Any]:
    name = attrs.get("by")
    return sorted(
        items, key=lambda i: _key(kind, i if name is None else i[name]), reverse=descending
    )


def _round(attrs: Attrs, kind: Kind, value: Any, digits: int | None = None) -> Any:
    number = _decimal(value)
    if digits is None:
        return int(number.to_integral_value(context=EXACT))
    if abs(digits) > MOST_DIGITS:
        raise ValueError(f"numbers are rounded to at most {MOST_DIGITS} digits")
    return text_of(number.quantize(Decimal(1).scaleb(-digits), context=EXACT))


WRITTEN: Mapping[str, Function] = {
    "part": part,
    "add": _add,
    "sub": _sub,
    "mul": _of_decimals(EXACT.multiply),
    "div": _of_decimals(_divided),
    "mod": _of_decimals(_remainder),
    "neg": lambda attrs, kind, value: text_of(EXACT.minus(_decimal(value))),
    "eq": _equal,
    "ne": lambda attrs, kind, left, right: not _equal(attrs, kind, left, right),
    "lt": _compare(operator.lt),
    "le": _compare(operator.le),
    "gt": _compare(operator.gt),
    "ge": _compare(operator.ge),
    "sum": _sum,
    "min": _extreme(min),
    "max": _extreme(max),
    "abs": lambda attrs, kind, value: text_of(EXACT.abs(_decimal(value))),
    "round": _round,
    "sort_by": _sort_by,
    "int": lambda attrs, kind, value: int(_decimal(value)),
    "float": lambda attrs, kind, value: float(_decimal(value)),
    **{wanted: partial(_convert, wanted) for wanted in KINDS},
}
