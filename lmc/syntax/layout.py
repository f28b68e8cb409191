"""The formatter's layout: where lines break, how far they are indented, and the spaces in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lmc.frozen import frozen
from lmc.source import Source
from lmc.syntax.builder import TreeBuilder
from lmc.syntax.recovery import CLOSING, OPENING
from lmc.syntax.stack import Stack
from lmc.syntax.tokens import COMMENT, END, tokens

WIDTH = 100
INDENT = 2

_ITEMS = ("decl", "doc", "plain_doc", "stmt", "setting", "field", "variant", "arm")


@dataclass(slots=True)
class Piece:
    """A token or comment, and the facts that decide its place.

    `kind` is the kind that the parser gave it. `item` is true if it starts a declaration, a
    statement or another item in braces. `block` is true for a brace around items. `partner` is the
    index of the matching bracket. `newlines`, `gap`, `column` and `old_indent` describe the
    author's text.
    """

    kind: str
    text: str
    item: bool
    block: bool
    newlines: int
    gap: int
    column: int
    old_indent: int
    partner: int = -1


@dataclass(slots=True)
class Line:
    """One line of the result: its pieces, and the column where each starts."""

    first: int  # index of its first piece
    indent: int
    pieces: list[Piece] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    depth: int = 0  # open brackets after its first piece
    end: int = 0

    def add(self, piece: Piece, gap: int) -> None:
        """Put a piece at the end of the line."""
        self.columns.append(self.end + gap if self.pieces else self.indent)
        self.pieces.append(piece)
        self.end = self.columns[-1] + len(piece.text)


def pieces_of(source: Source) -> list[Piece]:
    """Split a program without syntax errors into pieces, with the author's places."""
    stack = Stack(TreeBuilder(source))
    pieces: list[Piece] = []
    opens: list[int] = []
    end = 0
    inside = 0  # f-strings around the token: with all that is in it, one is a single piece
    for token in tokens(source):
        if token.kind == END:
            break
        kind, item, block = COMMENT, False, False
        if token.kind != COMMENT:
            stack.feed(token)
            kind = stack.symbol(len(stack.states) - 1)
            inside += {"FSTRING_START": 1, "FSTRING_END": -1}.get(kind, 0)
            if inside > (kind == "FSTRING_START") or kind == "FSTRING_END":
                pieces[-1].text += source.text[end : token.end].replace("\r\n", "\n")
                end = token.end
                continue
            kind = "SLICE" if kind == "COLON" and _in_index(pieces, opens) else kind
            item = kind not in CLOSING and _any_of(_ITEMS, stack.rows[stack.states[-2]])
            block = kind == "LBRACE" and _any_of(_ITEMS, stack.rows[stack.states[-1]])
        line_start = source.text.rfind("\n", 0, token.start) + 1
        line = source.text[line_start : token.start]
        between = source.text[end : token.start]
        piece = Piece(
            kind,
            token.text.rstrip() if kind == COMMENT else token.text.replace("\r\n", "\n"),
            item,
            block,
            between.count("\n"),
            len(between),
            len(line),
            len(line) - len(line.lstrip()) if line.strip() else len(line),
        )
        if kind in OPENING:
            opens.append(len(pieces))
        elif kind in CLOSING:
            piece.partner = opens.pop()
            pieces[piece.partner].partner = len(pieces)
        pieces.append(piece)
        end = token.end
    return pieces


def _in_index(pieces: list[Piece], opens: list[int]) -> bool:
    return bool(opens) and pieces[opens[-1]].kind == "LSQB"


def _any_of(names: tuple[str, ...], row: Mapping[str, int]) -> bool:
    return any(name in row for name in names)


def lay_out(pieces: list[Piece], gaps: Sequence[int]) -> list[Line]:
    """Put pieces into lines. `gaps` are the spaces before each piece that does not start a line."""
    lines: list[Line] = []
    opens = [_Bracket(0, 0, items=True)]
    for i, (piece, gap) in enumerate(zip(pieces, gaps)):
        starts_line = i == 0 or piece.newlines > 0
        if starts_line:
            lines.append(Line(i, _indent(pieces, i, opens[-1])))
        line = lines[-1]
        line.add(piece, gap)
        if piece.kind in CLOSING:
            opens.pop()
        if starts_line:
            line.depth = len(opens)
        if piece.kind in OPENING:
            opens.append(_opened(pieces, i, line, opens))
    return lines


@frozen
class _Bracket:
    """The indentation of the lines inside a bracket (`inner`) and of the closing one (`outer`)."""

    inner: int
    outer: int
    items: bool


def _opened(pieces: list[Piece], i: int, line: Line, opens: list[_Bracket]) -> _Bracket:
    piece, after = pieces[i], pieces[i + 1]
    if not after.newlines and after.kind != COMMENT and not piece.block:
        return _Bracket(line.columns[-1] + 1, line.indent, items=False)
    # A brace at the end of a head that itself takes several lines belongs to the head's start.
    outer = line.indent if line.depth == len(opens) else opens[-1].inner
    return _Bracket(outer + INDENT, outer, piece.block)


