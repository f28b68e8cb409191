"""What a file declares, from its declarations down to the names inside of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmc.frozen import frozen, frozen_identity
from lmc.source import Source, Span
from lmc.syntax import nodes

Place = tuple[str, int]  # the name of a source, and an offset in it: the key of a symbol

_KINDS: dict[type, str] = {
    nodes.RecordDecl: "record",
    nodes.EnumDecl: "enum",
    nodes.TypeDecl: "type",
    nodes.ConstantDecl: "let",
    nodes.ModelDecl: "model",
    nodes.ToolDecl: "tool",
    nodes.PipelineDecl: "pipeline",
    nodes.MetricDecl: "metric",
    nodes.DatasetDecl: "dataset",
    nodes.StoreDecl: "store",
    nodes.FieldDecl: "field",
    nodes.VariantDecl: "variant",
    nodes.ParamDecl: "parameter",
    nodes.Let: "let",
    nodes.Loop: "loop state",
}
LOCAL = frozenset(("parameter", "let", "loop state", "item"))


@frozen_identity
class Symbol:
    """A declared name. `node` declares it; `owner` is the declaration around, or itself."""

    kind: str
    ident: nodes.Ident
    node: nodes.SyntaxNode
    owner: nodes.Decl

    @property
    def place(self) -> Place:
        """What tells it from all others."""
        return place_of(self.ident.span)

    @property
    def is_inner(self) -> bool:
        """Whether it stands inside a declaration, and is not one itself."""
        return self.node is not self.owner


def place_of(span: Span) -> Place:
    """The key of what is declared at a span."""
    return span.source.name, span.start


@frozen
class Mentioned:
    """A name that means something declared elsewhere: where it stands, and the places of that."""

    start: int
    end: int
    places: tuple[Place, ...]


def symbols_of(tree: nodes.FileTree) -> Iterator[Symbol]:
    """All names that a file declares, in the order of the text within each declaration."""
    for decl in tree.decls:
        for node in walk(decl):
            yield from _declared(node, decl)


def walk(root: nodes.SyntaxNode) -> Iterator[nodes.SyntaxNode]:
    """A node and all nodes in it. A long chain of operators does not recurse."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(list(nodes.children(node)))


def _declared(node: nodes.SyntaxNode, decl: nodes.Decl) -> Iterator[Symbol]:
    match node:
        case nodes.ModuleDecl(kind=kind, name=ident):
            yield Symbol(kind, ident, node, decl)
        case nodes.Comprehension(names=names):
            for ident in names:
                yield Symbol("item", ident, node, decl)
        case _ if (kind_of := _KINDS.get(type(node))) is not None:
            yield Symbol(kind_of, node.name, node, decl)  # type: ignore[attr-defined]


# --- names that the checker does not look up ---

_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_WORD = re.compile(
    r"""(?P<text>"[^"\n]*"|'[^'\n]*')|(?<![.\w])(?P<name>[A-Za-z_]\w*)(?!\s*=[^=])"""
)


def further_mentions(tree: nodes.FileTree) -> Iterator[Mentioned]:
    """Parameters in templates, which are Jinja, and in the type `one_of(options)`."""
    for decl in tree.decls:
        if isinstance(decl, nodes.ModuleDecl):
            params = {p.name.name: p.name.span for p in decl.signature.params}
            yield from _labels(decl, params)
            for text in _templates(decl):
                yield from _in_template(text.span, params)


def _labels(decl: nodes.ModuleDecl, params: dict[str, Span]) -> Iterator[Mentioned]:
    for node in walk(decl.signature.result):
        if isinstance(node, nodes.LabelsRefinement) and node.name.name in params:
            span = node.name.span
            yield Mentioned(span.start, span.end, (place_of(params[node.name.name]),))


def templates_of(decl: nodes.ModuleDecl) -> Iterator[tuple[str, nodes.String]]:
    """The texts of a module's template, by `system` and `user`."""
    for setting in decl.settings:
        if setting.key.name == "template" and isinstance(setting.value, nodes.ObjectLit):
            for pair in setting.value.pairs:
                if isinstance(pair.value, nodes.String):
                    yield pair.key.name, pair.value


def _templates(decl: nodes.ModuleDecl) -> Iterator[nodes.String]:
    return (text for _, text in templates_of(decl))


def _in_template(text: Span, params: dict[str, Span]) -> Iterator[Mentioned]:
    for code in _CODE.finditer(text.text):
        for word in _WORD.finditer(code.group()):
            if (name := word["name"]) in params:
                start = text.start + code.start() + word.start("name")
                yield Mentioned(start, start + len(name), (place_of(params[name]),))


def file_mentions(source: Source, uses: list[tuple[Span, Span]]) -> Iterator[Mentioned]:
    """The names of a file that the checker looked up; one may be declared in several places."""
    found: dict[tuple[int, int], dict[Place, None]] = {}
    for use, declared in uses:
        start = use.start + (source.text[use.start : use.start + 1] == ".")
        found.setdefault((start, use.end), {})[place_of(declared)] = None
    return (Mentioned(start, end, tuple(places)) for (start, end), places in found.items())
