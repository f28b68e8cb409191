"""Text -> tokens, by the terminals of the grammar.

Nothing is refused here: what is no token of the language gets a kind that no rule accepts.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from lmc.source import Source
from lmc.syntax.tables import tables

END = "$END"
COMMENT = "COMMENT"

# Kinds that no rule accepts: these patterns go before the language's own terminals ...
_WRONG_FIRST = {
    "WRONG_SIGN": r"&&|\|\||===|!==|:=|<>|//|/\*|\*\*|\+=|-=|!(?!=)|[;$@^~`&\\]",
    "BAD_NUMBER": r"(?!\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?(?!\w))\d\w*(?:\.\w+)*",
}
# ... and these take what the language's own leave over.
_WRONG_LAST = {
    "OPEN_LONG_STRING": r'"""[\s\S]*',
    "OPEN_STRING": r'r?"(?:\\.|[^"\\\n])*',
    "QUOTED": r"'(?:\\.|[^'\\\n])*'",
    "BAD_NAME": r"_\w+|[^\W\d_]\w*",
}


class Token(NamedTuple):
    """A piece of the text and its kind: a terminal of the grammar, a wrong one, or END."""

    kind: str
    text: str
    start: int
    end: int


def tokens(source: Source) -> list[Token]:
    """Split a text into tokens, comments too, and END at the end. Takes any text.

    A word is a KEY before `:`, an ARG before `=`, else a keyword if there is one, else a NAME;
    the parser takes it for the next of these where the grammar does not expect the first.
    """
    text, fixed = source.text, _fixed()
    found = []
    for match in _scanner().finditer(text):
        kind = match.lastgroup or ""
        start, end = match.span(kind)
        word = match[kind]
        if kind in _BY_TEXT:
            kind = fixed.get(word, kind)
        found.append(Token(kind, word, start, end))
    found.append(Token(END, "", len(text), len(text)))
    return found


def other_kinds(token: Token) -> tuple[str, ...]:
    """Tell what else a word may be, in order of preference."""
    if token.kind in ("KEY", "ARG", "FROZEN"):
        word = tables().words.get(token.text)
        return (word, "NAME") if word else ("NAME",)
    return ("NAME",) if token.text.isalnum() and token.kind in _keywords() else ()


_BY_TEXT = ("NAME", "SIGN")


@cache
def _fixed() -> dict[str, str]:
    return tables().words | tables().signs


@cache
def _keywords() -> frozenset[str]:
    return frozenset(tables().words.values())


@cache
def _scanner() -> re.Pattern[str]:
    signs = sorted(map(re.escape, tables().signs), key=len, reverse=True)
    kinds = [
        *_WRONG_FIRST.items(),
        *((name, pattern) for name, pattern in tables().terminals if name[0] != "_"),
        *_WRONG_LAST.items(),
        ("SIGN", "|".join(signs)),
        ("STRAY", "."),
    ]
    body = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds)
    return re.compile(rf"[ \t\r\n]*+(?:{body})", re.DOTALL)
