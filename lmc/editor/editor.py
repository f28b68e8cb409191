"""Answers the requests of an editor, in the types of its protocol and without a connection."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile
from pathlib import Path

from lsprotocol import types as lsp

from lmc.check import import_name
from lmc.diagnostics import Diagnostic, LmcError
from lmc.editor import colours, lenses, outline
from lmc.editor.completion import Suggestion, complete
from lmc.editor.describing import Heading
from lmc.editor.findings import findings
from lmc.editor.hover import hover
from lmc.editor.inspected import MOST_CHARS, Inspected, Inspector
from lmc.editor.mends import mends
from lmc.editor.positions import UTF16, Positions, changed
from lmc.editor.renaming import references, renamable, rename
from lmc.editor.signatures import signature_at
from lmc.editor.symbols import symbols_of
from lmc.editor.texts import Texts
from lmc.source import Source, Span
from lmc.syntax import nodes
from lmc.syntax.printer import format_source

MOST_SYMBOLS = 500
MOST_COMPARED = 250_000  # pairs of lines, to find those that a formatter changed
MOST_MENDED = 8  # diagnostics of one request for actions

_SEVERITY = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
}


class Editor:
    """The texts, what is known of their programs, and an answer to each kind of question."""

    def __init__(self) -> None:
        self.encoding: str = UTF16
        self.texts = Texts()
        self.inspector = Inspector(self.texts)
        self._places: dict[str, tuple[Source, Positions]] = {}
        self._published: set[str] = set()

    # --- documents ---

    def open(self, uri: str, version: int, text: str) -> None:
        """Take a document that was opened."""
        self.texts.put(uri, version, text)

    def change(
        self, uri: str, version: int, changes: Sequence[lsp.TextDocumentContentChangeEvent]
    ) -> None:
        """Take what was typed. A change of an older version than the known one is left out."""
        known = self.texts.buffers.get(self.texts.name_of(uri))
        if known is None or version < known.version:
            return
        self.texts.put(uri, version, changed(known.source.text, changes, self.encoding))

    def close(self, uri: str) -> None:
        """Forget a document that was closed."""
        self.texts.drop(uri)
        self.inspector.forget(self.texts.name_of(uri))

    def seen(self, uri: str) -> Inspected | None:
        """The program that begins in a document."""
        return self.inspector.of(self.texts.name_of(uri))

    def places(self, source: Source) -> Positions:
        """The positions in a text."""
        known = self._places.get(source.name)
        if known is None or known[0] is not source:
            known = self._places[source.name] = source, Positions(source.text, self.encoding)
        return known[1]

    def location(self, span: Span) -> lsp.Location:
        """Where a span is."""
        return lsp.Location(self.texts.uri_of(span.source), self.places(span.source).span(span))

    def _at(
        self, uri: str, position: lsp.Position
    ) -> tuple[Inspected, Positions, int] | tuple[None, None, int]:
        seen = self.seen(uri)
        if seen is None:
            return None, None, 0
        places = self.places(seen.source)
        return seen, places, places.offset(position)

    # --- diagnostics ---

    def diagnostics(self) -> Iterator[lsp.PublishDiagnosticsParams]:
        """The findings in all files of the programs that are open, and in those that were before.

        A finding is told once, also if several programs import its file.
        """
        found = findings(self.inspector)
        versions = {b.uri: b.version for b in self.texts.buffers.values()}
        for uri in {*found, *self._published}:
            told = [self.diagnostic(one, source) for one, source in found.get(uri, ())]
            yield lsp.PublishDiagnosticsParams(uri, told, versions.get(uri))
        self._published = {uri for uri, told in found.items() if told}

    def diagnostic(self, one: Diagnostic, source: Source) -> lsp.Diagnostic:
        """A finding in the form of the protocol."""
        places = self.places(source)
        span = one.span or Span(source, 0, 0)
        more = [
            lsp.DiagnosticRelatedInformation(self.location(label.span), label.text or "see here")
            for label in one.labels[1:]
        ]
        unused = one.code.startswith("unused") or one.code in ("unreachable", "idle-setting")
        return lsp.Diagnostic(
            places.range(span.start, span.end),
            one.message + (f"\nhelp: {one.help}" if one.help else ""),
            _SEVERITY[one.severity],
            one.code,
            source="lmc",
            related_information=more or None,
            tags=[lsp.DiagnosticTag.Unnecessary] if unused else None,
        )

    # --- what stands somewhere ---

    def hover(self, uri: str, position: lsp.Position) -> lsp.Hover | None:
        """What is known of what stands at a position."""
        seen, places, offset = self._at(uri, position)
        told = hover(seen, offset) if seen is not None else None
        if told is None or places is None:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, told.text)
        return lsp.Hover(content, places.range(told.start, told.end))

    def definition(self, uri: str, position: lsp.Position) -> list[lsp.Location]:
        """Where the name at a position is declared; of an import its file."""
        seen, _, offset = self._at(uri, position)
        if seen is None:
            return []
        if found := seen.symbols_at(offset):
            return [self.location(symbol.ident.span) for symbol in found]
        path = seen.path_to(offset)
        match path[-1] if path else None:
            case nodes.String() as text if isinstance(path[0], nodes.Import):
                tree = seen.trees.get(import_name(text.value, seen.source))
                return [self.location(Span(tree.source, 0, 0))] if tree else []
            case nodes.String() as text if isinstance(path[0], nodes.ToolDecl | nodes.MetricDecl):
                return list(_python(seen.source, text.value))
        return []

    def references(
        self, uri: str, position: lsp.Position, *, declaration: bool = True
    ) -> list[lsp.Location]:
        """Everywhere in the workspace where the same is named."""
        seen, _, offset = self._at(uri, position)
        mention = seen.mention_at(offset) if seen is not None else None
        if seen is None or mention is None:
            return []
        found = references(self.inspector, seen, set(mention.places))
        return [
            self.location(Span(source, one.start, one.end))
            for source, mentions in found.values()
            for one in mentions
            if declaration or (source.name, one.start) not in mention.places
        ]

    def highlights(self, uri: str, position: lsp.Position) -> list[lsp.DocumentHighlight]:
        """Everywhere in the file where the same is named."""
        seen, places, offset = self._at(uri, position)
        mention = seen.mention_at(offset) if seen is not None else None
        if seen is None or places is None or mention is None:
            return []
        wanted = set(mention.places)
        return [
            lsp.DocumentHighlight(places.range(one.start, one.end))
            for one in seen.mentions(seen.source.name)
            if wanted.intersection(one.places)
        ]

    def prepare_rename(self, uri: str, position: lsp.Position) -> lsp.Range | None:
        """The name that would change. Raises: LmcError[cannot-rename]."""
        seen, places, offset = self._at(uri, position)
        if seen is None or places is None:
            return None
        mention = renamable(self.inspector, seen, offset)
        return places.range(mention.start, mention.end)

    def rename(self, uri: str, position: lsp.Position, new: str) -> lsp.WorkspaceEdit | None:
        """The edits of a rename. Raises: LmcError[cannot-rename]."""
        seen, _, offset = self._at(uri, position)
        if seen is None:
            return None
        edits = rename(self.inspector, seen, offset, new)
        changes: list[lsp.TextDocumentEdit] = []
        for name, parts in edits.items():
            source = self.texts.read(name)
            places = self.places(source)
            known = self.texts.buffers.get(name)
            changes.append(
                lsp.TextDocumentEdit(
                    lsp.OptionalVersionedTextDocumentIdentifier(
                        self.texts.uri_of(source), known.version if known else None
                    ),
                    [lsp.TextEdit(places.range(s, e), text) for s, e, text in parts],
                )
            )
        return lsp.WorkspaceEdit(document_changes=list(changes))

    # --- writing ---

    def completion(self, uri: str, position: lsp.Position) -> list[lsp.CompletionItem]:
        """What may be written at a position."""
        source = self.texts.current(self.texts.name_of(uri))
        if source is None:
            return []
        places = self.places(source)
        cursor, found = complete(self.inspector, source, places.offset(position))
        range = places.range(cursor.start, cursor.end)
        return [_item(suggestion, range) for suggestion in found]

    def signature(self, uri: str, position: lsp.Position) -> lsp.SignatureHelp | None:
        """The call that is being written."""
        seen, _, offset = self._at(uri, position)
        asked = signature_at(seen, offset) if seen is not None else None
        if asked is None:
            return None
        return lsp.SignatureHelp([_signature(asked.head)], 0, asked.active)

    def formatting(self, uri: str) -> list[lsp.TextEdit]:
        """The edits that format a document; none for one with syntax errors."""
        source = self.texts.current(self.texts.name_of(uri))
        if source is None or len(source.text) > MOST_CHARS:
            return []
        try:
            after = format_source(source)
        except LmcError:
            return []
        if "\r\n" in source.text:
            after = after.replace("\r\n", "\n").replace("\n", "\r\n")
        return list(_line_edits(source.text, after, self.places(source)))

    def actions(self, uri: str, range: lsp.Range) -> list[lsp.CodeAction]:
        """The mends of the diagnostics that touch a range."""
        seen = self.seen(uri)
        if seen is None:
            return []
        places = self.places(seen.source)
        start, end = places.offset(range.start), places.offset(range.end)
        touched = [
            one
            for one in seen.found
            if one.span is not None
            and one.span.source is seen.source
            and one.span.start <= end
            and start <= one.span.end
        ]
        found: list[lsp.CodeAction] = []
        for one in touched[:MOST_MENDED]:
            told = self.diagnostic(one, seen.source)
            for mend in mends(self.inspector, seen, one):
                edits = [lsp.TextEdit(places.range(s, e), text) for s, e, text in mend.edits]
                found.append(
                    lsp.CodeAction(
                        mend.title, lsp.CodeActionKind.QuickFix, [told], True,
                        edit=lsp.WorkspaceEdit(changes={uri: edits}),
                    )
                )  # fmt: skip
            command = lsp.Command(f"Explain {one.code}", lenses.EXPLAIN, arguments=[one.code])
            found.append(
                lsp.CodeAction(command.title, lsp.CodeActionKind.QuickFix, [told], command=command)
            )
        return found

    # --- whole files ---

    def colours(self, uri: str) -> list[int]:
        """The semantic tokens of a document."""
        seen = self.seen(uri)
        if seen is None:
            return []
        return colours.encoded(colours.colour(seen), self.places(seen.source))

    def outline(self, uri: str) -> list[lsp.DocumentSymbol]:
        """The declarations of a document."""
        seen = self.seen(uri)
        return outline.outline(seen, self.places(seen.source)) if seen is not None else []

    def folds(self, uri: str) -> list[lsp.FoldingRange]:
        """The parts of a document that can be folded."""
        source = self.texts.current(self.texts.name_of(uri))
        return list(outline.folds(source, self.places(source))) if source is not None else []

    def symbols(self, query: str) -> list[lsp.SymbolInformation]:
        """The declarations of the workspace whose names have the letters of a query in order."""
        wanted = re.compile(".*".join(map(re.escape, query.lower())))
        found: list[lsp.SymbolInformation] = []
        for name in self.texts.programs():
            source = self.texts.current(name)
            if source is None:
                continue
            tree, _ = self.inspector.parsed(source)
            for symbol in symbols_of(tree):
                if symbol.is_inner or not wanted.search(symbol.ident.name.lower()):
                    continue
                kind = outline.KIND_OF[type(symbol.node)]
                place = self.location(symbol.ident.span)
                found.append(lsp.SymbolInformation(place, symbol.ident.name, kind))
            if len(found) >= MOST_SYMBOLS:
                break
        return found[:MOST_SYMBOLS]

    def lenses(self, uri: str) -> list[lsp.CodeLens]:
        """What can be clicked in a document."""
        seen = self.seen(uri)
        if seen is None:
            return []
        places = self.places(seen.source)
        return [
            lsp.CodeLens(
                places.span(lens.span),
                lsp.Command(lens.title, lens.command, arguments=list(lens.arguments)),
            )
            for lens in lenses.lenses(seen, uri)
        ]


def _item(suggestion: Suggestion, range: lsp.Range) -> lsp.CompletionItem:
    about = lsp.MarkupContent(lsp.MarkupKind.Markdown, suggestion.about)
    return lsp.CompletionItem(
        suggestion.label,
        kind=suggestion.kind,
        detail=suggestion.detail or None,
        documentation=about if suggestion.about else None,
        sort_text=f"{suggestion.order}{suggestion.label}",
        text_edit=lsp.TextEdit(range, suggestion.insert or suggestion.label),
    )


def _signature(head: Heading) -> lsp.SignatureInformation:
    parameters = [lsp.ParameterInformation(p.text, p.about or None) for p in head.parameters]
    return lsp.SignatureInformation(head.label, head.about or None, parameters)


def _line_edits(before: str, after: str, places: Positions) -> Iterator[lsp.TextEdit]:
    """The lines that differ, so that a cursor elsewhere stays where it is."""
    old, new = before.splitlines(True), after.splitlines(True)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new)))
    rest = zip(reversed(old[same:]), reversed(new[same:]))
    tail = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], rest))
    starts = [0, *accumulate(map(len, old))]
    old, new = old[same : len(old) - tail], new[same : len(new) - tail]
    if len(old) * len(new) > MOST_COMPARED:
        yield lsp.TextEdit(places.range(starts[same], starts[same + len(old)]), "".join(new))
        return
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, low, high, new_low, new_high in matcher.get_opcodes():
        if tag != "equal":
            range = places.range(starts[same + low], starts[same + high])
            yield lsp.TextEdit(range, "".join(new[new_low:new_high]))


def _python(source: Source, target: str) -> Iterator[lsp.Location]:
    """The Python function behind a target, if its file lies beside the program."""
    module, _, name = target.partition(":")
    if source.path is None or not name or not all(map(str.isidentifier, module.split("."))):
        return
    stem = source.path.parent.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        try:
            text = Source.read(path).text
        except (OSError, ValueError):
            continue
        found = re.search(
            rf"^(?:async )?(?:def|class) {re.escape(name.split('.')[0])}\b", text, re.M
        )
        places, at = Positions(text), found.start() if found else 0
        yield lsp.Location(Path(path).absolute().as_uri(), places.range(at, at))
        return
