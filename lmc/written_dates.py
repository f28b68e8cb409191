"""Find dates, times and datetimes that people and models write: "Jan 31, 2026 at 2:30 PM".

What may mean two days is not guessed: `01/02/2026` and `31 Jan 26` are found, but give no value. A
day of the week that does not fit its date gives none either.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping

from lmc.frozen import frozen
from lmc.written import MOST_DIGITS, Kind, normal, text_of

MOST_CHARS = 100_000  # of a text in which dates are searched
_MONTHS: Mapping[str, int] = {
    name[:length]: number
    for number, name in enumerate(
        (
            *("january", "february", "march", "april", "may", "june", "july"),
            *("august", "september", "october", "november", "december"),
        ),
        1,
    )
    for length in (3, 4, len(name))
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_WEEKDAY = (
    r"(?:(?P<weekday>mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?\s+"
    r"(?:the\s+)?)?"
)
_NTH = r"(?P<{0}>\d{{1,2}})(?:st|nd|rd|th)?\b"
_GAP = r"[\s\-/.,]{1,3}"
_BEFORE = r"(?<![\w.,/:+-])(?<![$€£][ ])"
_AFTER = r"(?![\w]|[/:-]\w|[.,]\d)"
_YEAR = r"(?P<{0}>\d{{4}})"
_DATE = re.compile(
    rf"{_BEFORE}{_WEEKDAY}(?:"
    # 2026-01-31, 2026/1/31, 20260131
    rf"{_YEAR.format('y1')}(?P<s1>[-/.])(?P<m1>\d{{1,2}})(?P=s1)(?P<d1>\d{{1,2}})"
    # 31 January 2026, 31st of Jan, 2026, 31-Jan-26
    rf"|{_NTH.format('d2')}{_GAP}(?:of\s+)?(?P<m2>{_MONTH}){_GAP}(?P<y2>\d{{4}}|\d\d(?![\d:]))"
    # January 31, 2026
    rf"|(?P<m3>{_MONTH}){_GAP}(?:the\s+)?{_NTH.format('d3')}{_GAP}{_YEAR.format('y3')}"
    # 2026 January 31, 2026-Jan-31
    rf"|{_YEAR.format('y4')}{_GAP}(?P<m4>{_MONTH}){_GAP}{_NTH.format('d4')}"
    # 31/1/2026, 1.31.26: two orders
    r"|(?P<n1>\d{1,2})(?P<s5>[-/.])(?P<n2>\d{1,2})(?P=s5)(?P<y5>\d{4}|\d\d)"
    rf"){_AFTER}",
    re.IGNORECASE | re.ASCII,
)
_DATE_T = re.compile(  # the date of `2026-01-31T14:30`, whose time follows at once
    r"(?<![\w.,/:+-])(?P<y1>\d{4})-(?P<m1>\d\d)-(?P<d1>\d\d)(?=[Tt_]\d\d:)", re.ASCII
)
_TIME = re.compile(
    r"(?<![\w.,/:+-])(?:(?P<h>\d{1,2})(?:[:h](?P<m>\d\d)(?::(?P<s>\d\d)(?P<f>[.,]\d{1,9})?)?)?"
    r"(?:\s?(?P<half>[ap])\.?m\b\.?)?|(?P<word>noon|midnight)\b)"
    r"(?:\s?(?P<zone>z\b|utc\b|gmt\b|[+-]\d\d:?\d\d\b)(?P<more>[+-]\d)?)?"
    r"(?P<other>\s?(?-i:\(?\b[A-Z]{3,4}\b))?(?!\w|:\d|[/-]\w)",
    re.IGNORECASE | re.ASCII,
)
_JOINED = re.compile(r"(?:[Tt_]|,?\s+(?:at\s+|@\s*)?|\s*@\s*)", re.ASCII)
_JOINED_BACK = re.compile(r",?\s+(?:on\s+)?", re.ASCII | re.IGNORECASE)


@frozen
class Mention:
    """A date, time or datetime in a text. `value` is None if it is not certain which one."""

    start: int
    end: int
    value: dt.date | dt.time | dt.datetime | None


def written(kind: Kind, text: str) -> str | None:
    """The one text of what a whole text gives, in ISO form or as people write it; else None.

    A text of a datetime gives its date or its time too.
    """
    text = text.strip()
    forms: tuple[Kind, ...] = (kind,) if kind in ("datetime", "decimal") else (kind, "datetime")
    for form in forms:
        try:
            return converted(form, kind, normal(form, text))
        except ValueError:
            pass
    if kind == "decimal" or len(text) > MOST_DIGITS:
        return None
    for form in forms:
        found = [m for m in mentions(form, text) if _is_whole(m, text)]
        if found and found[0].value is not None:
            return converted(form, kind, text_of(found[0].value))
    return None


def _is_whole(mention: Mention, text: str) -> bool:
    before, after = text[: mention.start], text[mention.end :]
    return before.lower() in ("", "the ") and not after.strip(" .")


def converted(kind: Kind, wanted: Kind, text: str) -> str:
    """The date or the time of a datetime, or the midnight of a date. Raises: ValueError."""
    if kind == "date" and wanted == "datetime":
        return f"{text}T00:00:00"
    if kind == "datetime" and wanted in ("date", "time"):
        day, clock = text.split("T")
        return day if wanted == "date" else re.split(r"[Z+-]", clock)[0]
    return normal(wanted, text)


def mentions(kind: Kind, text: str) -> list[Mention]:
    """What a text mentions of a kind, in its order."""
    if len(text) > MOST_CHARS:
        return []
    dates = sorted(_dates(text), key=lambda m: m.start)
    match kind:
        case "date":
            return dates
        case "time":
            return [*_times(text, dates)]
    return [*_datetimes(text, dates)]


def _dates(text: str) -> Iterator[Mention]:
    for pattern in (_DATE, _DATE_T):
        for found in pattern.finditer(text):
            yield Mention(found.start(), found.end(), _day(found.groupdict()))


def _day(parts: Mapping[str, str | None]) -> dt.date | None:
    """The day of the parts of a date, if there is only one."""
    found = {_date(*order) for order in _orders(parts)} - {None}
    if len(found) != 1:
        return None
    day = found.pop()
    said = parts.get("weekday")
    fits = day is None or said is None or _DAYS[day.weekday()].startswith(said.lower())
    return day if fits else None


def _orders(parts: Mapping[str, str | None]) -> Iterator[tuple[int, int, int]]:
    """Years, months and days that the parts of a date may mean. A year has four digits."""
    for n in "1234":
        year, month, day = (parts.get(f"{part}{n}") for part in "ymd")
        if year and month and day and len(year) == 4:
            named = _MONTHS.get(month.lower().rstrip("."))
            yield int(year), named or int(month), int(day)
    first, second, year = parts.get("n1"), parts.get("n2"), parts.get("y5")
    if first and second and year and len(year) == 4:
        yield int(year), int(first), int(second)
        yield int(year), int(second), int(first)


def _date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _times(text: str, dates: list[Mention]) -> Iterator[Mention]:
    """The times of day; a bare number is none."""
    for found in _TIME.finditer(text):
        if not (found["m"] or found["half"] or found["word"]):
            continue
        if not any(d.start < found.end() and found.start() < d.end for d in dates):
            end = found.end("other") if found["other"] else found.end()
            yield Mention(found.start(), end, None if _zoned(found) else _clock(found))


def _zoned(found: re.Match[str]) -> bool:
    return bool(found["zone"] or found["other"] or found["more"])


def _clock(found: re.Match[str]) -> dt.time | None:
    """The time of day without its zone; None if there is no such time."""
    if word := found["word"]:
        return dt.time(12 if word.lower() == "noon" else 0)
    hour, half = int(found["h"]), (found["half"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half == "p")
    fraction = (found["f"] or ".0")[1:]
    if fraction[6:].strip("0"):
        return None
    try:
        micro = int(fraction[:6].ljust(6, "0"))
        return dt.time(hour, int(found["m"] or 0), int(found["s"] or 0), micro)
    except ValueError:
        return None


def _datetimes(text: str, dates: list[Mention]) -> Iterator[Mention]:
    """Dates with a time right behind or before them. A zone that is only a name gives no value."""
    for date in dates:
        gap = _JOINED.match(text, date.end)
        after = _TIME.match(text, gap.end()) if gap else None
        if after is None and gap is not None and gap[0] in ("T", "t", "_"):
            after = _TIME.match(text[gap.end() :])  # what stands before it is a letter
            yield from _joined(date, after, date.start, gap.end() + after.end() if after else 0)
        elif after is not None and (after["m"] or after["half"] or after["word"]):
            yield from _joined(date, after, date.start, after.end())
        else:
            yield from _before(text, date)


def _before(text: str, date: Mention) -> Iterator[Mention]:
    for time in _TIME.finditer(text, max(0, date.start - 40), date.start):
        told = time["m"] or time["half"] or time["word"]
        if told and _JOINED_BACK.fullmatch(text, time.end(), date.start):
            yield from _joined(date, time, time.start(), date.end)


def _joined(date: Mention, time: re.Match[str] | None, start: int, end: int) -> Iterator[Mention]:
    if time is None:
        return
    clock, zone = _clock(time), _zone(time)
    known = clock is not None and date.value is not None and zone is not None
    if not known or not isinstance(date.value, dt.date) or clock is None:
        yield Mention(start, end, None)
        return
    offset = None if zone == "" else dt.datetime.fromisoformat(f"2000-01-01T00:00{zone}").tzinfo
    yield Mention(start, end, dt.datetime.combine(date.value, clock, offset))


def _zone(time: re.Match[str]) -> str | None:
    """The offset of a time, empty if it tells none; None if it is not certain."""
    zone = (time["zone"] or "").lower()
    if time["more"] or time["other"]:
        return None
    if zone in ("z", "utc", "gmt"):
        return "+00:00"
    if zone and (zone[-2:] > "59" or zone[1:3] > "23"):
        return None
    return zone if ":" in zone or not zone else f"{zone[:3]}:{zone[3:]}"
