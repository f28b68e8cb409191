"""The syntax tree: one frozen dataclass per form. Nodes compare by content, not by place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, fields
from typing import Any, Literal, TypeAlias

from lmc.frozen import frozen
from lmc.source import Source, Span

# Nodes compare without spans, so that `parse(print(tree)) == tree` can be asked.
# Side tables of later stages are keyed by `id(node)`: the tree outlives them.


@frozen
class SyntaxNode:
    """A node with a place in the source."""

    span: Span = field(kw_only=True, compare=False, repr=False)


def children(node: SyntaxNode) -> Iterator[SyntaxNode]:
    """The nodes right under one, in the order of the source."""
    for name in _parts(node.__class__):
        value = getattr(node, name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, SyntaxNode):
                yield child


def _parts(form: type[SyntaxNode]) -> tuple[str, ...]:
    if form not in _PARTS:
        _PARTS[form] = tuple(part.name for part in fields(form) if part.name != "span")
    return _PARTS[form]


_PARTS: dict[type, tuple[str, ...]] = {}  # the names of the fields of each form


@frozen
class Ident(SyntaxNode):
    """A name where it is declared or referred to."""

    name: str


@frozen
class Comment(SyntaxNode):
    """`# text` up to the line's end; `own_line` when nothing stands before it on its line."""

    text: str
    own_line: bool


@frozen
class Doc(SyntaxNode):
    """A docstring: `text` is dedented and stripped, `raw` is the literal as written."""

    text: str
    frozen: bool = False
    raw: str = field(default="", compare=False)


# --- types ---


@frozen
class TypeExpr(SyntaxNode):
    """Base of type expressions."""


@frozen
class RangeRefinement(SyntaxNode):
    """`lo..hi`, either end may be missing. Those of a date and the like are strings.

    An end may be an expression of constants.
    """

    low: Bound
    high: Bound


@frozen
class LabelsRefinement(SyntaxNode):
    """`options` of `one_of(options)`: the parameter whose strings are the labels."""

    name: Ident


@frozen
class PatternRefinement(SyntaxNode):
    """`r"…"`: a regular expression for the whole string."""

    pattern: str
    raw: str = field(default="", compare=False)


@frozen
class UniqueRefinement(SyntaxNode):
    """`unique`: each item of a list once."""


Bound: TypeAlias = "int | float | str | Expr | None"
Refinement = RangeRefinement | PatternRefinement | LabelsRefinement | UniqueRefinement


@frozen
class NamedType(TypeExpr):
    """`name`, `name[args]`, `name[args](refinements)`."""

    name: Ident
    args: tuple[TypeExpr, ...] = ()
    refinements: tuple[Refinement, ...] = ()


@frozen
class OptionalTypeExpr(TypeExpr):
    """`T?`."""

    item: TypeExpr


@frozen
class LiteralTypeExpr(TypeExpr):
    """`"yes"` as a type."""

    value: str
    raw: str = field(default="", compare=False)


@frozen
class UnionTypeExpr(TypeExpr):
    """`A | B | …`, two options or more."""

    options: tuple[TypeExpr, ...]


# --- expressions ---


@frozen
class Expr(SyntaxNode):
    """Base of expressions."""


@frozen
class Var(Expr):
    """A name used as a value or as the target of a call."""

    name: str


@frozen
class Number(Expr):
    """A number literal: an int if the source has neither point nor exponent."""

    value: int | float
    raw: str = field(default="", compare=False)


@frozen
class Tokens(Expr):
    """A number of tokens, such as `4000 tokens`."""

    value: int | float


@frozen
class String(Expr):
    """A string literal; a triple-quoted one is dedented like a docstring."""

    value: str
    raw: str = field(default="", compare=False)


@frozen
class Interpolated(Expr):
    """`f"text {value} text"`: one text more than values. `{{` and `}}` are braces in the texts."""

    texts: tuple[str, ...]
    values: tuple[Expr, ...] = ()


@frozen
class Bool(Expr):
    """`true`, `false`."""

    value: bool


@frozen
class NoneLit(Expr):
    """`none`."""


@frozen
class ListLit(Expr):
    """`[a, b]`."""

    items: tuple[Expr, ...]


@frozen
class KeyValue(SyntaxNode):
    """One `key: value` of an object."""

    key: Ident
    value: Expr


@frozen
class ObjectLit(Expr):
    """`{key: value}`: settings, and values of type `json` and `dict`."""

    pairs: tuple[KeyValue, ...]


@frozen
class Comprehension(Expr):
    """`[item for a, b in iterable if condition]`, items in parallel."""

    item: Expr
    names: tuple[Ident, ...]
    iterable: Expr
    condition: Expr | None = None


@frozen
class Samples(Expr):
    """`[item for 8]`: independent samples of an expression, as a list."""

    item: Expr
    count: Expr


