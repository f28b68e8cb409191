"""Dates, times and decimals as JSON holds them: a text in one form for each value.

Equal values have equal texts, so they are compared, counted and cached like all other JSON. A date
is `2026-01-31`, a time `14:30:00`, and both are joined by `T`. A datetime may have an offset from
UTC (`+02:00`, `Z`), which is kept; without one it counts as UTC where two are ordered or
subtracted. A decimal has no exponent and no zeros at its end.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, DecimalException
from typing import Any, Literal

Kind = Literal["date", "time", "datetime", "decimal"]
Value = dt.date | dt.time | dt.datetime | Decimal

KINDS: tuple[Kind, ...] = ("date", "time", "datetime", "decimal")
MOST_DIGITS = 400  # of a decimal, before and behind its point together
DIVISION_DIGITS = 28  # significant ones of a quotient, which may have no end
# Enough digits that no sum or product of two decimals is rounded before its length is checked.
EXACT = Context(prec=2 * MOST_DIGITS + 10, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN)
CLASSES: Mapping[str, type] = {
    "date": dt.date,
    "time": dt.time,
    "datetime": dt.datetime,
    "decimal": Decimal,
}
EXAMPLES: Mapping[str, str] = {
    "date": "2026-01-31",
    "time": "14:30:00",
    "datetime": "2026-01-31T14:30:00",
    "decimal": "12.50",
}
_DATE, _TIME = r"(\d{4}-\d\d-\d\d)", r"(\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)"
_OFFSET = r"([Zz]|[+-]\d\d:\d\d)?"
_DATE_FORM = re.compile(_DATE, re.ASCII)
_TIME_FORM = re.compile(_TIME, re.ASCII)
_DATETIME_FORM = re.compile(rf"{_DATE}[Tt ]{_TIME}{_OFFSET}", re.ASCII)
_DECIMAL_FORM = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


class ExactFloat(float):
    """A number of a JSON text with more digits than a float holds; `text` has all of them."""

    __slots__ = ("text",)
    text: str


def exact_float(text: str) -> float:
    """A number of a JSON text. It remembers its digits if a float loses some."""
    value = float(text)
    if len(text) < 16 or value - value != 0:  # 15 digits always survive
        return value
    exact = ExactFloat(value)
    exact.text = text
    return exact


def value_of(kind: Kind, text: str) -> Value:
    """The Python object of a text in ISO form. Raises: ValueError."""
    return _READERS[kind](text)


def text_of(value: Value) -> str:
    """The one text of a Python object. Raises: ValueError for a decimal that is too long."""
    match value:
        case dt.datetime():
            return f"{value.date().isoformat()}T{_clock(value)}{_offset(value)}"
        case dt.date():
            return value.isoformat()
        case dt.time():
            if value.tzinfo is not None:
                raise ValueError("a time has no offset")
            return _clock(value)
    return _decimal_text(value)


def normal(kind: Kind, text: str) -> str:
    """The one text of the value that a text in ISO form gives. Raises: ValueError."""
    return text_of(value_of(kind, text))


def order(kind: Kind, text: str) -> Any:
    """What orders the values of a kind: earlier before later, smaller before greater.

    Of two datetimes at one instant, the text decides, so that only equal ones are not ordered.
    """
    value = value_of(kind, text)
    return (instant(value), text) if isinstance(value, dt.datetime) else value


def instant(value: dt.datetime) -> int:
    """The microseconds of a datetime since the year 1, in UTC."""
    seconds = value.toordinal() * 86_400 + value.hour * 3600 + value.minute * 60 + value.second
    offset = (value.utcoffset() or dt.timedelta()) // dt.timedelta(microseconds=1)
    return seconds * 1_000_000 + value.microsecond - offset


def kind_of(value: object) -> Kind | None:
    """The kind of a Python object; None for all others."""
    if isinstance(value, dt.datetime):
        return "datetime"
    if isinstance(value, dt.date):
        return "date"
    if isinstance(value, dt.time):
        return "time"
    return "decimal" if isinstance(value, Decimal) else None


def decimal_text(value: int | float) -> str:
    """The decimal of a number: that of its digits, as Python prints them. Raises: ValueError."""
    digits = value.text if isinstance(value, ExactFloat) else repr(value)
    return normal("decimal", digits)


def _date(text: str) -> dt.date:
    if not _DATE_FORM.fullmatch(text):
        raise ValueError("it is not of the form YYYY-MM-DD")
    return dt.date.fromisoformat(text)


def _time(text: str) -> dt.time:
    if not _TIME_FORM.fullmatch(text):
        raise ValueError("it is not of the form HH:MM:SS")
    return dt.time.fromisoformat(_microseconds(text))


def _datetime(text: str) -> dt.datetime:
    found = _DATETIME_FORM.fullmatch(text)
    if not found:
        raise ValueError("it is not of the form YYYY-MM-DDTHH:MM:SS")
    day, clock, offset = found.groups()
    return dt.datetime.fromisoformat(f"{day}T{_microseconds(clock)}{(offset or '').upper()}")


def _microseconds(clock: str) -> str:
    """A time of day with at most six digits of its second. Raises: ValueError if more are told."""
    whole, point, digits = clock.partition(".")
    if digits[6:].strip("0"):
        raise ValueError("a second has at most six digits behind its point")
    return whole + point + digits[:6].ljust(6, "0") if point else whole


def _decimal(text: str) -> Decimal:
    if len(text) > MOST_DIGITS + 10 or not _DECIMAL_FORM.fullmatch(text):
        raise ValueError("it is not a decimal number")
    return EXACT.create_decimal(text)


def _decimal_text(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("it is not a finite number")
    if not value:
        return "0"
    try:
        plain = value.normalize(EXACT)
    except DecimalException:
        plain = value
    exponent = plain.as_tuple().exponent
    length = max(plain.adjusted(), 0) + 1 + max(-int(exponent), 0)
    if length > MOST_DIGITS:
        raise ValueError(f"the decimal is too long: at most {MOST_DIGITS} digits")
    return format(plain, "f")


def _clock(value: dt.time | dt.datetime) -> str:
    clock = f"{value.hour:02}:{value.minute:02}:{value.second:02}"
    return clock + (f".{value.microsecond:06}".rstrip("0") if value.microsecond else "")


def _offset(value: dt.datetime) -> str:
    offset = value.utcoffset()
    if offset is None:
        return ""
    minutes, rest = divmod(offset, dt.timedelta(minutes=1))
    if rest:
        raise ValueError("an offset from UTC is in whole minutes")
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}" if minutes else "Z"


_READERS: Mapping[str, Callable[[str], Value]] = {
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "decimal": _decimal,
}
