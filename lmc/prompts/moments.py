"""Read the date, time or datetime that an answer gives, or fail. The reader never guesses.

The answer is ISO, or what people write ("Jan 31, 2026", "2:30 PM"), alone or as the only one in a
sentence. Refused are days that may be two ("01/02/2026"), years of two digits, names of zones, and
words that leave the day open ("before May 3, 2026").
"""

from __future__ import annotations

import re

from lmc.prompts.assertions import standing
from lmc.prompts.describing import describe_type
from lmc.prompts.numbers import read_decimal
from lmc.prompts.spec import ParseFailure
from lmc.prompts.words import WRAPPING, shown, without_struck
from lmc.types import WrittenType
from lmc.written import decimal_text, text_of
from lmc.written_dates import Mention, mentions, written

_OPEN_BEFORE = re.compile(
    r"\b(?:before|after|until|till|since|by|around|about|approximately|approx\.?|circa|ca\.?|roughly"
    r"|between|from|early|late|mid|not|no|earliest|latest|no later than|prior to|following|or"
    r"|starting|beginning|ending|through|maybe|perhaps|possibly|probably)\W{1,3}(?:the\s)?\Z",
    re.IGNORECASE,
)
_OPEN_AFTER = re.compile(
    r"\W{0,3}\b(?:or|and|to|until|through|at the (?:latest|earliest)|if|unless|\?)\b|\s*[?–—]"
    r"|\s*-\s",
    re.IGNORECASE,
)
_NONE = "no {kind} was found in {text}"


def read_written(type: WrittenType, text: str) -> str:
    """Read a date, time, datetime or decimal from an answer. Raises: ParseFailure."""
    try:
        if type.kind == "decimal":
            return read_decimal(type, text)
        found = written(type.kind, text.strip(WRAPPING + "[]{}<>"))
        return found or _of_prose(type, without_struck(text))
    except ValueError as problem:
        raise _refusal(type, str(problem)) from None


def from_number(type: WrittenType, value: float) -> str:
    """A decimal that an answer gives as a JSON number. Raises: ParseFailure."""
    if type.kind != "decimal":
        raise _refusal(type, f"got the number {value}")
    try:
        return decimal_text(value)
    except ValueError as problem:
        raise _refusal(type, str(problem)) from None


def _refusal(type: WrittenType, why: str) -> ParseFailure:
    return ParseFailure(f"expected {describe_type(type)}, but {why}")


def _of_prose(type: WrittenType, text: str) -> str:
    found = mentions(type.kind, text)
    if not found:
        raise ValueError(_NONE.format(kind=type.kind, text=shown(text)))
    values = {mention.value for mention in found}
    if None in values:
        unclear = next(m for m in found if m.value is None)
        said = shown(text[unclear.start : unclear.end])
        raise ValueError(f"{said} may be another one; write it as {_form(type)}")
    if len(values) > 1:
        raise ValueError(f"there are {len(values)} in {shown(text)}")
    if not any(_is_given(mention, text) for mention in found):
        raise ValueError(f"{shown(text)} leaves it open")
    (value,) = values
    assert value is not None
    return text_of(value)


def _is_given(mention: Mention, text: str) -> bool:
    """Whether a sentence gives a mention as it is: not denied, and no bound of a range."""
    before = text[max(0, mention.start - 40) : mention.start]
    if _OPEN_BEFORE.search(before) or _OPEN_AFTER.match(text, mention.end):
        return False
    return standing(text, mention.start, mention.end) == "asserted"


def _form(type: WrittenType) -> str:
    return describe_type(type).rpartition("(as ")[2].rstrip(")")
