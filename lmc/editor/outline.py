"""The outline of a file, and the parts of it that an editor folds."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types as lsp

from lmc.editor.describing import head_of, source_text
from lmc.editor.inspected import Inspected
from lmc.editor.positions import Positions
from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.recovery import CLOSING, OPENING
from lmc.syntax.tokens import COMMENT, Token, declaration_line, tokens

Kind = lsp.SymbolKind
KIND_OF: dict[type, Kind] = {
    nodes.RecordDecl: Kind.Struct,
    nodes.EnumDecl: Kind.Enum,
    nodes.TypeDecl: Kind.TypeParameter,
    nodes.ConstantDecl: Kind.Constant,
    nodes.ModelDecl: Kind.Module,
    nodes.DefaultDecl: Kind.Module,
    nodes.ToolDecl: Kind.Interface,
    nodes.ModuleDecl: Kind.Function,
    nodes.PipelineDecl: Kind.Function,
    nodes.MetricDecl: Kind.Function,
    nodes.DatasetDecl: Kind.File,
    nodes.StoreDecl: Kind.File,
    nodes.OptimizeDecl: Kind.Event,
    nodes.TestDecl: Kind.Event,
    nodes.ExampleDecl: Kind.Object,
}


def outline(seen: Inspected, places: Positions) -> list[lsp.DocumentSymbol]:
    """The declarations of the entry file; those with syntax errors by their names alone."""
    found = [s for decl in seen.tree.decls if (s := _symbol(decl, places)) is not None]
    broken = _broken(seen, places)
    return sorted([*found, *broken], key=lambda s: (s.range.start.line, s.range.start.character))


def _symbol(decl: nodes.Decl, places: Positions) -> lsp.DocumentSymbol | None:
    kind = KIND_OF.get(type(decl))
    if kind is None:
        return None
    name, place = title_of(decl)
    head = head_of(decl)
    detail = head.label.removeprefix(name) if head is not None else ""
    children = [
        lsp.DocumentSymbol(
            part.name.name, child, places.span(part.span), places.span(part.name.span),
            source_text(getattr(part, "type", None)),
        )
        for part, child in _parts(decl)
    ]  # fmt: skip
    return lsp.DocumentSymbol(
        name, kind, places.span(decl.span), places.span(place.span), detail, children=children
    )


def title_of(decl: nodes.Decl) -> tuple[str, nodes.SyntaxNode]:
    """What a declaration is called in an outline, and where that stands."""
    match decl:
        case nodes.TestDecl(title=title):
            return f"test {title.value}", title
        case nodes.ExampleDecl(target=target):
            return f"example {target.name}", target
        case nodes.OptimizeDecl(target=target):
            return f"optimize {target.name}", target
        case nodes.DefaultDecl():
            return "default", decl
    ident: nodes.Ident = decl.name  # type: ignore[attr-defined]
    return ident.name, ident


def _parts(decl: nodes.Decl) -> Iterator[tuple[nodes.FieldDecl | nodes.VariantDecl, Kind]]:
    match decl:
        case nodes.RecordDecl(fields=fields):
            yield from ((field, Kind.Field) for field in fields)
        case nodes.EnumDecl(variants=variants):
            yield from ((variant, Kind.EnumMember) for variant in variants)


def _broken(seen: Inspected, places: Positions) -> Iterator[lsp.DocumentSymbol]:
    if not seen.tree.broken:
        return
    text, known = seen.source.text, {decl.span.start for decl in seen.tree.decls}
    for match in declaration_line().finditer(text):
        words = text[match.start() : match.start() + 200].split(maxsplit=2)
        if match[0] == "}" or match.start() in known or len(words) < 2:
            continue
        name = words[1].partition("(")[0].strip("{:")
        if name in seen.tree.broken:
            start = text.index(name, match.start())
            whole = places.range(match.start(), start + len(name))
            place = places.range(start, start + len(name))
            yield lsp.DocumentSymbol(name, Kind.Null, whole, place, "has a syntax error")


# --- folding ---


def folds(source: Source, places: Positions) -> Iterator[lsp.FoldingRange]:
    """Braces, brackets, long texts, and runs of comments and imports that span lines."""
    found = tokens(source)
    yield from _brackets(found, places)
    yield from _runs(source, found, places)


def _brackets(found: list[Token], places: Positions) -> Iterator[lsp.FoldingRange]:
    opened: list[Token] = []
    for token in found:
        if token.kind in OPENING:
            opened.append(token)
        elif token.kind in CLOSING:
            while opened and OPENING[opened[-1].kind] != token.kind:
                opened.pop()
            if opened:
                first = places.position(opened.pop().start).line
                last = places.position(token.start).line - 1
                if last > first:
                    yield lsp.FoldingRange(first, last)
        elif "STRING" in token.kind:
            first, last = places.line_range(token.start, token.end)
            if last > first:
                yield lsp.FoldingRange(first, last)


def _runs(source: Source, found: list[Token], places: Positions) -> Iterator[lsp.FoldingRange]:
    lines = {
        places.position(t.start).line: kind
        for t in found
        if (kind := _kind_of_line(source, t)) is not None
    }
    for line, kind in lines.items():
        if lines.get(line - 1) == kind:
            continue
        last = line
        while lines.get(last + 1) == kind:
            last += 1
        if last > line:
            yield lsp.FoldingRange(line, last, kind=kind)


def _kind_of_line(source: Source, token: Token) -> lsp.FoldingRangeKind | None:
    start = source.text.rfind("\n", 0, token.start) + 1
    if source.text[start : token.start].strip():
        return None
    if token.kind == COMMENT:
        return lsp.FoldingRangeKind.Comment
    return lsp.FoldingRangeKind.Imports if token.kind == "FROM" else None