def _indent(pieces: list[Piece], i: int, around: _Bracket) -> int:
    piece = pieces[i]
    if piece.kind in CLOSING:
        return around.outer
    if piece.item or piece.kind == COMMENT or not around.items or i == 0:
        return around.inner
    after_block = piece.kind == "ELSE" and pieces[i - 1].kind == "RBRACE"
    return around.inner + (0 if after_block else INDENT)


_OPERANDS = frozenset(("NAME", "NUMBER", "STRING", "LONG_STRING", "TRUE", "FALSE", "NONE",
                       "FSTRING", "FSTRING_START", "RPAR", "RSQB", "RBRACE"))  # fmt: skip
_NO_GAP_BEFORE = frozenset(("RPAR", "RSQB", "COMMA", "COLON", "SLICE", "QMARK", "OPTIONAL_DOT"))
_NO_GAP_AFTER = frozenset(("LPAR", "LSQB", "DOT", "OPTIONAL_DOT", "RANGE", "SLICE"))


def natural_gaps(pieces: list[Piece]) -> list[int]:
    """The spaces before each piece if nothing is aligned."""
    return [_gap(pieces, i) if i else 0 for i in range(len(pieces))]


def _gap(pieces: list[Piece], i: int) -> int:
    piece, previous = pieces[i], pieces[i - 1]
    kind, after = piece.kind, previous.kind
    if kind == COMMENT:
        return 2
    if kind in _NO_GAP_BEFORE or after in _NO_GAP_AFTER:
        return 0
    if kind == "RBRACE" or after == "LBRACE":
        brace = previous if after == "LBRACE" else pieces[piece.partner]
        return int(brace.block and not (kind == "RBRACE" and after == "LBRACE"))
    if kind in ("DOT", "RANGE"):
        return int(after not in _OPERANDS and not _names_argument(pieces, i - 1))
    if kind in ("LPAR", "LSQB"):
        return int(after not in _OPERANDS | {"TUNE"} and not _names_argument(pieces, i - 1))
    if _names_argument(pieces, i) or _names_argument(pieces, i - 1):
        return 0
    return int(not (after == "MINUS" and (i < 2 or pieces[i - 2].kind not in _OPERANDS)))


def _names_argument(pieces: list[Piece], i: int) -> bool:
    return i > 0 and pieces[i].kind == "EQUAL" and pieces[i - 1].kind == "ARG"


def break_lines(pieces: list[Piece], gaps: Sequence[int]) -> None:
    """Decide where lines break: where the author did, between items, and in lines too long."""
    _break_between_items(pieces)
    while sum(_wrap(pieces, line) for line in lay_out(pieces, gaps) if _is_long(line)):
        pass


def _break_between_items(pieces: list[Piece]) -> None:
    around: list[bool] = [True]  # for each open bracket: whether its items stand on their own lines
    for i, piece in enumerate(pieces):
        previous = pieces[i - 1] if i else None
        if piece.kind in CLOSING:
            own_line = around.pop()
            empty = piece.partner == i - 1
            piece.newlines = 0 if empty else 1 if own_line else min(piece.newlines, 1)
        elif piece.block and previous and previous.kind != COMMENT:
            piece.newlines = 0
        elif previous and previous.block:
            piece.newlines = min(piece.newlines, 1)
        if piece.item and around[-1]:
            piece.newlines = max(piece.newlines, 1)
        piece.newlines = min(piece.newlines, 2) if previous else 0
        if piece.kind in OPENING:
            around.append(piece.block and _spans_lines(pieces, i))


def _spans_lines(pieces: list[Piece], start: int) -> bool:
    inside = pieces[start + 1 : pieces[start].partner + 1]
    return len(inside) > 1 and any(p.newlines or "\n" in p.text for p in inside)


def _is_long(line: Line) -> bool:
    last = len(line.pieces) - 1 - (line.pieces[-1].kind == COMMENT)
    return last >= 0 and line.columns[last] + len(line.pieces[last].text) > WIDTH


def _wrap(pieces: list[Piece], line: Line) -> bool:
    """Break a line inside the brackets at its end, one item per line. False if it has none."""
    opener, end = _last_brackets(pieces, line)
    if end - opener < 2 or line.columns[opener - line.first] >= WIDTH:
        return False
    pieces[opener + 1].newlines = pieces[end].newlines = 1
    i = opener + 1
    while i < end:
        if pieces[i].kind == "COMMA" and not pieces[opener].block:
            pieces[i + 1].newlines = max(pieces[i + 1].newlines, int(pieces[i + 1].kind != COMMENT))
        elif pieces[i].item:
            pieces[i].newlines = max(pieces[i].newlines, 1)
        i = pieces[i].partner if pieces[i].kind in OPENING else i + 1
    return True


def _last_brackets(pieces: list[Piece], line: Line) -> tuple[int, int]:
    """Find the outermost brackets of a line that only a result type or a brace follows."""
    start, i = line.first, line.first + len(line.pieces) - 1
    last = -1
    while i >= start:
        kind = pieces[i].kind
        if kind in CLOSING and pieces[i].partner >= start:
            last = i
            tail = [p.kind for p in pieces[i + 1 : start + len(line.pieces)] if p.kind != COMMENT]
            if not tail or tail == ["LBRACE"] or tail[0] in ("COMMA", "ARROW"):
                return pieces[i].partner, i
            return 0, 0
        i -= 1
    return 0, last
