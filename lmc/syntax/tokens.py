"""The scanner: text to tokens, by the terminals of the grammar.

It accepts any text. A piece that is not a token of the language gets a kind that no rule accepts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lmc.source import Source
from lmc.syntax.tables import tables

END = "$END"
COMMENT = "COMMENT"

# The pieces of an f-string: the first up to a value or the end, and what is behind a value.
_SHORT_TEXT = r'(?:\\u\{[0-9A-Fa-f]{1,6}\}|\\.|\{\{|\}\}|[^"\\\n{}])*+'
_LONG_TEXT = r'(?:\{\{|\}\}|(?!""")[^{}])*+'
_SHORT_START, _LONG_START = rf'f"(?!""){_SHORT_TEXT}', rf'f"""{_LONG_TEXT}'

# Kinds that no rule accepts. These patterns are tried before the language's own terminals ...
_WRONG_FIRST = {
    "WRONG_SIGN": r"&&|\|\||===|!==|:=|<>|//|/\*|\*\*|\+=|-=|!(?!=)|[;$@^~`&\\]",
    "LONE_BRACE": rf'{_SHORT_START}\}}[^"\n]*"?|{_LONG_START}\}}[^\n]*',
    "BAD_NUMBER": r"(?!\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?(?!\w|\.\d))\d\w*(?:\.\w+)*",
}
# ... and these after them.
_WRONG_LAST = {
    "OPEN_LONG_STRING": r'"""[\s\S]*',
    "OPEN_STRING": r'r?"(?:\\.|[^"\\\n])*',
    "QUOTED": r"'(?:\\.|[^'\\\n])*'",
    "BAD_NAME": r"_\w+|[^\W\d_]\w*",
}


# Keywords inside expressions. They cannot name a value.
RESERVED = frozenset(
    [
        "if",
        "then",
        "else",
        "and",
        "or",
        "not",
        "in",
        "for",
        "match",
        "loop",
        "tune",
        "true",
        "false",
        "none",
    ]
)


class Token(NamedTuple):
    """A piece of the text and its kind: a terminal of the grammar, a wrong one, or END."""

    kind: str
    text: str
    start: int
    end: int


def tokens(source: Source) -> list[Token]:
    """Split a text into tokens, including comments, with END at the end. Accepts any text.

    A word is a KEY before `:` and an ARG before `=`. Otherwise it is a keyword if there is one,
    else a NAME. If the grammar does not expect that kind, the parser tries the next in this order.
    """
    found = _scan(source.text, 0)
    if found and found[-1].kind == "OPEN_LONG_STRING":
        found = _scan_past_open_string(source.text, found)
    end = len(source.text)
    return [*found, Token(END, "", end, end)]


def _scan(text: str, start: int) -> list[Token]:
    fixed = _fixed()
    found: list[Token] = []
    scanning = _scanner().finditer(text, start)
    while (match := next(scanning, None)) is not None:
        kind = match.lastgroup or ""
        word = match[kind]
        if kind in _BY_TEXT:
            kind = fixed.get(word, kind)
        found.append(Token(kind, word, *match.span(match.lastgroup or 0)))
        if kind == "FSTRING_START":
            scanning = _scanner().finditer(text, _scan_values(text, found))
    return found


