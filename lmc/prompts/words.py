"""Words for types and texts in messages and prompts, and the comparison of words."""

from __future__ import annotations

import json
import re

WRAPPING = " \t\r\n\"'`*.,;:!()“”‘’"


def bounds(low: float | None, high: float | None, unit: str = "") -> str:
    """The bounds of a type in words, to follow its name: ` from 0 to 10`; empty without bounds."""
    if low is None and high is None:
        return ""
    tail = f" {unit}" if unit else ""
    if low is None:
        return f" of at most {high:g}{tail}"
    if high is None:
        return f" of at least {low:g}{tail}"
    return f" of {low:g} to {high:g}{tail}" if unit else f" from {low:g} to {high:g}"


def plain_words(text: str) -> str:
    """A text for comparison: lower case, single spaces, no punctuation around it."""
    return " ".join(re.split(r"[\s_-]+", text.casefold())).strip(WRAPPING)


def shown(text: str) -> str:
    """The text as a message quotes it, shortened in its middle."""
    text = text.strip()
    if not text:
        return "the empty answer"
    return json.dumps(
        text if len(text) <= 80 else f"{text[:38]} … {text[-38:]}", ensure_ascii=False
    )


_STRUCK = re.compile(r"~~[^~\n]*+~~|<(s|del|strike)>[^<\n]*+</\1>", re.IGNORECASE)


def without_struck(text: str) -> str:
    """The text with spaces for what is struck out: `~~7~~ 6`. Offsets stay."""
    return _STRUCK.sub(lambda m: " " * len(m[0]), text)
