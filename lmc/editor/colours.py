"""Semantic tokens: colours by what names mean, for a text that may have mistakes."""

from __future__ import annotations

from collections.abc import Iterator

from lmc.check.builtins import NAMES
from lmc.check.optimizers import SIGNATURES
from lmc.editor.inspected import Inspected
from lmc.editor.positions import Positions
from lmc.editor.wording import METRICS
from lmc.editor.wording import TYPES as WORDS_OF_TYPES
from lmc.syntax.tables import tables
from lmc.syntax.tokens import END, Token, tokens

TYPES = (
    "namespace", "type", "enum", "struct", "parameter", "variable", "property", "enumMember",
    "function", "keyword", "comment", "string", "number", "regexp", "operator",
)  # fmt: skip
MODIFIERS = ("declaration", "readonly", "defaultLibrary", "documentation")

_OF_SYMBOL = {
    **dict.fromkeys(("generate", "critique", "refine", "vote", "search", "agent"), "function"),
    **dict.fromkeys(("route", "pipeline", "metric", "tool"), "function"),
    **{"record": "struct", "enum": "enum", "type": "type", "model": "namespace"},
    **{"dataset": "namespace", "store": "namespace", "field": "property"},
    **{"variant": "enumMember", "parameter": "parameter"},
    **dict.fromkeys(("let", "loop state", "item"), "variable"),
}
_TEXTS = ("STRING", "LONG_STRING", "FSTRING", "FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
_OPEN = ("OPEN_STRING", "OPEN_LONG_STRING", "OPEN_FSTRING", "QUOTED")
_WORDS = ("KEY", "NAME", "ARG", "ALIAS", "FROZEN", "BAD_NAME")
_OPERATORS = frozenset(
    ("PERCENT", "STAR", "PLUS", "MINUS", "SLASH", "COMPARE", "COALESCE", "ARROW", "FAT_ARROW")
)
_BUILTIN_TYPES = frozenset(WORDS_OF_TYPES)

Coloured = tuple[int, int, str, tuple[str, ...]]


def colour(seen: Inspected) -> Iterator[Coloured]:
    """The coloured parts of the entry file, in order: start, end, type and modifiers."""
    meant = {mention.start: mention for mention in seen.mentions(seen.source.name)}
    found = [token for token in tokens(seen.source) if token.kind != END]
    for i, token in enumerate(found):
        mention = meant.get(token.start)
        symbol = seen.symbols.get(mention.places[0]) if mention is not None else None
        if symbol is not None and mention is not None and mention.end == token.end:
            declared = symbol.ident.span.start == token.start
            own = declared and symbol.ident.span.source.name == seen.source.name
            kind = _OF_SYMBOL.get(symbol.kind, "variable")
            yield token.start, token.end, kind, ("declaration",) * own
        else:
            after = found[i + 1].kind if i + 1 < len(found) else END
            kind, modifiers = _plain(token, after)
            if kind:
                yield token.start, token.end, kind, modifiers


def _plain(token: Token, after: str) -> tuple[str, tuple[str, ...]]:
    """The colour of a token by its own looks."""
    kind = token.kind
    if kind == "COMMENT":
        return "comment", ()
    if kind in _TEXTS or kind in _OPEN:
        if token.text.startswith('r"'):
            return "regexp", ()
        return "string", ("documentation",) * (kind == "LONG_STRING")
    if kind == "NUMBER":
        return "number", ()
    if kind in _WORDS:
        return _word(token, after)
    if kind in tables().words.values():
        return "keyword", ()
    return ("operator", ()) if kind in _OPERATORS else ("", ())


def _word(token: Token, after: str) -> tuple[str, tuple[str, ...]]:
    if token.kind in ("KEY", "ARG"):
        return "property", ()
    if token.kind == "FROZEN":
        return "keyword", ()
    if token.text in _BUILTIN_TYPES:
        return "type", ("defaultLibrary",)
    if token.text in NAMES or token.text in SIGNATURES or token.text in METRICS:
        return "function", ("defaultLibrary",)
    return ("function" if after == "LPAR" else "variable"), ()


def encoded(coloured: Iterator[Coloured], places: Positions) -> list[int]:
    """The parts as the protocol wants them: five numbers each, relative to the one before."""
    data: list[int] = []
    line = character = 0
    for start, end, kind, modifiers in coloured:
        bits = sum(1 << MODIFIERS.index(name) for name in modifiers)
        for low, high in places.pieces(start, end):
            at, until = places.position(low), places.position(high)
            new_line = at.line - line
            data += [
                new_line, at.character if new_line else at.character - character,
                until.character - at.character, TYPES.index(kind), bits,
            ]  # fmt: skip
            line, character = at.line, at.character
    return data