@frozen
class Attr(Expr):
    """`value.name`, or `value?.name` when optional."""

    value: Expr
    name: Ident
    optional: bool = False


@frozen
class Index(Expr):
    """`value[index]`."""

    value: Expr
    index: Expr


@frozen
class Slice(Expr):
    """`value[start:stop]`, either end may be missing."""

    value: Expr
    start: Expr | None = None
    stop: Expr | None = None


@frozen
class RecordUpdate(Expr):
    """`value with {field: new}`: a record with some other fields."""

    value: Expr
    pairs: tuple[KeyValue, ...] = ()


@frozen
class Arg(SyntaxNode):
    """An argument, by position (`name` is None) or by name."""

    name: Ident | None
    value: Expr


@frozen
class Call(Expr):
    """`target(args)`: a module, pipeline, tool, metric, record, built-in, or an optimizer step."""

    target: Expr
    args: tuple[Arg, ...] = ()


@frozen
class Unary(Expr):
    """`-x`, `not x`."""

    op: Literal["-", "not"]
    operand: Expr


@frozen
class Binary(Expr):
    """`a op b`; op is one of + - * / % == != < <= > >= in and or ??."""

    op: str
    left: Expr
    right: Expr

    def chain(self) -> list[Binary]:
        """The operations of a chain such as `a + b + c`, innermost (leftmost) first."""
        links: list[Binary] = []
        link: Expr = self
        while isinstance(link, Binary):
            links.append(link)
            link = link.left
        return links[::-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binary) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((Binary, self._content()))

    def _content(self) -> tuple[Any, ...]:  # without recursion: `left` may nest too deep
        links = self.chain()
        return (links[0].left, *(part for link in links for part in (link.op, link.right)))


@frozen
class IfExpr(Expr):
    """`if condition then a else b`."""

    condition: Expr
    then: Expr
    otherwise: Expr

    def chain(self) -> list[IfExpr]:
        """`if a then x else if b then y else …`, at any length: its conditions in order."""
        links = [self]
        while isinstance(link := links[-1].otherwise, IfExpr):
            links.append(link)
        return links


@frozen
class NamePattern(SyntaxNode):
    """`a | b`: enum variants by name."""

    names: tuple[Ident, ...]


@frozen
class StringPattern(SyntaxNode):
    """`"a" | "b"`: literals."""

    values: tuple[str, ...]


@frozen
class Wildcard(SyntaxNode):
    """`_`."""


@frozen
class Arm(SyntaxNode):
    """One `pattern => value` of a match."""

    pattern: NamePattern | StringPattern | Wildcard
    value: Expr


@frozen
class Match(Expr):
    """`match subject { arms }`."""

    subject: Expr
    arms: tuple[Arm, ...]


@frozen
class Selector(Expr):
    """`.field`: the field by which a vote or `unique` compares."""

    name: Ident


@frozen
class TuneRange(SyntaxNode):
    """`lo..hi` in `tune[lo..hi]`: every integer of the range."""

    low: Expr
    high: Expr


@frozen
class Tune(Expr):
    """`tune[a, b, …]`: constants an optimizer may choose from; the first is the baseline."""

    options: tuple[Expr | TuneRange, ...]


@frozen
class Loop(Expr):
    """`loop s: T = e0 for n until c { … yield e }`; allowed only after `let x =` or `return`."""

    name: Ident
    type: TypeExpr | None
    start: Expr
    bound: Expr
    until: Expr | None
    body: Block


# --- statements ---


@frozen
class Stmt(SyntaxNode):
    """Base of statements."""


@frozen
class Block(SyntaxNode):
    """`{ doc? statements }`."""

    doc: Doc | None
    stmts: tuple[Stmt, ...]


@frozen
class Let(Stmt):
    """`let name: T = value`."""

    name: Ident
    type: TypeExpr | None
    value: Expr


@frozen
class Keep(Stmt):
    """`keep value in store`."""

    value: Expr
    store: Ident


@frozen
class If(Stmt):
    """`if c { … } else { … }`; an `else if` is an If in `otherwise`."""

    condition: Expr
    then: Block
    otherwise: Block | If | None = None

    def chain(self) -> list[If]:
        """`if a { … } else if b { … } …`, at any length: its conditions in order."""
        links = [self]
        while isinstance(link := links[-1].otherwise, If):
            links.append(link)
        return links

    @property
    def last(self) -> Block | None:
        """The block behind the last `else`."""
        end = self.chain()[-1].otherwise
        return end if isinstance(end, Block) else None


@frozen
class Return(Stmt):
    """`return value`."""

    value: Expr


@frozen
class Yield(Stmt):
    """`yield value`: the next state of the loop around it."""

    value: Expr


@frozen
class Assert(Stmt):
    """`assert condition, "message"`, in tests."""

    condition: Expr
    message: str | None = None


