"""Definitions, references and renames, over all programs of the workspace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lmc.diagnostics import LmcError
from lmc.editor.inspected import Inspected, Inspector
from lmc.editor.symbols import Mentioned, Place, Symbol
from lmc.source import Source
from lmc.syntax.tokens import RESERVED
from lmc.types import BUILTIN_RECORDS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_TAKEN = frozenset(("str", "int", "float", "bool", "json", "list", "dict", *BUILTIN_RECORDS))
MOST_PROGRAMS = 400  # that are searched

Edits = dict[str, list[tuple[int, int, str]]]  # by the names of files


def references(
    inspector: Inspector, seen: Inspected, places: set[Place]
) -> Mapping[str, tuple[Source, list[Mentioned]]]:
    """Where some symbols are named, in all programs of the workspace, by file."""
    names = {seen.symbols[place].ident.name for place in places if place in seen.symbols}
    found: dict[str, dict[tuple[int, int], Mentioned]] = {}
    sources: dict[str, Source] = {}
    for program in _programs(inspector, seen, names):
        for name, mention in program.mentions_of(places):
            found.setdefault(name, {})[mention.start, mention.end] = mention
            sources[name] = program.trees[name].source
    return {
        name: (sources[name], sorted(mentions.values(), key=lambda m: m.start))
        for name, mentions in found.items()
    }


def _programs(inspector: Inspector, seen: Inspected, names: set[str]) -> Iterator[Inspected]:
    """The program itself, and those whose text has one of the names."""
    yield seen
    words = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b") if names else None
    left = MOST_PROGRAMS
    for name in inspector.texts.programs():
        source = inspector.texts.current(name)
        if words is None or source is None or name == seen.source.name:
            continue
        if words.search(source.text) and (program := inspector.of(name)) is not None:
            yield program
            left -= 1
        if not left:
            return


# --- renames ---


def renamable(inspector: Inspector, seen: Inspected, offset: int) -> Mentioned:
    """The name at an offset that can be renamed. Raises: LmcError[cannot-rename]."""
    mention, found = seen.mention_at(offset), seen.symbols_at(offset)
    if mention is None or not found:
        raise LmcError.of("cannot-rename", "here is no name that the program declares")
    for symbol in found:
        if inspector.texts.is_library(symbol.ident.span.source) and not _is_alias(
            seen, mention, symbol
        ):
            source = symbol.ident.span.source.name
            message = f"`{symbol.ident.name}` belongs to the library, {source}"
            help = "import it under another name: `import name as other`"
            raise LmcError.of("cannot-rename", message, help=help)
    return mention


def rename(inspector: Inspector, seen: Inspected, offset: int, new: str) -> Edits:
    """The edits that give a name another one, wherever it stands.

    Raises: LmcError[cannot-rename] for what is no name, and where programs would then be wrong.
    """
    mention = renamable(inspector, seen, offset)
    old = seen.source.text[mention.start : mention.end]
    if not _NAME.match(new) or new in RESERVED or new in _TAKEN:
        raise LmcError.of("cannot-rename", f"`{new}` cannot be a name")
    if new == old:
        return {}
    symbol = seen.symbols_at(offset)[0]
    places = set(mention.places)
    found = references(inspector, seen, places)
    if _is_alias(seen, mention, symbol):
        found = {name: pair for name, pair in found.items() if name == seen.source.name}
    edits: Edits = {}
    for name, (source, mentions) in found.items():
        same = [m for m in mentions if source.text[m.start : m.end] == old]
        if same:
            edits[name] = [(m.start, m.end, new) for m in same]
            if inspector.texts.is_library(source):
                raise LmcError.of("cannot-rename", f"the library, {name}, names it too")
    _refuse_mistakes(inspector, seen, edits, new)
    return edits


def _is_alias(seen: Inspected, mention: Mentioned, symbol: Symbol) -> bool:
    """Whether a name is the other name under which a file imports something."""
    return seen.source.text[mention.start : mention.end] != symbol.ident.name


def applied(text: str, edits: list[tuple[int, int, str]]) -> str:
    """A text after some edits, which do not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _refuse_mistakes(inspector: Inspector, seen: Inspected, edits: Edits, new: str) -> None:
    """Check the changed programs. Raises: LmcError[cannot-rename] if one has more mistakes."""
    changed: dict[str, Source] = {}
    for name, parts in edits.items():
        source = inspector.texts.read(name)
        changed[name] = Source(name, applied(source.text, parts), source.path)
    for name in {*edits, seen.source.name}:
        before = inspector.of(name)
        if before is None:
            continue
        after = inspector.with_texts(changed).inspect(changed.get(name, before.source))
        told = {(d.code, d.severity) for d in before.found}
        worse = [d for d in after.found if (d.code, d.severity) not in told]
        errors = [d for d in worse if d.severity == "error"]
        if errors:
            message = f"with the name `{new}`, {errors[0].span or name}: {errors[0].message}"
            raise LmcError.of("cannot-rename", message)
