"""Error recovery: where to go on after a syntax error, so that one run reports all of them."""

from __future__ import annotations

from lmc.frozen import frozen
from lmc.source import Source
from lmc.syntax.stack import Stack
from lmc.syntax.tokens import END, Token, declaration_kinds

OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSING = {close: open for open, close in OPENING.items()}

_STATEMENTS = frozenset(("LET", "RETURN", "YIELD", "ASSERT", "STUB"))
_ITEMS = ("stmt", "setting", "field", "variant")

# The token that a wrong one most likely stands for. The parser goes on as if it were written.
_MEANT = {
    "QUOTED": ("STRING", '""'),
    "OPEN_STRING": ("STRING", '""'),
    "OPEN_LONG_STRING": ("LONG_STRING", '""""""'),
    "LONE_BRACE": ("FSTRING", 'f""'),
    **dict.fromkeys(("OPEN_VALUE", "OPEN_FSTRING", "BRACE_BEHIND"), ("FSTRING_END", '}"')),
    "BAD_NUMBER": ("NUMBER", "0"),
    "BAD_NAME": ("NAME", "name"),
    "&&": ("AND", "and"),
    "||": ("OR", "or"),
    "===": ("COMPARE", "=="),
    "!==": ("COMPARE", "!="),
    "<>": ("COMPARE", "!="),
    "**": ("STAR", "*"),
    ":=": ("EQUAL", "="),
    "!": ("NOT", "not"),
}


@frozen
class Resumption:
    """The index of the token to go on with, and how many values stay on the stack."""

    index: int
    height: int


def stand_in(token: Token) -> Token | None:
    """The token that a wrong one most likely stands for, or None."""
    meant = _MEANT.get(token.kind) or _MEANT.get(token.text)
    return meant and Token(meant[0], meant[1], token.start, token.end)


def open_brackets(stack: Stack) -> list[int]:
    """The stack heights of the open brackets, outermost first."""
    opens: list[int] = []
    for height in range(1, len(stack.states)):
        symbol = stack.symbol(height)
        if symbol in OPENING:
            opens.append(height)
        elif symbol in CLOSING:
            opens.pop()
    return opens


def next_good_place(source: Source, stack: Stack, found: list[Token], i: int) -> Resumption:
    """Find the next declaration, statement, setting or closing brace to go on with."""
    opens = open_brackets(stack)
    inner = 0  # brackets opened since the error
    for index in range(i, len(found)):
        token = found[index]
        if token.kind == END or starts_declaration(source, found, index, bool(opens)):
            return Resumption(index, stack.top_level())
        if token.kind == "RBRACE" and opens and _column(source, token) == 1:
            opens, inner = opens[:1], 0
        if token.kind in OPENING:
            inner += 1
        elif token.kind in CLOSING and inner:
            inner -= 1
        elif token.kind in CLOSING and opens:
            if token.kind == "RBRACE" and (place := _closes_block(stack, opens, index)):
                return place
            if opens and OPENING[stack.symbol(opens[-1])] == token.kind:
                opens.pop()
        elif opens and not inner and (place := _starts_item(source, stack, opens, found, index)):
            return place
    return Resumption(len(found) - 1, stack.top_level())


def starts_declaration(source: Source, found: list[Token], i: int, nested: bool) -> bool:
    """Whether a declaration likely starts here; inside brackets only in the first column."""
    token = found[i]
    if token.kind not in declaration_kinds():
        return False
    if _column(source, token) == 1 or nested:
        return _column(source, token) == 1
    return token.kind != "FROM" and found[i + 1].kind in ("NAME", "STRING")


def _closes_block(stack: Stack, opens: list[int], index: int) -> Resumption | None:
    """Find the innermost block that a `}` may close. Brackets left open in it are dropped."""
    while opens:
        height = opens[-1]
        if stack.symbol(height) == "LBRACE":
            if _item_of(stack, height):
                return Resumption(index, _height_of_list(stack, height))
            return None
        opens.pop()
    return None


def _starts_item(
    source: Source, stack: Stack, opens: list[int], found: list[Token], index: int
) -> Resumption | None:
    token = found[index]
    if not _is_first_on_line(source, token):
        return None
    for height in reversed(opens):
        item = _item_of(stack, height)
        if item == "stmt" and token.kind in _STATEMENTS:
            return Resumption(index, _height_of_list(stack, height))
        if item in ("setting", "field") and token.kind == "KEY" and height == opens[-1]:
            return Resumption(index, _height_of_list(stack, height))
    return None


def _item_of(stack: Stack, height: int) -> str | None:
    """The kind of item that the braces opened at a height contain."""
    row = stack.rows[stack.states[height]]
    return next((item for item in _ITEMS if item in row), None)


def _height_of_list(stack: Stack, height: int) -> int:
    while height + 1 < len(stack.states):
        symbol = stack.symbol(height + 1)
        if "doc" not in symbol and not symbol.startswith("__"):
            break
        height += 1
    return height


def _column(source: Source, token: Token) -> int:
    return token.start - source.text.rfind("\n", 0, token.start)


def _is_first_on_line(source: Source, token: Token) -> bool:
    line_start = source.text.rfind("\n", 0, token.start) + 1
    return not source.text[line_start : token.start].strip()
