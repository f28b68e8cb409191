"""What may stand at a cursor: the text before it is read up to there, the rest is closed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmc.editor.inspected import path_to
from lmc.frozen import frozen
from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.builder import TreeBuilder
from lmc.syntax.parser import parse
from lmc.syntax.recovery import CLOSING, OPENING
from lmc.syntax.stack import Stack, TooDeep
from lmc.syntax.tables import tables
from lmc.syntax.tokens import COMMENT, END, Token, declaration_kinds, declaration_line, tokens

STAND_IN = "lmc_cursor"  # stands for the word that is being written
_WORD_BEFORE = re.compile(r"[A-Za-z_]\w*\Z")
_WORD_AFTER = re.compile(r"\w*")
_OPEN_TEXTS = ("OPEN_STRING", "OPEN_LONG_STRING", "OPEN_FSTRING")
# What may have to follow the word so that its declaration can be read, the likeliest first.
_FOLLOWING = (
    "", ": 0", ": str", " = 0", ": str = 0", " => 0", " then 0 else 0", " { }", "() -> str",
    "() -> 0", " -> str", " -> 0", ' from "a:b"', " in [0]", ", true",
)  # fmt: skip
MOST_BEFORE = 100_000  # characters of a declaration that are read


@frozen
class Cursor:
    """A place in a text: the word at it, the declaration around, and the tokens before it."""

    source: Source
    start: int  # of the word
    end: int
    offset: int
    declaration: int  # where the declaration around begins
    next: int  # where the next one begins
    before: tuple[Token, ...]  # of the declaration, up to the word; offsets are those of the text

    @property
    def word(self) -> str:
        """What is written of the word up to the cursor."""
        return self.source.text[self.start : self.offset]

    @property
    def in_comment(self) -> bool:
        """Whether the cursor stands in a comment."""
        last = self.before[-1] if self.before else None
        return last is not None and last.kind == COMMENT and last.end == self.start

    @property
    def open_text(self) -> Token | None:
        """The text in which the cursor stands."""
        last = self.before[-1] if self.before else None
        return last if last is not None and last.kind in _OPEN_TEXTS else None

    @property
    def code(self) -> list[Token]:
        """The tokens before the word, without comments and what only marks the end."""
        return [t for t in self.before if t.kind not in (COMMENT, "OPEN_VALUE")]


def cursor_at(source: Source, offset: int) -> Cursor:
    """Look at a place in a text."""
    text = source.text
    found = _WORD_BEFORE.search(text, max(0, offset - 200), offset)
    start = found.start() if found else offset
    after = _WORD_AFTER.match(text, offset)
    end = after.end() if after else offset
    first = _declaration_before(text, start)
    following = next(_starts(text, end), len(text))
    head = Source(source.name, text[first:start])
    before = tuple(
        Token(t.kind, t.text, t.start + first, t.end + first) for t in tokens(head) if t.kind != END
    )
    return Cursor(source, start, end, offset, first, following, before)


def _starts(text: str, after: int) -> Iterator[int]:
    return (m.start() for m in declaration_line().finditer(text, after) if m[0] != "}")


def _declaration_before(text: str, offset: int) -> int:
    low = max(0, offset - MOST_BEFORE)
    found = low
    for at in _starts(text, low):
        if at >= offset:
            break
        found = at
    return found


# --- grammar ---


def expected(cursor: Cursor) -> set[str]:
    """The kinds of token that may stand at the cursor."""
    source = Source("", cursor.source.text[: cursor.start])
    stack = Stack(TreeBuilder(source))
    try:
        for token in cursor.code:
            if not stack.feed(token):
                return set()
    except TooDeep:
        return set()
    return set(stack.expected())


def words_of(kinds: set[str]) -> list[str]:
    """The words of the language among some kinds of token."""
    return [word for word, kind in tables().words.items() if kind in kinds]


# --- the declaration, read as if the word were there and the rest closed ---


@frozen
class Filled:
    """The text with a word at the cursor, such that its declaration can be read."""

    source: Source
    path: tuple[nodes.SyntaxNode, ...]  # of the declaration alone
    start: int


def filled(cursor: Cursor, word: str = STAND_IN) -> Filled | None:
    """The text with a word at the cursor; None if no declaration can be made of it."""
    text, first = cursor.source.text, cursor.declaration
    prefix = text[first : cursor.start] + word
    for piece in (prefix + text[cursor.end : cursor.next], *_closed(cursor, prefix)):
        if (path := _read(piece, cursor.start - first)) is not None:
            whole = text[:first] + piece + "\n" + text[cursor.next :]
            return Filled(Source(cursor.source.name, whole, cursor.source.path), path, cursor.start)
    return None


def _closed(cursor: Cursor, prefix: str) -> Iterator[str]:
    closing = _closers(cursor.code)
    return (f"{prefix}{following}{closing}" for following in _FOLLOWING)


def _read(piece: str, at: int) -> tuple[nodes.SyntaxNode, ...] | None:
    tree, wrong = parse(Source("", piece))
    path = path_to(tree, at)
    return tuple(path) if path and not wrong else None


def _closers(code: list[Token]) -> str:
    """What closes the brackets and texts that are open, the innermost first."""
    opened: list[str] = []
    for token in code:
        match token.kind:
            case "FSTRING_START":
                opened.append('"""' if token.text.startswith('f"""') else '"')
            case "FSTRING_END" if opened:
                opened.pop()
            case kind if kind in OPENING:
                opened.append(kind)
            case kind if kind in CLOSING and opened and opened[-1] == CLOSING[kind]:
                opened.pop()
    ends = {"LPAR": ")", "LSQB": "]", "LBRACE": "\n}"}
    return "".join(ends.get(kind) or "}" + kind for kind in reversed(opened))


# --- calls ---


@frozen
class OpenCall:
    """A call whose arguments are being written: the name, and which argument."""

    name: Token
    number: int
    named: str  # the name of the argument, where it is written
    given: frozenset[str]  # the names of the arguments before


def open_call(cursor: Cursor) -> OpenCall | None:
    """The innermost call around the cursor."""
    depth = 0
    code = cursor.code
    for i in range(len(code) - 1, 0, -1):
        kind = code[i].kind
        if kind in CLOSING:
            depth += 1
        elif kind in OPENING and depth:
            depth -= 1
        elif kind == "LPAR" and code[i - 1].text.isidentifier():
            if i > 1 and code[i - 2].kind in declaration_kinds() - {"EXAMPLE"}:
                return None  # the parameters of a declaration
            return _call(code[i - 1], code[i + 1 :])
        elif kind == "LBRACE":
            return None
    return None


def _call(name: Token, inside: list[Token]) -> OpenCall:
    number, depth, named, given = 0, 0, "", set()
    for i, token in enumerate(inside):
        depth += (token.kind in OPENING) - (token.kind in CLOSING)
        if depth:
            continue
        if token.kind == "COMMA":
            number, named = number + 1, ""
        elif token.kind == "EQUAL" and i:
            named = inside[i - 1].text
            given.add(named)
    return OpenCall(name, number, named, frozenset(given))
