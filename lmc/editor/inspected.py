"""Programs as an editor sees them: checked again when one of their files changes, and only then."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from lmc.check import Inspection, inspect_program
from lmc.diagnostics import Diagnostic, Label, LmcError, warning
from lmc.editor.symbols import (
    Mentioned,
    Place,
    Symbol,
    file_mentions,
    further_mentions,
    place_of,
    symbols_of,
    walk,
)
from lmc.editor.texts import Texts
from lmc.source import Source, Span
from lmc.syntax import nodes
from lmc.syntax.parser import parse
from lmc.types import Type

if TYPE_CHECKING:
    from lmc.ir.cost import Cost
    from lmc.ir.graph import ProgramGraph

MOST_KEPT = 100  # programs that are not open
MOST_CHARS = 400_000  # of a text that is checked while somebody types
Parsed = tuple[nodes.FileTree, list[Diagnostic]]


class Inspected:
    """One program from its entry file, and what is asked about it."""

    def __init__(self, inspection: Inspection, read: Mapping[str, Source | None]) -> None:
        self.inspection, self.read = inspection, read
        self.duration_s = 0.0

    @property
    def source(self) -> Source:
        """The text of the entry file."""
        return self.inspection.program.source

    @property
    def found(self) -> list[Diagnostic]:
        """All that the checker found."""
        return self.inspection.found

    @cached_property
    def trees(self) -> dict[str, nodes.FileTree]:
        """The trees of all files, by the names of their sources."""
        return {file.tree.source.name: file.tree for file in self.inspection.files}

    @property
    def tree(self) -> nodes.FileTree:
        """The tree of the entry file."""
        return self.trees[self.source.name]

    # --- names ---

    @cached_property
    def symbols(self) -> dict[Place, Symbol]:
        """All that the files declare, by place."""
        return {s.place: s for tree in self.trees.values() for s in symbols_of(tree)}

    @cached_property
    def _mentions(self) -> dict[str, list[Mentioned]]:
        uses: dict[str, list[tuple[Span, Span]]] = {}
        for use, declared in self.inspection.context.uses:
            uses.setdefault(use.source.name, []).append((use, declared))
        found: dict[str, list[Mentioned]] = {}
        for name, tree in self.trees.items():
            own = (
                Mentioned(s.ident.span.start, s.ident.span.end, (s.place,))
                for s in symbols_of(tree)
            )
            looked_up = file_mentions(tree.source, uses.get(name, []))
            every = {(m.start, m.end): m for m in (*looked_up, *further_mentions(tree), *own)}
            found[name] = sorted(every.values(), key=lambda mention: mention.start)
        return found

    def mentions(self, name: str) -> list[Mentioned]:
        """The names in a file that mean something declared, in order."""
        return self._mentions.get(name, [])

    def mention_at(self, offset: int) -> Mentioned | None:
        """The name at an offset of the entry file, or just before it."""
        found = self.mentions(self.source.name)
        at = bisect_right(found, offset, key=lambda mention: mention.start) - 1
        return found[at] if at >= 0 and offset <= found[at].end else None

    def symbols_at(self, offset: int) -> list[Symbol]:
        """What the name at an offset means; several, if it is a field of several records."""
        mention = self.mention_at(offset)
        places = mention.places if mention else ()
        return [self.symbols[place] for place in places if place in self.symbols]

    def mentions_of(self, places: set[Place]) -> Iterator[tuple[str, Mentioned]]:
        """Where some symbols are named, by file."""
        for name in self.trees:
            for mention in self.mentions(name):
                if places.intersection(mention.places):
                    yield name, mention

    @cached_property
    def local_types(self) -> Mapping[Place, Type]:
        """The type of each name where it stands as a value."""
        known, found = self.inspection.program.types, {}
        for tree in self.trees.values():
            for decl in tree.decls:
                for node in walk(decl):
                    if isinstance(node, nodes.Var) and id(node) in known:
                        found[place_of(node.span)] = known[id(node)]
        return found

    # --- nodes ---

    def path_to(self, offset: int) -> list[nodes.SyntaxNode]:
        """The nodes around an offset of the entry file, the innermost last."""
        return path_to(self.tree, offset)

    # --- graph ---

    @cached_property
    def graph(self) -> ProgramGraph | None:
        """The graph after the compiler's passes, None for a program with mistakes."""
        from lmc.program.program import lower_checked

        if self.inspection.checked is None:
            return None
        try:
            return lower_checked(self.inspection.checked)
        except LmcError:
            return None

    @cached_property
    def costs(self) -> Mapping[str, Cost]:
        """The worst case of each module and pipeline of the entry file."""
        from lmc.ir.cost import costs

        return costs(self.graph, self.graph.exports) if self.graph is not None else {}


