"""Completions: what may be written at the cursor, by the grammar and by what names mean there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp

from lmc.check import import_name
from lmc.check.annotations import PRIMITIVES
from lmc.check.builtins import FUNCTIONS, NAMES, OF_ANSWERS, WALKS
from lmc.check.imports import SUFFIX, standard_names
from lmc.check.optimizers import SIGNATURES
from lmc.check.scope import Binding, Declared, Env, File
from lmc.check.settings import TABLE, SettingSpec
from lmc.check.subtyping import required
from lmc.editor import wording
from lmc.editor.cursor import Cursor, Filled, cursor_at, expected, filled, words_of
from lmc.editor.describing import (
    Heading,
    builtin_head,
    code,
    doc_of,
    head_comment,
    head_of,
    optimizer_head,
    source_text,
)
from lmc.editor.hover import kind_of, setting_words, shown
from lmc.editor.inspected import Inspected, Inspector
from lmc.editor.symbols import templates_of
from lmc.frozen import frozen
from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.literals import quote
from lmc.types import (
    BUILTIN_RECORDS,
    SOFT_TYPES,
    BoolType,
    EnumType,
    LiteralType,
    RecordType,
    Type,
    UnionType,
)
from lmc.unions import members

Kind = lsp.CompletionItemKind
_TYPE_DECLS = (nodes.RecordDecl, nodes.EnumDecl, nodes.TypeDecl)
_CALLED = (nodes.ModuleDecl, nodes.PipelineDecl)
_KIND_OF: dict[type, Kind] = {
    nodes.RecordDecl: Kind.Struct,
    nodes.EnumDecl: Kind.Enum,
    nodes.TypeDecl: Kind.TypeParameter,
    nodes.ConstantDecl: Kind.Constant,
    nodes.ModelDecl: Kind.Module,
    nodes.ToolDecl: Kind.Function,
    nodes.ModuleDecl: Kind.Function,
    nodes.PipelineDecl: Kind.Function,
    nodes.MetricDecl: Kind.Function,
    nodes.DatasetDecl: Kind.File,
    nodes.StoreDecl: Kind.File,
}
MOST_FILES = 200


@frozen
class Suggestion:
    """Something to write: what is shown, what is inserted, and what is said about it."""

    label: str
    kind: Kind
    detail: str = ""
    about: str = ""
    insert: str = ""
    order: int = 1  # 0 comes first


def complete(inspector: Inspector, source: Source, offset: int) -> tuple[Cursor, list[Suggestion]]:
    """What may be written at an offset of a text, and the word that it replaces."""
    cursor = cursor_at(source, offset)
    if cursor.in_comment:
        return cursor, []
    found = {s.label: s for s in _found(inspector, cursor)}
    return cursor, list(found.values())


def _found(inspector: Inspector, cursor: Cursor) -> Iterator[Suggestion]:
    if cursor.open_text is not None:
        yield from _in_text(inspector, cursor)
        return
    kinds = expected(cursor)
    whole = filled(cursor)
    if whole is not None:
        yield from _meant(inspector, cursor, whole)
    after_dot = bool(cursor.code) and cursor.code[-1].kind in ("DOT", "OPTIONAL_DOT")
    names_only = kinds == {"NAME"}
    if not after_dot and not names_only:
        for word in words_of(kinds):
            about = wording.WORDS.get(word, "")
            yield Suggestion(word, Kind.Keyword, "", about, order=2)


# --- in texts ---


def _in_text(inspector: Inspector, cursor: Cursor) -> Iterator[Suggestion]:
    first = cursor.before[0] if cursor.before else None
    if first is not None and first.kind == "FROM" and len(cursor.before) == 2:
        yield from _paths(inspector, cursor)
        return
    whole = filled(cursor)
    decl = whole.path[0] if whole is not None else None
    setting = next((n for n in whole.path if isinstance(n, nodes.Setting)), None) if whole else None
    if isinstance(decl, nodes.ModuleDecl) and setting and setting.key.name == "template":
        yield from _in_template(cursor, decl)
        return
    kind = kind_of(decl) if decl is not None else None
    if setting is not None and kind is not None:
        spec = TABLE[kind].get(setting.key.name)
        for value in _literals(spec):
            yield Suggestion(value, Kind.Value)
        if kind == "dataset" and setting.key.name == "source":
            yield from _files(cursor.source, (".jsonl", ".csv", ".json", ".tsv", ".parquet"))


def _in_template(cursor: Cursor, decl: nodes.ModuleDecl) -> Iterator[Suggestion]:
    text = cursor.source.text[cursor.declaration : cursor.start]
    if max(text.rfind("{{"), text.rfind("{%")) <= max(text.rfind("}}"), text.rfind("%}")):
        return
    for param in decl.signature.params:
        yield Suggestion(param.name.name, Kind.Variable, source_text(param.type), order=0)
    for slot in ("instructions", "demos", "format"):
        yield Suggestion(slot, Kind.Keyword, "a part of the prompt")


def _paths(inspector: Inspector, cursor: Cursor) -> Iterator[Suggestion]:
    """Library programs, and files beside this one."""
    opened = cursor.open_text
    written = opened.text.strip('"') if opened else ""
    before = written.rpartition("/")[0]
    for name in standard_names():
        if name.startswith(before + "/" if before else ""):
            tail = name.removeprefix(before + "/" if before else "")
            tree = inspector.parsed(inspector.texts.read(name))[0]
            yield Suggestion(tail, Kind.File, name, head_comment(tree))
    yield from _files(cursor.source, (SUFFIX,), before)


def _files(source: Source, suffixes: tuple[str, ...], under: str = "") -> Iterator[Suggestion]:
    if source.path is None or ".." in under.split("/") or under.startswith(("/", "~")):
        return
    try:
        entries = sorted(os.listdir(source.path.parent / under))[:MOST_FILES]
    except OSError:
        return
    for name in entries:
        if name.endswith(suffixes) and name != source.path.name:
            yield Suggestion(name, Kind.File)
        elif Path(source.path.parent / under / name).is_dir() and name[0] not in "._":
            yield Suggestion(name, Kind.Folder)


# --- by meaning ---


def _meant(inspector: Inspector, cursor: Cursor, whole: Filled) -> Iterator[Suggestion]:
    """What fits the node that the word at the cursor is."""
    node, outer = whole.path[-1], whole.path[:-1]
    around = outer[-1] if outer else None
    if isinstance(node, nodes.Ident):
        match around:
            case nodes.Setting():
                yield from _keys(outer[0], around)
                return
            case nodes.KeyValue():
                yield from _inner_keys(outer)
            case nodes.Let() | nodes.Decl() if not isinstance(
                around, nodes.ExampleDecl | nodes.OptimizeDecl
            ):
                return
            case nodes.ParamDecl() | nodes.FieldDecl() | nodes.VariantDecl() | nodes.Loop():
                return
    seen = inspector.inspect(whole.source)
    at = _Place(inspector, seen, cursor, whole)
    yield from at.suggestions()


def _keys(decl: nodes.SyntaxNode, here: nodes.Setting) -> Iterator[Suggestion]:
    kind = kind_of(decl)
    if kind is None:
        return
    given = {s.key.name for s in getattr(decl, "settings", ()) if s is not here}
    for key in TABLE[kind]:
        if key not in given:
            words = setting_words(kind, key)
            yield Suggestion(key, Kind.Property, "", words, f"{key}: ", 0)


def _inner_keys(outer: tuple[nodes.SyntaxNode, ...]) -> Iterator[Suggestion]:
    kind = kind_of(outer[0])
    setting = next((part for part in outer if isinstance(part, nodes.Setting)), None)
    spec = TABLE.get(kind or "", {}).get(setting.key.name) if setting else None
    for key, inner in spec.keys.items() if spec is not None else ():
        yield Suggestion(key, Kind.Property, str(inner.takes), "", f"{key}: ", 0)


class _Place:
    """A word in a checked program."""

    def __init__(
        self, inspector: Inspector, seen: Inspected, cursor: Cursor, whole: Filled
    ) -> None:
        self.inspector, self.seen, self.cursor = inspector, seen, cursor
        self.program = seen.inspection.program
        self.path = seen.path_to(whole.start)
        self.file: File = seen.inspection.files[-1]
        self.env: Env | None = seen.inspection.context.unknown.get(whole.start)
        self.start = whole.start

    def suggestions(self) -> Iterator[Suggestion]:
        if len(self.path) < 2:
            return
        node, around = self.path[-1], self.path[-2]
        match around:
            case nodes.Attr(value=value) if isinstance(node, nodes.Ident):
                yield from self.members(value)
            case nodes.ImportItem():
                yield from self.exported()
            case nodes.NamedType():
                yield from self.types()
            case nodes.NamePattern():
                yield from self.cases()
            case nodes.Selector():
                yield from self.selected()
            case nodes.LabelsRefinement():
                yield from self.parameters()
            case nodes.KeyValue():
                yield from self.keys_of_record()
            case nodes.Stub():
                yield from self.declared(*_CALLED, nodes.ToolDecl, nodes.StoreDecl)
            case nodes.Keep():
                yield from self.declared(nodes.StoreDecl)
            case nodes.ExampleDecl() | nodes.OptimizeDecl():
                yield from self.declared(*_CALLED)
            case _ if isinstance(node, nodes.Var):
                yield from self.values()

    # --- names of one kind ---

    def declared(self, *kinds: type) -> Iterator[Suggestion]:
        """The declarations of some kinds that the file knows."""
        for name, declared in self.file.names.items():
            if isinstance(declared.decl, kinds):
                yield of_declared(name, declared)

    def exported(self) -> Iterator[Suggestion]:
        decl = self.path[0]
        if not isinstance(decl, nodes.Import):
            return
        name = import_name(decl.path.value, self.file.tree.source)
        have = {item.name.name for item in decl.items}
        for file in self.seen.inspection.files:
            if file.tree.source.name == name:
                for label, declared in file.names.items():
                    if declared.file is file and label not in have:
                        yield of_declared(label, declared)

    def types(self) -> Iterator[Suggestion]:
        yield from self.declared(*_TYPE_DECLS)
        for name in (*PRIMITIVES, "list", "dict", *SOFT_TYPES, *BUILTIN_RECORDS, "one_of"):
            yield Suggestion(name, Kind.Class, "", wording.TYPES.get(name, ""))

    def parameters(self) -> Iterator[Suggestion]:
        signature = getattr(self.path[0], "signature", None)
        for param in signature.params if signature else ():
            yield Suggestion(param.name.name, Kind.Variable, source_text(param.type))

    # --- members ---

    def members(self, value: nodes.Expr) -> Iterator[Suggestion]:
        """The fields of a value, or the variants of an enum."""
        if isinstance(value, nodes.Var):
            declared = self.file.names.get(value.name)
            if declared is not None and isinstance(declared.meaning, EnumType):
                yield from _variants(declared.meaning)
                return
        type = self.program.types.get(id(value))
        if type is not None:
            yield from _fields(required(type))

    def cases(self) -> Iterator[Suggestion]:
        match = next((n for n in reversed(self.path) if isinstance(n, nodes.Match)), None)
        type = self.program.types.get(id(match.subject)) if match else None
        taken = {
            ident.name
            for arm in (match.arms if match else ())
            if isinstance(arm.pattern, nodes.NamePattern)
            for ident in arm.pattern.names
        }
        for suggestion in _cases(type) if type is not None else ():
            if suggestion.label not in taken:
                yield suggestion

    def selected(self) -> Iterator[Suggestion]:
        """The fields that `.field` may name: of the items of a list, or of a result."""
        decl = self.path[0]
        call = next((n for n in reversed(self.path) if isinstance(n, nodes.Call)), None)
        item: Any = None
        if call is not None and call.args:
            type = self.program.types.get(id(call.args[0].value))
            item = getattr(type, "item", None)
        elif isinstance(decl, nodes.ModuleDecl):
            declared = self.file.names.get(decl.name.name)
            signature = getattr(declared.meaning, "signature", None) if declared else None
            item = required(signature.result) if signature is not None else None
        elif isinstance(decl, nodes.StoreDecl):
            store = self.program.stores.get(decl.name.name)
            item = store.record if store is not None else None
        if isinstance(item, Type):
            yield from _fields(item)

    def keys_of_record(self) -> Iterator[Suggestion]:
        """The fields in `value with {…}`, and of the rows in `columns`."""
        update = next((n for n in reversed(self.path) if isinstance(n, nodes.RecordUpdate)), None)
        type = self.program.types.get(id(update.value)) if update else None
        decl = self.path[0]
        if isinstance(decl, nodes.DatasetDecl) and isinstance(decl.row, nodes.NamedType):
            declared = self.file.names.get(decl.row.name.name)
            type = declared.meaning if declared else None
        for suggestion in _fields(type) if isinstance(type, Type) else ():
            yield Suggestion(
                suggestion.label, Kind.Field, suggestion.detail, suggestion.about,
                f"{suggestion.label}: ", 0,
            )  # fmt: skip

    # --- values ---

    def values(self) -> Iterator[Suggestion]:
        setting = next((n for n in self.path if isinstance(n, nodes.Setting)), None)
        kind = kind_of(self.path[0])
        if setting is not None and kind is not None:
            spec = TABLE[kind].get(setting.key.name)
            named = self.named(kind, setting.key.name, spec)
            if named is not None:
                yield from named
                return
            for value in _literals(spec):
                yield Suggestion(quote(value), Kind.Value, order=0)
        yield from self.arguments()
        yield from self.wanted()
        yield from self.locals()
        yield from self.declared(
            *_CALLED, nodes.ToolDecl, nodes.MetricDecl, nodes.RecordDecl, nodes.EnumDecl,
            nodes.ConstantDecl, nodes.StoreDecl,
        )  # fmt: skip
        yield from _builtins()

    def named(self, kind: str, key: str, spec: SettingSpec | None) -> Iterator[Suggestion] | None:
        """The names that a setting takes; None if it takes a value."""
        ways: dict[tuple[str, str], Callable[[], Iterator[Suggestion]]] = {
            ("optimize", "data"): lambda: self.declared(nodes.DatasetDecl),
            ("optimize", "metric"): self.metrics,
            ("optimize", "guards"): lambda: self.metrics(nodes.DatasetDecl),
            ("optimize", "keep"): lambda: self.declared(nodes.ModuleDecl),
            ("optimize", "steps"): self.steps,
            ("agent", "tools"): lambda: self.declared(nodes.ToolDecl, *_CALLED),
            ("store", "find"): lambda: self.declared(nodes.ModelDecl),
        }
        if (kind, key) in ways:
            return ways[kind, key]()
        if spec is not None and spec.takes in ("model", "models"):
            return self.declared(nodes.ModelDecl)
        return None

    def metrics(self, *more: type) -> Iterator[Suggestion]:
        yield from self.declared(nodes.MetricDecl, *more)
        for name, about in wording.METRICS.items():
            yield Suggestion(name, Kind.Function, "built-in metric", about)

    def steps(self) -> Iterator[Suggestion]:
        call = next((n for n in reversed(self.path) if isinstance(n, nodes.Call)), None)
        if call is not None and isinstance(call.target, nodes.Var):
            signature = SIGNATURES.get(call.target.name)
            if signature is not None and call.target.span.start != self.start:
                given = {arg.name.name for arg in call.args if arg.name}
                for name, option in signature.options.items():
                    if name not in given:
                        yield Suggestion(
                            name, Kind.Property, option.shown, option.about, f"{name}=", 0
                        )
                return
        for name, signature in SIGNATURES.items():
            yield Suggestion(
                name, Kind.Function, "optimizer", code(optimizer_head(signature).label),
                f"{name}()",
            )  # fmt: skip

    def arguments(self) -> Iterator[Suggestion]:
        """The parameters of the call around that are not given yet."""
        call = self.call
        head = self.head(call) if call is not None else None
        if call is None or head is None:
            return
        given = {arg.name.name for arg in call.args if arg.name}
        positional = sum(1 for arg in call.args if arg.name is None) - 1
        for parameter in head.parameters[max(0, positional) :]:
            if parameter.name not in given:
                yield Suggestion(
                    f"{parameter.name}=", Kind.Property, parameter.text, parameter.about, order=0
                )

    @property
    def call(self) -> nodes.Call | None:
        """The call whose argument the word is."""
        inner = [n for n in self.path if isinstance(n, nodes.Arg | nodes.Call)]
        if len(inner) < 2 or not isinstance(inner[-1], nodes.Arg):
            return None
        return inner[-2] if isinstance(inner[-2], nodes.Call) else None

    def head(self, call: nodes.Call) -> Heading | None:
        if not isinstance(call.target, nodes.Var):
            return None
        declared = self.file.names.get(call.target.name)
        return head_of(declared.decl) if declared else None

    def wanted(self) -> Iterator[Suggestion]:
        """The values of the type that fits here, if it has few."""
        type = self._wanted()
        if isinstance(type, EnumType):
            for name, note in zip(type.variants, type.notes or ("",) * len(type.variants)):
                yield Suggestion(f"{type.name}.{name}", Kind.EnumMember, "", note, order=0)
        elif isinstance(type, LiteralType):
            for value in type.values:
                yield Suggestion(quote(value), Kind.Value, order=0)

    def _wanted(self) -> Type | None:
        node, around = self.path[-1], self.path[-2]
        if isinstance(around, nodes.Binary) and around.op in ("==", "!="):
            other = around.left if around.right is node else around.right
            type = self.program.types.get(id(other))
            return required(type) if type is not None else None
        call = self.call
        bound = self.program.bindings.get(id(call), ()) if call is not None else ()
        declared = (
            self.file.names.get(call.target.name)
            if call is not None and isinstance(call.target, nodes.Var)
            else None
        )
        signature = getattr(declared.meaning, "signature", None) if declared else None
        if signature is not None:
            for param, expr in zip(signature.params, bound):
                if expr is node:
                    return required(param.type)
        return None

    def _is_bound(self, binding: Binding) -> bool:
        """Whether a name is bound before the word: not by its own `let`, nor by a later one."""
        if binding.span is None:
            return True
        start = binding.span.start
        own = {n.name.span.start for n in self.path if isinstance(n, nodes.Let)}
        return start < self.start and start not in own

    def locals(self) -> Iterator[Suggestion]:
        for scope in self.env.scopes() if self.env is not None else ():
            for name, binding in scope.locals.items():
                if not self._is_bound(binding):
                    continue
                type = scope.facts.get((name,), binding.type)
                yield Suggestion(name, Kind.Variable, shown(type), binding.kind, order=0)


def of_declared(name: str, declared: Declared) -> Suggestion:
    """A declared name with its head."""
    decl = declared.decl
    head = head_of(decl)
    detail = head.label if head is not None else source_text(decl)[:80]
    return Suggestion(name, _KIND_OF.get(type(decl), Kind.Variable), detail, doc_of(decl))


def _variants(enum: EnumType) -> Iterator[Suggestion]:
    for name, note in zip(enum.variants, enum.notes or ("",) * len(enum.variants)):
        yield Suggestion(name, Kind.EnumMember, enum.name, note, order=0)


def _fields(type: Type) -> Iterator[Suggestion]:
    from lmc.check import moments
    from lmc.types import WrittenType

    if isinstance(type, WrittenType):
        for name, part in moments.FIELDS[type.kind].items():
            yield Suggestion(name, Kind.Field, str(part), order=0)
    for record in members(type):
        if isinstance(record, RecordType):
            for field in record.fields:
                yield Suggestion(field.name, Kind.Field, str(field.type), field.note, order=0)


def _cases(type: Type) -> Iterator[Suggestion]:
    whole = required(type)
    match whole:
        case EnumType():
            yield from _variants(whole)
        case LiteralType(values=values):
            for value in values:
                yield Suggestion(quote(value), Kind.Value, order=0)
        case UnionType():
            for member in members(whole):
                yield Suggestion(str(member), Kind.Class, order=0)
    if whole is not type:
        yield Suggestion("none", Kind.Keyword, order=0)


def _literals(spec: SettingSpec | None) -> Iterator[str]:
    options: Iterable[object] = (spec.takes,) if spec is not None else ()
    for option in options:
        for part in members(option) if isinstance(option, Type) else ():
            if isinstance(part, LiteralType):
                yield from part.values
            elif isinstance(part, BoolType):
                continue


def _builtins() -> Iterator[Suggestion]:
    for name in NAMES:
        head = builtin_head(name)
        called = name in FUNCTIONS or name in (*WALKS, *OF_ANSWERS)
        kind = Kind.Function if called else Kind.Struct
        if head is not None:
            yield Suggestion(name, kind, head.label, head.about, order=3)


__all__ = ["Suggestion", "complete", "templates_of"]
