"""The formatter: prints a program in one style and keeps its comments.

It changes only whitespace, never a token. It keeps the author's line breaks and the alignment over
consecutive lines. It sets indentation, spaces, blank lines and the breaks between declarations.
"""

from __future__ import annotations

from lmc.diagnostics import LmcError
from lmc.source import Source
from lmc.syntax.alignment import aligned_gaps
from lmc.syntax.layout import Line, Piece, break_lines, lay_out, natural_gaps, pieces_of
from lmc.syntax.parser import parse

_ROUNDS = 8


def format_source(source: Source) -> str:
    """Format a program; formatting the result changes nothing.

    Raises: LmcError with the syntax errors of a text that does not parse.
    """
    module, diagnostics = parse(source)
    if diagnostics:
        raise LmcError(*diagnostics)
    text = source.text
    for _ in range(_ROUNDS):  # moving one column may align others
        before, text = text, _format_once(text)
        if text == before:
            break
    assert parse(Source(source.name, text))[0] == module, "formatting changed the program"
    return text


def _format_once(text: str) -> str:
    pieces = pieces_of(Source("", text))
    gaps = natural_gaps(pieces)
    break_lines(pieces, gaps)
    lines = lay_out(pieces, aligned_gaps(lay_out(pieces, gaps), gaps))
    return "".join(map(_text, lines))


def _text(line: Line) -> str:
    parts = ["\n"] if line.pieces[0].newlines > 1 else []
    end = 0
    for column, piece in zip(line.columns, line.pieces):
        parts += [" " * (column - end), _shifted(piece, line.indent)]
        end = column + len(piece.text)
    return "".join(parts) + "\n"


def _shifted(piece: Piece, indent: int) -> str:
    """Indent the later lines of a triple-quoted text along with its first line."""
    first, *rest = piece.text.splitlines(keepends=False) if "\n" in piece.text else [piece.text]
    shift = indent - piece.old_indent
    if not rest or not shift or "\t" in piece.text:
        return piece.text
    shift = max(shift, -min((len(s) - len(s.lstrip()) for s in rest if s.strip()), default=0))
    moved = [(" " * shift + s if shift > 0 else s[-shift:]) if s.strip() else s for s in rest]
    return "\n".join([first, *moved])
