"""Dates, times and decimals: one text for each value, at the borders and in operations."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lmc.ir.graph import Node
from lmc.ir.written_functions import WRITTEN
from lmc.types import (
    DATE,
    DATETIME,
    DECIMAL,
    STR,
    TIME,
    Field,
    ListType,
    OptionalType,
    RecordType,
    WrittenType,
)
from lmc.values import InvalidValue, json_schema, to_json, to_python, validate
from lmc.written import EXACT, exact_float, normal, order, text_of, value_of
from lmc.written_dates import written

OFFSETS = st.none() | st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
VALUES = {
    "date": st.dates(),
    "time": st.times(),
    "datetime": st.datetimes(timezones=OFFSETS),
    "decimal": st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30
    ),
}
ANY = st.one_of(*(st.tuples(st.just(kind), values) for kind, values in VALUES.items()))


@given(ANY)
@example(("datetime", dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=23)))))
@example(("decimal", Decimal("-0.000")))
@example(("decimal", Decimal("1E+30")))
def test_each_value_has_one_text(pair: Any) -> None:
    kind, value = pair
    text = text_of(value)
    assert value_of(kind, text) == value
    assert normal(kind, text) == text
    type = WrittenType(kind)
    assert validate(type, text) == text
    assert to_json(type, value) == text
    assert to_python(type, text) == value


@given(
    st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k], VALUES[k]))
)
def test_the_order_is_that_of_the_values(given_: Any) -> None:
    kind, a, b = given_
    if kind == "datetime":
        a, b = (v if v.tzinfo else v.replace(tzinfo=dt.UTC) for v in (a, b))
    one, other = order(kind, text_of(a)), order(kind, text_of(b))
    if a != b:
        assert (one < other) == (a < b)
    else:
        assert kind == "datetime" or one == other


@pytest.mark.parametrize(
    ("type", "raw", "text"),
    [
        (DATETIME, "2026-01-31 14:30", "2026-01-31T14:30:00"),
        (DATETIME, "2026-01-31t14:30:00.5000z", "2026-01-31T14:30:00.5Z"),
        (DATETIME, "2026-01-31T14:30:00+00:00", "2026-01-31T14:30:00Z"),
        (DATETIME, "2026-01-31T14:30:00.123456000", "2026-01-31T14:30:00.123456"),
        (TIME, "09:05", "09:05:00"),
        (DECIMAL, "12.50", "12.5"),
        (DECIMAL, "+1e3", "1000"),
        (DECIMAL, 7, "7"),
        (DECIMAL, 0.1, "0.1"),
        (DECIMAL, 10**80, "1" + "0" * 80),
        (DECIMAL, exact_float("12345678901234567.123456789"), "12345678901234567.123456789"),
        (WrittenType("decimal", "0", "99.5"), "99.50", "99.5"),
        (WrittenType("date", "2026-01-01"), "2026-01-01", "2026-01-01"),
    ],
)
def test_accepted(type: Any, raw: Any, text: str) -> None:
    assert validate(type, raw) == text
    assert validate(type, raw, lenient=True) == text


@pytest.mark.parametrize(
    ("type", "raw", "told"),
    [
        (DATE, "2026-02-30", "must be a date, such as 2026-01-31"),
        (DATE, "20260131", "must be a date"),
        (DATE, "2026-W05-6", "must be a date"),
        (DATE, "٢٠٢٦-٠١-٣١", "must be a date"),
        (DATE, "2026-01-31\n", "must be a date"),
        (DATE, 20260131, "must be a date"),
        (DATE, None, "must be a date"),
        (TIME, "14:30:00+01:00", "must be a time"),
        (TIME, "24:00", "must be a time"),
        (DATETIME, "2026-01-31", "must be a datetime"),
        (DATETIME, "2026-01-31T14:30:00.1234567", "must be a datetime"),
        (DATETIME, "2026-01-31T14:30:00+25:00", "must be a datetime"),
        (DECIMAL, "NaN", "must be a decimal"),
        (DECIMAL, "1" * 401, "must be a decimal"),
        (DECIMAL, "1e999", "must be a decimal"),
        (DECIMAL, float("inf"), "must be a decimal"),
        (DECIMAL, True, "must be a decimal"),
        (DECIMAL, "1_000", "must be a decimal"),
        (DECIMAL, [1], "must be a decimal"),
        (WrittenType("decimal", "0"), "-0.01", "must be decimal of at least 0"),
        (WrittenType("date", "2026-01-01", "2026-12-31"), "2027-01-01", "from 2026-01-01 to 2026"),
    ],
)
def test_refused(type: Any, raw: Any, told: str) -> None:
    for lenient in (False, True):
        with pytest.raises(InvalidValue, match=told):
            validate(type, raw, lenient=lenient)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("1e500"), dt.time(1, tzinfo=dt.UTC)])
def test_python_values_that_have_no_text(value: Any) -> None:
    with pytest.raises(InvalidValue):
        to_json(DECIMAL if isinstance(value, Decimal) else TIME, value)


VISIT = RecordType(
    "Visit",
    (
        Field("day", DATE),
        Field("at", OptionalType(DATETIME), "", True, None),
        Field("paid", ListType(DECIMAL), "", True, ["1.5"]),
        Field("open", TIME, "", True, "09:30:00"),
    ),
)


def test_records_hold_python_objects() -> None:
    visit = to_python(VISIT, {"day": "2026-01-31"})
    assert visit.day == dt.date(2026, 1, 31)
    assert visit.paid == [Decimal("1.5")]
    assert visit.open == dt.time(9, 30)
    assert pickle.loads(pickle.dumps(visit)) == visit
    assert to_json(VISIT, visit) == to_json(
        VISIT, {"day": dt.date(2026, 1, 31), "paid": [Decimal("1.50")]}
    )
    assert json.loads(visit.model_dump_json())["paid"] == ["1.5"]


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k])))
def test_the_schema_takes_what_the_type_takes(pair: Any) -> None:
    kind, value = pair
    schema = json_schema(WrittenType(kind))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(text_of(value))


# --- operations ---


def run(fn: str, kind: str, *values: Any, **attrs: Any) -> Any:
    from lmc.ir.functions import function_of

    node = Node("%0", "op", STR, (), {"fn": fn, "of": kind, **attrs})
    return function_of(node)(*values)


@pytest.mark.parametrize(
    ("fn", "kind", "values", "result"),
    [
        ("sub", "date", ("2026-03-01", "2026-02-01"), 28),
        ("add", "date", ("2026-01-31", 1), "2026-02-01"),
        ("add", "date", (1, "2026-01-31"), "2026-02-01"),
        ("sub", "date", ("2026-01-01", 1), "2025-12-31"),
        ("sub", "datetime", ("2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00Z"), -7200.0),
        ("add", "datetime", ("2026-01-01T00:00:00+02:00", 1.5), "2026-01-01T00:00:01.5+02:00"),
        ("add", "decimal", ("0.1", "0.2"), "0.3"),
        ("mul", "decimal", ("1.10", 3), "3.3"),
        ("div", "decimal", (1, "3"), "0." + "3" * 28),
        ("mod", "decimal", ("-7", 3), "2"),
        ("mod", "decimal", ("7.5", "-2"), "-0.5"),
        ("neg", "decimal", ("1" * 60,), "-" + "1" * 60),
        ("abs", "decimal", ("-1.5",), "1.5"),
        ("round", "decimal", ("2.5",), 2),
        ("round", "decimal", ("2.675", 2), "2.68"),
        ("round", "decimal", ("1234", -2), "1200"),
        ("int", "decimal", ("-2.9",), -2),
        ("float", "decimal", ("0.1",), 0.1),
        ("sum", "decimal", (["0.1"] * 10,), "1"),
        ("sum", "decimal", ([],), "0"),
        ("max", "decimal", (["9", "10"],), "10"),
        ("min", "decimal", ([],), None),
        ("lt", "decimal", ("9", "10"), True),
        ("eq", "decimal", ("5", 5), True),
        ("ne", "decimal", (None, 5), True),
        ("lt", "datetime", ("2026-01-01T00:00:00+02:00", "2025-12-31T23:00:00Z"), True),
        ("date", "datetime", ("2026-01-31T14:30:00+02:00",), "2026-01-31"),
        ("time", "datetime", ("2026-01-31T14:30:00-02:00",), "14:30:00"),
        ("datetime", "date", ("2026-01-31",), "2026-01-31T00:00:00"),
    ],
)
def test_operations(fn: str, kind: str, values: tuple[Any, ...], result: Any) -> None:
    assert run(fn, kind, *values) == result


def test_parts() -> None:
    at = "2026-01-31T14:05:09"
    found = {name: run("part", "datetime", at, name=name) for name in ("year", "weekday", "minute")}
    assert found == {"year": 2026, "weekday": 6, "minute": 5}
    assert run("part", "datetime", at, name="date") == "2026-01-31"
    assert run("part", "date", "2026-01-31", name="day") == 31


def test_sorting() -> None:
    items = [{"price": "10"}, {"price": "9"}, {"price": "9.5"}]
    found = run("sort_by", "decimal", items, True, by="price")
    assert [item["price"] for item in found] == ["10", "9.5", "9"]


@pytest.mark.parametrize(
    ("fn", "kind", "values"),
    [
        ("div", "decimal", ("1", "0")),
        ("mod", "decimal", ("1", 0)),
        ("mul", "decimal", ("9" * 300, "9" * 300)),
        ("add", "date", ("9999-12-31", 1)),
        ("add", "date", ("2026-01-01", 10**30)),
        ("sub", "datetime", ("0001-01-01T00:00:00", 1)),
        ("round", "decimal", ("1.5", 10**9)),
        ("add", "time", ("10:00:00", 5)),
        ("lt", "date", ("nonsense", "2026-01-01")),
    ],
)
def test_operations_that_fail_say_so(fn: str, kind: str, values: tuple[Any, ...]) -> None:
    with pytest.raises((ArithmeticError, LookupError, TypeError, ValueError)):
        run(fn, kind, *values)


@given(VALUES["decimal"], VALUES["decimal"])
def test_decimals_are_exact(a: Decimal, b: Decimal) -> None:
    one, other = text_of(a), text_of(b)
    assert Decimal(run("add", "decimal", one, other)) == EXACT.add(a, b)
    assert Decimal(run("mul", "decimal", one, other)) == EXACT.multiply(a, b)
    assert run("sub", "decimal", run("add", "decimal", one, other), other) == one


def test_each_operation_of_a_kind_is_one_of_the_language() -> None:
    from lmc.ir.functions import FUNCTIONS

    assert set(WRITTEN) <= set(FUNCTIONS)


# --- texts ---


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("date", "Jan 31, 2026", "2026-01-31"),
        ("date", "31st of January, 2026", "2026-01-31"),
        ("date", "31/01/2026", "2026-01-31"),
        ("date", "01/02/2026", None),
        ("date", "31 Jan 26", None),
        ("date", "Friday, January 31, 2026", None),  # it is a Saturday
        ("date", "Feb 30, 2026", None),
        ("date", "2026-01-31T10:00:00Z", "2026-01-31"),
        ("date", "on 2026-01-31 or later", None),
        ("time", "2:30 PM", "14:30:00"),
        ("time", "12 am", "00:00:00"),
        ("time", "13 pm", None),
        ("time", "14:30 CET", None),
        ("datetime", "January 31, 2026, 2:30 p.m.", "2026-01-31T14:30:00"),
        ("datetime", "2026-01-31", None),
        ("decimal", "12,50", None),
        ("date", "", None),
        ("date", "9" * 10_000, None),
    ],
)
def test_texts_that_programs_read(kind: Any, text: str, value: str | None) -> None:
    assert written(kind, text) == value


@given(st.sampled_from(["date", "time", "datetime", "decimal"]), st.text(max_size=60))
def test_any_text_is_read_or_is_none(kind: Any, text: str) -> None:
    found = written(kind, text)
    assert found is None or normal(kind, found) == found
