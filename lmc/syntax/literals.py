"""Literals: from the spelling in the source to the value, and back."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable

MOST_INT = 2**63 - 1  # in 64 bits, as databases, servers and most readers of JSON hold an int
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|(.?))", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}
_UNPRINTED = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\", '"': r"\""}


def string_value(raw: str, on_bad_escape: Callable[[int, int], None]) -> str:
    """The text of a string literal.

    `r"…"` and triple-quoted text have no escapes. Triple-quoted text is dedented like a docstring.
    `on_bad_escape` gets the start and end of a bad escape within `raw`.
    """
    if raw.startswith('"""'):
        return inspect.cleandoc(raw[3:-3].replace("\r\n", "\n"))
    if raw.startswith("r"):
        return raw[2:-1]

    def unescape(match: re.Match[str]) -> str:
        code, plain = match[1] or match[2], match[3]
        if code and (point := int(code, 16)) <= 0x10FFFF and not 0xD800 <= point < 0xE000:
            return chr(point)
        if not code and plain in _PLAIN:
            return _PLAIN[plain]
        on_bad_escape(match.start() + 1, match.end() + 1)
        return match[0]

    return _ESCAPE.sub(unescape, raw[1:-1]) if "\\" in raw else raw[1:-1]


def number_value(raw: str) -> int | float:
    """The value of a number literal: an int if it has neither point nor exponent, else a float.

    Raises: OverflowError where it is larger than any float, or an int than `MOST_INT`.
    """
    digits = raw.replace("_", "")
    size = float(digits)
    if math.isinf(size):
        raise OverflowError(raw)
    value = int(digits) if digits.isdigit() else size
    if isinstance(value, int) and value > MOST_INT:
        raise OverflowError(raw)
    return value


def quote(text: str) -> str:
    """Write a one-line literal for a text."""
    return '"' + "".join(_quote_character(c) for c in text) + '"'


def _quote_character(c: str) -> str:
    shown = c.isprintable() or 0xD800 <= ord(c) < 0xE000  # a lone surrogate has no escape
    return _UNPRINTED.get(c) or (c if shown else f"\\u{{{ord(c):x}}}")