def _scan_values(text: str, found: list[Token]) -> int:
    """Scan the rest of an f-string, whose first piece was found. Returns where it ends.

    A `}` that no `{` of the value opened goes on with the text around the value. A value is on one
    line, so that a missing `}` or quote is no more than the mistake of its line.
    """
    opens = [_Opened(found[-1].text.startswith('f"""'))]  # f-strings in one another
    at = found[-1].end
    while opens:
        match = _scanner().match(text, at)
        kind = (match.lastgroup or "") if match else END
        start, end = match.span(kind) if match else (len(text), len(text))
        if kind in ("OPEN_STRING", END) or "\n" in text[at:start]:
            quote = kind == "OPEN_STRING" and "\n" not in text[at:start]
            end = start + 1 if quote else at  # the quote was meant to end the f-string
            found.append(Token("OPEN_VALUE", text[at:end], at, end))
            return end
        if text[start] == "}" and not opens[-1].braces:
            piece = _BEHIND[opens[-1].long].match(text, start)
            assert piece is not None
            assert piece.lastgroup is not None
            found.append(Token(piece.lastgroup, piece[0], *piece.span()))
            at = piece.end()
            if piece.lastgroup != "FSTRING_MIDDLE":
                opens = opens[:-1] if piece.lastgroup == "FSTRING_END" else []
            continue
        kind = _fixed().get(text[start:end], kind) if kind in _BY_TEXT else kind
        found.append(Token(kind, text[start:end], start, end))
        opens[-1].braces += {"LBRACE": 1, "RBRACE": -1}.get(kind, 0)
        if kind == "FSTRING_START":
            opens.append(_Opened(text.startswith('f"""', start)))
        at = end
    return at


@dataclass(slots=True)
class _Opened:
    """An f-string that is being scanned: its quotes, and the open braces of a value in it."""

    long: bool
    braces: int = 0


# The piece of an f-string behind a value, by whether its quotes are triple ones.
_BEHIND = {
    long: re.compile(
        rf"(?P<FSTRING_MIDDLE>\}}{text}\{{)|(?P<FSTRING_END>\}}{text}{quotes})"
        rf'|(?P<BRACE_BEHIND>\}}{text}\}}[^"\n]*"?)|(?P<OPEN_FSTRING>\}}[^\n]*)'
    )
    for long, text, quotes in ((False, _SHORT_TEXT, '"(?!")'), (True, _LONG_TEXT, '"""'))
}


def _scan_past_open_string(text: str, found: list[Token]) -> list[Token]:
    # With an odd number of triple quotes, one text is not closed. It is likely the first one that
    # runs over the start of a declaration. From that start on, the text is scanned as code.
    for i, token in enumerate(found):
        if token.kind not in ("LONG_STRING", "OPEN_LONG_STRING"):
            continue
        if cut := declaration_line().search(text, token.start, token.end):
            opened = text[token.start : cut.start()].rstrip()
            wrong = Token("OPEN_LONG_STRING", opened, token.start, token.start + len(opened))
            return [*found[:i], wrong, *_scan(text, cut.start())]
    return found


def other_kinds(kind: str, text: str) -> tuple[str, ...]:
    """The other kinds that a word may have, in order of preference."""
    if kind in ("KEY", "ARG", "FROZEN", "ALIAS"):
        word = tables().words.get(text)
        return (word, "NAME") if word else ("NAME",)
    return ("NAME",) if kind in _keywords() else ()


_BY_TEXT = ("NAME", "SIGN")


@cache
def declaration_kinds() -> frozenset[str]:
    """The kinds of token that start a declaration."""
    return frozenset(kind for kind in tables().rows[0] if kind in _keywords())


def starts_line(source: Source, token: Token) -> bool:
    """Whether a word must be a keyword, judging by its place and by what follows it.

    This holds at the start of a declaration in the first column, and of a statement on its line.
    """
    line_start = source.text.rfind("\n", 0, token.start) + 1
    if line_start == token.start and declaration_line().match(source.text, line_start):
        return True
    statement = _STATEMENT_LINE.match(source.text, line_start)
    return statement is not None and statement.start(1) == token.start


_STATEMENT_LINE = re.compile(r'[ \t]*(let|keep|return|yield|assert|stub)[ \t]+["\w]')


@cache
def declaration_line() -> re.Pattern[str]:
    """A pattern for the start of a line that starts a declaration, or closes one."""
    kinds = declaration_kinds()
    words = "|".join(word for word, kind in tables().words.items() if kind in kinds)
    return re.compile(rf'^(?:\}}|(?:{words})[ \t]+["{{A-Za-z])', re.MULTILINE)


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
