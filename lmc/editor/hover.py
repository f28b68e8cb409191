"""Hovers: what stands under the pointer."""

from __future__ import annotations

from lmc.check import import_name
from lmc.check.optimizers import SIGNATURES
from lmc.check.settings import TABLE
from lmc.check.subtyping import show, widen
from lmc.editor import wording
from lmc.editor.describing import (
    builtin_head,
    code,
    head_comment,
    optimizer_head,
    optimizer_words,
    told,
)
from lmc.editor.inspected import Inspected
from lmc.frozen import frozen
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import ErrorType, Type


@frozen
class Told:
    """A text in Markdown, and the span that it is about."""

    text: str
    start: int
    end: int


def hover(seen: Inspected, offset: int) -> Told | None:
    """What is known of the name, setting or expression at an offset of the entry file."""
    path = seen.path_to(offset)
    found = seen.mention_at(offset)
    if found is not None and (known := seen.symbols_at(offset)):
        parts = [told(symbol, seen) for symbol in known]
        narrowed = _narrowed(seen, path)
        return Told("\n\n".join([*narrowed, *parts]), found.start, found.end)
    for depth in range(len(path) - 1, -1, -1):
        text = _about(seen, path[depth], path[:depth])
        if text:
            place = _place(path[depth])
            return Told(text, place.start, place.end)
    return None


def _place(node: nodes.SyntaxNode) -> Span:
    match node:
        case nodes.NamedType(name=ident) | nodes.Attr(name=ident):
            return ident.span
        case nodes.Call(target=target):
            return target.span
    return node.span


def _narrowed(seen: Inspected, path: list[nodes.SyntaxNode]) -> list[str]:
    """The type of a value where it stands, which tests before it may have narrowed."""
    for node in reversed(path[-2:]):
        if isinstance(node, nodes.Var | nodes.Attr):
            type = seen.inspection.program.types.get(id(node))
            if type is not None and not isinstance(type, ErrorType):
                return [code(f"{' '.join(node.span.text.split())}: {shown(type)}")]
    return []


def shown(type: Type) -> str:
    """A type for a reader: a literal that is only known to be one is its wider type."""
    return show(widen(type))


def _about(seen: Inspected, node: nodes.SyntaxNode, outer: list[nodes.SyntaxNode]) -> str:
    match node:
        case nodes.Ident(name=name) if outer:
            return _about_ident(name, outer)
        case nodes.Var(name=name):
            return _about_name(name, outer) or _typed(seen, node)
        case nodes.NamedType(name=ident):
            about = wording.TYPES.get(ident.name, "")
            return f"{code(ident.name)}\n\n{about}" if about else ""
        case nodes.Import(path=path):
            tree = seen.trees.get(import_name(path.value, node.span.source))
            return head_comment(tree) if tree is not None else ""
        case nodes.String() | nodes.Number() | nodes.Doc() | nodes.Block() | nodes.Decl():
            return ""
        case nodes.Attr() | nodes.Index() | nodes.Slice() | nodes.Comprehension() | nodes.Call():
            return _typed(seen, node)
    return ""


def _about_ident(name: str, outer: list[nodes.SyntaxNode]) -> str:
    match outer[-1]:
        case nodes.Setting():
            kind = kind_of(outer[0])
            return setting_words(kind, name) if kind else ""
        case nodes.KeyValue():
            keys = [part.key.name for part in outer if isinstance(part, nodes.Setting)]
            kind = kind_of(outer[0])
            spec = TABLE.get(kind or "", {}).get(keys[0]) if keys else None
            inner = spec.keys.get(name) if spec is not None else None
            return code(f"{name}: {inner.takes}") if inner is not None else ""
    return ""


def _about_name(name: str, outer: list[nodes.SyntaxNode]) -> str:
    setting = next((part for part in outer if isinstance(part, nodes.Setting)), None)
    if setting is not None and setting.key.name == "steps" and name in SIGNATURES:
        words = optimizer_words(name)
        lines = [f"- `{p.text}`: {p.about}" for p in optimizer_head(SIGNATURES[name]).parameters]
        return "\n\n".join(part for part in (code(name), words, "\n".join(lines)) if part)
    if setting is not None and setting.key.name == "metric" and name in wording.METRICS:
        return f"{code(f'metric {name}')}\n\n{wording.METRICS[name]}"
    head = builtin_head(name)
    return f"{code(head.label)}\n\n{head.about}" if head is not None else ""


def _typed(seen: Inspected, node: nodes.SyntaxNode) -> str:
    type = seen.inspection.program.types.get(id(node))
    return "" if type is None or isinstance(type, ErrorType) else code(shown(type))


def kind_of(decl: nodes.SyntaxNode) -> str | None:
    """The kind of a declaration in the table of settings."""
    if isinstance(decl, nodes.ModuleDecl):
        return decl.kind
    name = type(decl).__name__.removesuffix("Decl").lower()
    return name if name in TABLE else None


def setting_words(kind: str, key: str) -> str:
    """What a setting takes and does."""
    spec = TABLE.get(kind, {}).get(key)
    if spec is None:
        return ""
    return f"{code(f'{key}: {takes(kind, key)}')}\n\n{wording.about_setting(kind, key)}"


def takes(kind: str, key: str) -> str:
    """The value of a setting, in words of the language."""
    spec = TABLE[kind][key]
    match spec.takes:
        case "group":
            return "{" + ", ".join(f"{k}: {inner.takes}" for k, inner in spec.keys.items()) + "}"
        case "models":
            return "[model]"
        case "tokens":
            return "4000 tokens"
        case other:
            return str(other)