def path_to(tree: nodes.FileTree, offset: int) -> list[nodes.SyntaxNode]:
    """The nodes of a tree around an offset, the innermost last."""
    path: list[nodes.SyntaxNode] = []
    level: list[nodes.SyntaxNode] = list(tree.decls)
    while inner := [n for n in level if n.span.start <= offset <= n.span.end]:
        path.append(inner[-1])
        level = list(nodes.children(inner[-1]))
    return path


class Inspector:
    """Inspects programs, and keeps what it knows of each until one of its files changes."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self._trees: dict[str, tuple[Source, Parsed]] = {}
        self._known: dict[str, Inspected] = {}

    def of(self, name: str) -> Inspected | None:
        """A program by the name of its entry file, None where there is no such text."""
        known = self._known.get(name)
        if known is not None and not self.is_stale(known):
            return known
        source = self.texts.current(name)
        if source is None:
            self._known.pop(name, None)
            return None
        self._known.pop(name, None)
        known = self._known[name] = self.inspect(source)
        self._drop_oldest()
        return known

    def _drop_oldest(self) -> None:
        """Keep what is open, and a few of the others."""
        others = [name for name in self._known if name not in self.texts.buffers]
        for name in others[:-MOST_KEPT]:
            self.forget(name)

    def known(self, names: Iterable[str]) -> list[Inspected]:
        """What is known of some programs, as of their last check."""
        return [self._known[name] for name in names if name in self._known]

    def forget(self, name: str) -> None:
        """Drop what is known of a program."""
        self._known.pop(name, None)
        self._trees.pop(name, None)

    def with_texts(self, changed: Mapping[str, Source]) -> Inspector:
        """One that reads some texts otherwise, to see what an edit would do."""
        return _Trial(self, changed)

    def is_stale(self, known: Inspected) -> bool:
        """Whether a file of a program has changed, or appeared, or gone."""
        return any(self.texts.current(name) is not source for name, source in known.read.items())

    def inspect(self, source: Source) -> Inspected:
        """Check a text, which need not be what is in the editor, with its imports."""
        read: dict[str, Source | None] = {source.name: source}

        def reader(name: str) -> Source:
            read[name] = None
            read[name] = found = self.texts.read(name)
            return found

        began = time.process_time()
        if len(source.text) > MOST_CHARS:
            return self._too_large(source)
        made = Inspected(inspect_program(source, read=reader, parser=self.parsed), read)
        made.duration_s = time.process_time() - began
        return made

    def _too_large(self, source: Source) -> Inspected:
        empty = Source(source.name, "", source.path)
        made = Inspected(inspect_program(empty, parser=parse), {source.name: source})
        message = f"a text of more than {MOST_CHARS:,} characters is not checked while you type"
        help = "run `lmc check`"
        made.found.append(warning("too-large", message, Label(Span(source, 0, 0)), help=help))
        return made

    def kept(self, source: Source) -> Parsed | None:
        """What is known of a text already."""
        known = self._trees.get(source.name)
        return known[1] if known is not None and known[0] is source else None

    def parsed(self, source: Source) -> Parsed:
        """The tree of a text and its syntax errors, kept for as long as the text is the same."""
        if (known := self.kept(source)) is not None:
            return known
        made = parse(source)
        if self.texts.current(source.name) is source:
            self._trees[source.name] = source, made
        return made


class _Changed(Texts):
    """The same texts, some of them changed."""

    def __init__(self, texts: Texts, changed: Mapping[str, Source]) -> None:
        super().__init__()
        self.roots, self.buffers = texts.roots, texts.buffers
        self._texts, self._changed = texts, changed

    def read(self, name: str) -> Source:
        return self._changed.get(name) or self._texts.read(name)


class _Trial(Inspector):
    """Inspects changed texts, and takes the trees of the others from where they are kept."""

    def __init__(self, base: Inspector, changed: Mapping[str, Source]) -> None:
        super().__init__(_Changed(base.texts, changed))
        self._base = base

    def parsed(self, source: Source) -> Parsed:
        known = self._base.kept(source)
        return known if known is not None else super().parsed(source)
