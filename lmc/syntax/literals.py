"""Literals: from the spelling in the source to the value, and back."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from functools import partial

MOST_INT = 2**63 - 1  # in 64 bits, as databases, servers and most readers of JSON hold an int
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|(.?))", re.DOTALL)
_BRACES = ("{{", "}}")  # how f-strings write a brace
_INSIDE = re.compile(rf"\{{\{{|\}}\}}|{_ESCAPE.pattern}", re.DOTALL)  # escapes of f-strings
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
    text = raw[1:-1]
    return _unescaped(_ESCAPE, text, 1, on_bad_escape) if "\\" in text else text


def _unescaped(
    escapes: re.Pattern[str], text: str, offset: int, on_bad_escape: Callable[[int, int], None]
) -> str:
    """A text with the characters that its escapes stand for; `offset` is its place in `raw`."""

    def unescape(match: re.Match[str]) -> str:
        code, plain = match[1] or match[2], match[3]
        if match[0] in _BRACES:
            return match[0][0]
        if code and (point := int(code, 16)) <= 0x10FFFF and not 0xD800 <= point < 0xE000:
            return chr(point)
        if not code and plain in _PLAIN:
            return _PLAIN[plain]
        on_bad_escape(match.start() + offset, match.end() + offset)
        return match[0]

    return escapes.sub(unescape, text)


_VALUE = "\0"  # stands for a value while the text around it is dedented


def interpolated_texts(
    raws: Sequence[str], on_bad_escape: Callable[[int, int, int], None]
) -> tuple[str, ...]:
    """The texts around the values of an f-string, from its pieces as written.

    Triple-quoted text has no escapes, and is dedented as a whole. `on_bad_escape` gets the number
    of a piece, and the start and end of the bad escape within it.
    """
    if raws[0].startswith('f"""'):
        inner = [raws[0][4:], *(raw[1:] for raw in raws[1:])]
        inner = [raw[:-1] for raw in inner[:-1]] + [inner[-1][:-3]]
        whole = _VALUE.join(text.replace(_VALUE, "") for text in inner)
        texts = inspect.cleandoc(whole.replace("\r\n", "\n")).split(_VALUE)
        return tuple(text.replace("{{", "{").replace("}}", "}") for text in texts)
    starts = [2, *(1 for _ in raws[1:])]  # behind `f"` or `}`
    return tuple(
        _unescaped(_INSIDE, raw[start:-1], start, partial(on_bad_escape, number))
        for number, (raw, start) in enumerate(zip(raws, starts))
    )


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


def quote_inside(text: str) -> str:
    """Write a text as it stands within a one-line f-string, without the quotes."""
    return "".join(c + c if c in "{}" else _quote_character(c) for c in text)


def _quote_character(c: str) -> str:
    shown = c.isprintable() or 0xD800 <= ord(c) < 0xE000  # a lone surrogate has no escape
    return _UNPRINTED.get(c) or (c if shown else f"\\u{{{ord(c):x}}}")