@frozen
class Stub(Stmt):
    """`stub module -> value`, in tests."""

    target: Ident
    value: Expr


# --- declarations ---


@frozen
class Decl(SyntaxNode):
    """Base of declarations."""


@frozen
class Setting(SyntaxNode):
    """`key: value` in a body."""

    key: Ident
    value: Expr


@frozen
class ParamDecl(SyntaxNode):
    """A parameter. With `train`, it is visible during optimization and hidden when deployed."""

    name: Ident
    type: TypeExpr
    default: Expr | None = None
    train: bool = False
    note: String | None = None


@frozen
class SignatureDecl(SyntaxNode):
    """`(params) -> result`."""

    params: tuple[ParamDecl, ...]
    result: TypeExpr


@frozen
class ImportItem(SyntaxNode):
    """`name as alias`; `alias` is None if the import keeps its name."""

    name: Ident
    alias: Ident | None = None


@frozen
class Import(Decl):
    """`from "path" import a, b as c`."""

    path: String
    items: tuple[ImportItem, ...]


@frozen
class FieldDecl(SyntaxNode):
    """`name: T = default "note" as "alias"`."""

    name: Ident
    type: TypeExpr
    default: Expr | None = None
    note: String | None = None
    alias: String | None = None


@frozen
class Depth(SyntaxNode):
    """`depth: 3` of a record that may contain itself."""

    key: Ident
    bound: int | float


@frozen
class RecordDecl(Decl):
    """`record R { doc? fields }`, `record R(depth: 3) { … }`."""

    name: Ident
    doc: Doc | None
    fields: tuple[FieldDecl, ...]
    depth: Depth | None = None


@frozen
class VariantDecl(SyntaxNode):
    """`name "note" as "alias"`."""

    name: Ident
    note: String | None = None
    alias: String | None = None


@frozen
class EnumDecl(Decl):
    """`enum E { doc? variants }`."""

    name: Ident
    doc: Doc | None
    variants: tuple[VariantDecl, ...]


@frozen
class TypeDecl(Decl):
    """`type Id = T`."""

    name: Ident
    type: TypeExpr


@frozen
class ConstantDecl(Decl):
    """`let name: T = value` outside of bodies: a constant."""

    name: Ident
    type: TypeExpr | None
    value: Expr


@frozen
class ModelDecl(Decl):
    """`model m { settings }`."""

    name: Ident
    settings: tuple[Setting, ...]


@frozen
class DefaultDecl(Decl):
    """`default { settings }`."""

    settings: tuple[Setting, ...]


@frozen
class ToolDecl(Decl):
    """`tool f(…) -> T from "pkg.mod:fn" { doc? settings }`; a server of tools has no signature."""

    name: Ident
    signature: SignatureDecl | None
    target: String
    settings: tuple[Setting, ...] = ()
    doc: Doc | None = None


ModuleKind = Literal["generate", "critique", "refine", "vote", "search", "agent", "route"]


@frozen
class ModuleDecl(Decl):
    """`generate`, `critique` and modules built from them. `has_body` tells `{}` from no body."""

    kind: ModuleKind
    name: Ident
    signature: SignatureDecl
    doc: Doc | None = None
    settings: tuple[Setting, ...] = ()
    has_body: bool = field(default=True, compare=False)


@frozen
class PipelineDecl(Decl):
    """`pipeline p(…) -> T { … }`."""

    name: Ident
    signature: SignatureDecl
    body: Block


@frozen
class MetricDecl(Decl):
    """`metric m(gold: Row, pred: R) -> T { … }`, or `from "pkg.mod:fn"`."""

    name: Ident
    signature: SignatureDecl
    body: Block | None
    target: String | None = None


@frozen
class ExampleDecl(Decl):
    """`example g(args) -> value`."""

    target: Ident
    args: tuple[Arg, ...]
    result: Expr


@frozen
class DatasetDecl(Decl):
    """`dataset d: Row { settings }`."""

    name: Ident
    row: TypeExpr
    settings: tuple[Setting, ...]


@frozen
class StoreDecl(Decl):
    """`store s: Record { settings }`."""

    name: Ident
    record: TypeExpr
    settings: tuple[Setting, ...]


@frozen
class OptimizeDecl(Decl):
    """`optimize p { settings }`."""

    target: Ident
    settings: tuple[Setting, ...]


@frozen
class TestDecl(Decl):
    """`test "name" { … }`."""

    __test__ = False  # not a pytest class

    title: String
    body: Block


@frozen
class FileTree(SyntaxNode):
    """One file: its declarations in order, and its comments by position.

    `broken` holds the names of declarations that were left out because of syntax errors.
    """

    source: Source = field(compare=False, repr=False)
    decls: tuple[Decl, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False)
    broken: frozenset[str] = field(default=frozenset(), compare=False)
