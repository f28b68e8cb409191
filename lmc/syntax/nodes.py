"""The syntax tree: frozen dataclasses, one a form, equal by content and not by place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lmc.source import Source, Span

# Nodes compare without spans, so that `parse(print(tree)) == tree` can be asked.
# Side tables of later stages are keyed by `id(node)`: the tree outlives them.


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything with a place in the source."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A name where it is declared or referred to."""

    name: str


@dataclass(frozen=True, slots=True)
class Comment(Node):
    """`# text` up to the line's end; `own_line` when nothing stands before it on its line."""

    text: str
    own_line: bool


@dataclass(frozen=True, slots=True)
class Doc(Node):
    """A docstring: `text` is dedented and stripped, `raw` is the literal as written."""

    text: str
    frozen: bool = False
    raw: str = field(default="", compare=False)


# --- types ---


@dataclass(frozen=True, slots=True)
class TypeExpr(Node):
    """Base of type expressions."""


@dataclass(frozen=True, slots=True)
class RangeRefinement(Node):
    """`lo..hi`, either end may be missing."""

    low: int | float | None
    high: int | float | None


@dataclass(frozen=True, slots=True)
class PatternRefinement(Node):
    """`r"…"`: a regular expression for the whole string."""

    pattern: str
    raw: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class NamedType(TypeExpr):
    """`name`, `name[args]`, `name[args](refinements)`."""

    name: Ident
    args: tuple[TypeExpr, ...] = ()
    refinements: tuple[RangeRefinement | PatternRefinement, ...] = ()


@dataclass(frozen=True, slots=True)
class OptionalTypeExpr(TypeExpr):
    """`T?`."""

    item: TypeExpr


@dataclass(frozen=True, slots=True)
class LiteralTypeExpr(TypeExpr):
    """`"yes"` as a type."""

    value: str
    raw: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class UnionTypeExpr(TypeExpr):
    """`A | B | …`, two options or more."""

    options: tuple[TypeExpr, ...]


# --- expressions ---


@dataclass(frozen=True, slots=True)
class Expr(Node):
    """Base of expressions."""


@dataclass(frozen=True, slots=True)
class Var(Expr):
    """A name used as a value or as the target of a call."""

    name: str


@dataclass(frozen=True, slots=True)
class Number(Expr):
    """A number literal: int where the source has neither point nor exponent."""

    value: int | float
    raw: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class String(Expr):
    """A string literal; a triple-quoted one is dedented like a docstring."""

    value: str
    raw: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Bool(Expr):
    """`true`, `false`."""

    value: bool


@dataclass(frozen=True, slots=True)
class NoneLit(Expr):
    """`none`."""


@dataclass(frozen=True, slots=True)
class ListLit(Expr):
    """`[a, b]`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Pair(Node):
    """One `key: value` of an object."""

    key: Ident
    value: Expr


@dataclass(frozen=True, slots=True)
class ObjectLit(Expr):
    """`{key: value}`: settings, and values of type `json` and `dict`."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Comprehension(Expr):
    """`[item for a, b in iterable if condition]`, items in parallel."""

    item: Expr
    names: tuple[Ident, ...]
    iterable: Expr
    condition: Expr | None = None


@dataclass(frozen=True, slots=True)
class Attr(Expr):
    """`value.name`, or `value?.name` when optional."""

    value: Expr
    name: Ident
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index(Expr):
    """`value[index]`."""

    value: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Arg(Node):
    """An argument, by position (`name` is None) or by name."""

    name: Ident | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """`target(args)`: a module, pipeline, tool, metric, record, built-in, or an optimizer step."""

    target: Expr
    args: tuple[Arg, ...] = ()


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`-x`, `not x`."""

    op: Literal["-", "not"]
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """`a op b`; op is one of + - * / % == != < <= > >= in and or ??."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class IfExpr(Expr):
    """`if condition then a else b`."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class NamePattern(Node):
    """`a | b`: enum variants by name."""

    names: tuple[Ident, ...]


@dataclass(frozen=True, slots=True)
class StringPattern(Node):
    """`"a" | "b"`: literals."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard(Node):
    """`_`."""


@dataclass(frozen=True, slots=True)
class Arm(Node):
    """One `pattern => value` of a match."""

    pattern: NamePattern | StringPattern | Wildcard
    value: Expr


@dataclass(frozen=True, slots=True)
class Match(Expr):
    """`match subject { arms }`."""

    subject: Expr
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Selector(Expr):
    """`.field`: which field a vote or `unique` goes by."""

    name: Ident


@dataclass(frozen=True, slots=True)
class TuneRange(Node):
    """`lo..hi` in `tune[lo..hi]`: every integer of the range."""

    low: Expr
    high: Expr


@dataclass(frozen=True, slots=True)
class Tune(Expr):
    """`tune[a, b, …]`: constants an optimizer may choose from; the first is the baseline."""

    options: tuple[Expr | TuneRange, ...]


