"""Dates, times and decimals in answers: read right, or refused with the reason."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.prompts.spec import ParseFailure
from lmc.prompts.values import fit_value, parse_value
from lmc.types import DATE, DATETIME, DECIMAL, TIME, ListType, OptionalType, Type, WrittenType
from lmc.written import exact_float, normal

READ = [
    (DATE, "2026-01-31", "2026-01-31"),
    (DATE, "**2026-01-31**.", "2026-01-31"),
    (DATE, "January 31, 2026", "2026-01-31"),
    (DATE, "31 January 2026", "2026-01-31"),
    (DATE, "31.01.2026", "2026-01-31"),
    (DATE, "2026/01/31", "2026-01-31"),
    (DATE, "The date is 2026-01-31.", "2026-01-31"),
    (DATE, "The invoice was issued on Jan 31, 2026, as the header says.", "2026-01-31"),
    (DATE, "2026-01-31 (31 January 2026)", "2026-01-31"),
    (DATE, "Sat, Jan 31, 2026", "2026-01-31"),
    (TIME, "14:30", "14:30:00"),
    (TIME, "The call starts at 2:30 pm.", "14:30:00"),
    (DATETIME, "2026-01-31 14:30", "2026-01-31T14:30:00"),
    (DATETIME, "2026-01-31T14:30:00Z", "2026-01-31T14:30:00Z"),
    (DATETIME, "It is on Jan 31, 2026 at 2:30 PM.", "2026-01-31T14:30:00"),
    (DATETIME, "2026-01-31 14:30 UTC", "2026-01-31T14:30:00Z"),
    (DECIMAL, "12.50", "12.5"),
    (DECIMAL, "$1,234.50", "1234.5"),
    (DECIMAL, "The total is 12.10 EUR.", "12.1"),
    (DECIMAL, "1.234,56 €", "1234.56"),
    (DECIMAL, "0.1234567890123456789", "0.1234567890123456789"),
    (WrittenType("decimal", "0", "5"), "4 out of 5", "4"),
    (OptionalType(DATE), "none", None),
    (OptionalType(DATE), "2026-01-31", "2026-01-31"),
    (ListType(DATE), '["2026-01-31", "Feb 1, 2026"]', ["2026-01-31", "2026-02-01"]),
    (ListType(DECIMAL), "[1.10, 0.12345678901234567890]", ["1.1", "0.1234567890123456789"]),
    (ListType(DATE), "- 2026-01-31\n- Feb 1, 2026", ["2026-01-31", "2026-02-01"]),
]
REFUSED = [
    (DATE, "01/02/2026", "may be another one"),
    (DATE, "3.4.2026", "may be another one"),
    (DATE, "31 Jan 26", "may be another one"),
    (DATE, "Friday, January 31, 2026", "may be another one"),
    (DATE, "from 2026-01-31 to 2026-02-02", "there are 2"),
    (DATE, "before 2026-01-31", "open"),
    (DATE, "2026-01-31 or later", "open"),
    (DATE, "not 2026-01-31", "open"),
    (DATE, "around January 31, 2026", "open"),
    (DATE, "2026-01-31?", "open"),
    (DATE, "2026-02-30", "may be another one"),
    (DATE, "January 2026", "no date was found"),
    (DATE, "next Friday", "no date was found"),
    (DATE, "", "no date was found"),
    (TIME, "half past two", "no time was found"),
    (TIME, "14:30 EST", "may be another one"),
    (TIME, "between 14:30 and 15:00", "there are 2"),
    (DATETIME, "2026-01-31", "no datetime was found"),
    (DATETIME, "2026-01-31 14:30 EST", "may be another one"),
    (DECIMAL, "1,234", "may be"),
    (DECIMAL, "between 5 and 6", "none is given"),
    (DECIMAL, "about nothing", "no number"),
    (DECIMAL, "9" * 500, "expected"),
]


@pytest.mark.parametrize(("type", "text", "value"), READ)
def test_read(type: Type, text: str, value: object) -> None:
    assert parse_value(type, text) == value


@pytest.mark.parametrize(("type", "text", "why"), REFUSED)
def test_refused(type: Type, text: str, why: str) -> None:
    with pytest.raises(ParseFailure, match=why):
        parse_value(type, text)


def test_numbers_of_json_keep_their_digits() -> None:
    assert fit_value(DECIMAL, exact_float("0.12345678901234567890")) == "0.1234567890123456789"
    assert fit_value(DECIMAL, 12) == "12"
    with pytest.raises(ParseFailure, match="got the number 5"):
        fit_value(DATE, 5)


FORMS = ["%Y-%m-%d", "%B %d, %Y", "%d %b %Y", "%a, %d %B %Y", "%Y/%m/%d"]


@given(st.dates(min_value=dt.date(1000, 1, 1)), st.sampled_from(FORMS))
def test_each_form_of_a_date_is_that_date(day: dt.date, form: str) -> None:
    assert parse_value(DATE, f"It is {day.strftime(form)}.") == day.isoformat()


@given(st.sampled_from([DATE, TIME, DATETIME, DECIMAL]), st.text(max_size=80))
def test_any_text_is_a_value_or_a_failure(type: WrittenType, text: str) -> None:
    try:
        found = parse_value(type, text)
    except ParseFailure:
        return
    assert normal(type.kind, found) == found


@pytest.mark.parametrize(
    "piece", ["2026-01-", "1/1/", "Jan ", "12:", "Mon, ", "31 ", " at ", "1.2."]
)
def test_time_is_linear(piece: str) -> None:
    started = time.process_time()
    for type in (DATE, TIME, DATETIME):
        with pytest.raises(ParseFailure):
            parse_value(type, piece * (90_000 // len(piece)))
    assert time.process_time() - started < 5
