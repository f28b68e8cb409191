"""The source text of what was read from a JSON Schema."""

from __future__ import annotations

from itertools import pairwise

from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.parser import parse
from lmc.syntax.printer import format_source
from lmc.syntax.unparse import print_tree
from lmc.values.schema_import import Imported


def program_text(imported: Imported, origin: str) -> str:
    """A program with the declarations, and a comment with what it does not say."""
    source = Source("imported", "")
    tree = n.FileTree(source, imported.decls, span=Span(source, 0, 0))
    notes = (f"{pointer}: {note}" for pointer, note in imported.notes)
    lines = [f"Written by `lmc import` from {origin}.", *notes]
    head = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    return format_source(Source("imported", f"{head}\n{_in_lines(print_tree(tree))}"))


def _in_lines(text: str) -> str:
    """A program with a line for each field and variant, where there are several."""
    tree, _ = parse(Source("imported", text))
    starts = [
        part.span.start
        for decl in tree.decls
        if isinstance(decl, n.RecordDecl | n.EnumDecl)
        for part in (decl.fields if isinstance(decl, n.RecordDecl) else decl.variants)
    ]
    ends = [*starts, len(text)]
    pieces = [text[: ends[0]], *(text[a:b] for a, b in pairwise(ends))]
    return "\n".join(piece.rstrip(" ") for piece in pieces)