@dataclass(frozen=True, slots=True)
class Loop(Expr):
    """`loop s: T = e0 for n until c { … yield e }`; stands only after `let x =` or `return`."""

    name: Ident
    type: TypeExpr | None
    start: Expr
    bound: Expr
    until: Expr | None
    body: Block


# --- statements ---


@dataclass(frozen=True, slots=True)
class Stmt(Node):
    """Base of statements."""


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ doc? statements }`."""

    doc: Doc | None
    stmts: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Let(Stmt):
    """`let name: T = value`."""

    name: Ident
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True)
class If(Stmt):
    """`if c { … } else { … }`; an `else if` is an If in `otherwise`."""

    condition: Expr
    then: Block
    otherwise: Block | If | None = None


@dataclass(frozen=True, slots=True)
class Return(Stmt):
    """`return value`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Yield(Stmt):
    """`yield value`: the next state of the loop around it."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Assert(Stmt):
    """`assert condition, "message"`, in tests."""

    condition: Expr
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Stub(Stmt):
    """`stub module -> value`, in tests."""

    target: Ident
    value: Expr


# --- declarations ---


@dataclass(frozen=True, slots=True)
class Decl(Node):
    """Base of declarations."""


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """`key: value` in a body."""

    key: Ident
    value: Expr


@dataclass(frozen=True, slots=True)
class Param(Node):
    """A parameter; `train` ones are seen while optimizing and hidden when deployed."""

    name: Ident
    type: TypeExpr
    default: Expr | None = None
    train: bool = False


@dataclass(frozen=True, slots=True)
class Signature(Node):
    """`(params) -> result`."""

    params: tuple[Param, ...]
    result: TypeExpr


@dataclass(frozen=True, slots=True)
class ImportItem(Node):
    """`name as alias`; `alias` is None when it keeps its name."""

    name: Ident
    alias: Ident | None = None


@dataclass(frozen=True, slots=True)
class Import(Decl):
    """`from "path" import a, b as c`."""

    path: String
    items: tuple[ImportItem, ...]


@dataclass(frozen=True, slots=True)
class FieldDecl(Node):
    """`name: T = default "note"`."""

    name: Ident
    type: TypeExpr
    default: Expr | None = None
    note: String | None = None


@dataclass(frozen=True, slots=True)
class RecordDecl(Decl):
    """`record R { doc? fields }`."""

    name: Ident
    doc: Doc | None
    fields: tuple[FieldDecl, ...]


@dataclass(frozen=True, slots=True)
class VariantDecl(Node):
    """`name "note"`."""

    name: Ident
    note: String | None = None


@dataclass(frozen=True, slots=True)
class EnumDecl(Decl):
    """`enum E { doc? variants }`."""

    name: Ident
    doc: Doc | None
    variants: tuple[VariantDecl, ...]


@dataclass(frozen=True, slots=True)
class TypeDecl(Decl):
    """`type Id = T`."""

    name: Ident
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class ModelDecl(Decl):
    """`model m { settings }`."""

    name: Ident
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class DefaultDecl(Decl):
    """`default { settings }`."""

    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class ToolDecl(Decl):
    """`tool f(…) -> T from "pkg.mod:fn" { settings }`."""

    name: Ident
    signature: Signature
    target: String
    settings: tuple[Setting, ...] = ()


ModuleKind = Literal["generate", "critique", "refine", "vote"]


@dataclass(frozen=True, slots=True)
class ModuleDecl(Decl):
    """`generate`, `critique`, `refine` and `vote`; `has_body` tells `{}` from no body."""

    kind: ModuleKind
    name: Ident
    signature: Signature
    doc: Doc | None = None
    settings: tuple[Setting, ...] = ()
    has_body: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class PipelineDecl(Decl):
    """`pipeline p(…) -> T { … }`."""

    name: Ident
    signature: Signature
    body: Block


@dataclass(frozen=True, slots=True)
class MetricDecl(Decl):
    """`metric m(gold: Row, pred: R) -> T { … }`, or `from "pkg.mod:fn"`."""

    name: Ident
    signature: Signature
    body: Block | None
    target: String | None = None


@dataclass(frozen=True, slots=True)
class ExampleDecl(Decl):
    """`example g(args) -> value`."""

    target: Ident
    args: tuple[Arg, ...]
    result: Expr


@dataclass(frozen=True, slots=True)
class DatasetDecl(Decl):
    """`dataset d: Row { settings }`."""

    name: Ident
    row: TypeExpr
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class OptimizeDecl(Decl):
    """`optimize p { settings }`."""

    target: Ident
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class TestDecl(Decl):
    """`test "name" { … }`."""

    __test__ = False  # not a pytest class

    title: String
    body: Block


@dataclass(frozen=True, slots=True)
class Module(Node):
    """One file: its declarations in order, and its comments by position."""

    source: Source = field(compare=False, repr=False)
    decls: tuple[Decl, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False)
