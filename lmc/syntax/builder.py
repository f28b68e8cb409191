"""Builds the syntax tree: one method for each rule of the grammar, with the rule's name."""

# ruff: noqa: D102 - each method makes the node that its result type names

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from lmc.diagnostics import Diagnostic, error
from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.literals import MOST_INT, interpolated_texts, number_value, string_value
from lmc.syntax.tokens import RESERVED, Token

_PYTHON_LITERALS = {"True": "true", "False": "false", "None": "none"}


class TreeBuilder:
    """Makes nodes for one source. `diagnostics` collects errors inside literals and names.

    Each method takes the span of the rule and its children. A child is a token, a node, or None for
    a part that is absent.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []

    def _span(self, token: Token) -> Span:
        return Span(self.source, token.start, token.end)

    def _new_name(self, token: Token) -> n.Ident:
        """Make the name of something that expressions refer to."""
        if token.text in RESERVED:
            message = f"`{token.text}` is a keyword inside expressions, so it cannot name a value"
            self.diagnostics.append(error("reserved-word", message, self._span(token)))
        return self._ident(token)

    def _ident(self, token: Token) -> n.Ident:
        return n.Ident(token.text, span=self._span(token))

    def _idents(self, tokens: tuple[Token, ...]) -> tuple[n.Ident, ...]:
        return tuple(map(self._ident, tokens))

    def _text(self, token: Token) -> str:
        return string_value(token.text, lambda start, end: self._bad_escape(token, start, end))

    def _bad_escape(self, token: Token, start: int, end: int) -> None:
        span = Span(self.source, token.start + start, token.start + end)
        help = r'the escapes are \n \t \r \\ \" \uXXXX \u{X…}; r"…" has no escapes'
        message = f"`{span.text}` is not an escape"
        self.diagnostics.append(error("bad-escape", message, span, help=help))

    def _string(self, token: Token) -> n.String:
        return n.String(self._text(token), token.text, span=self._span(token))

    def _number(self, token: Token) -> int | float:
        try:
            return number_value(token.text)
        except OverflowError:
            whole = token.text.replace("_", "").isdigit()
            shown = token.text if len(token.text) <= 24 else f"{token.text[:12]}…"
            message = f"`{shown}` is larger than any {'int' if whole else 'float'}"
            help = (
                f"the largest int is {MOST_INT}; a float has a point or an exponent, as in `1e20`"
                if whole
                else "the largest float is about 1.8e308"
            )
            self.diagnostics.append(error("bad-number", message, self._span(token), help=help))
            return 0

    def _optional_string(self, token: Token | None) -> n.String | None:
        return token and self._string(token)

    # --- declarations ---

    def start(self, span: Span, *decls: n.Decl) -> tuple[n.Decl, ...]:
        return decls

    def import_(self, span: Span, path: Token, *items: n.ImportItem) -> n.Import:
        return n.Import(self._string(path), items, span=span)

    def import_item(self, span: Span, name: Token, alias: Token | None) -> n.ImportItem:
        return n.ImportItem(self._ident(name), alias and self._new_name(alias), span=span)

    def record(
        self,
        span: Span,
        name: Token,
        depth: n.Depth | None,
        doc: n.Doc | None,
        *fields: n.FieldDecl,
    ) -> n.RecordDecl:
        return n.RecordDecl(self._new_name(name), doc, fields, depth, span=span)

    def depth(self, span: Span, key: Token, bound: Token) -> n.Depth:
        return n.Depth(self._ident(key), self._number(bound), span=span)

    def field(
        self,
        span: Span,
        name: Token,
        type: n.TypeExpr,
        default: n.Expr | None,
        note: Token | None,
        _: Token | None,
        alias: Token | None,
    ) -> n.FieldDecl:
        told, seen = self._optional_string(note), self._optional_string(alias)
        last = seen or told or default or type
        span = Span(self.source, span.start, last.span.end)
        return n.FieldDecl(self._ident(name), type, default, told, seen, span=span)

    def enum(
        self, span: Span, name: Token, doc: n.Doc | None, *variants: n.VariantDecl
    ) -> n.EnumDecl:
        return n.EnumDecl(self._new_name(name), doc, variants, span=span)

    def variant(
        self, span: Span, name: Token, note: Token | None, _: Token | None, alias: Token | None
    ) -> n.VariantDecl:
        span = Span(self.source, span.start, (alias or note or name).end)
        told, seen = self._optional_string(note), self._optional_string(alias)
        return n.VariantDecl(self._ident(name), told, seen, span=span)

    def alias(self, span: Span, name: Token, type: n.TypeExpr) -> n.TypeDecl:
        return n.TypeDecl(self._new_name(name), type, span=span)

    def constant(
        self, span: Span, name: Token, type: n.TypeExpr | None, value: n.Expr
    ) -> n.ConstantDecl:
        return n.ConstantDecl(self._new_name(name), type, value, span=span)

    def model(self, span: Span, name: Token, *settings: n.Setting) -> n.ModelDecl:
        return n.ModelDecl(self._new_name(name), settings, span=span)

    def default(self, span: Span, *settings: n.Setting) -> n.DefaultDecl:
        return n.DefaultDecl(settings, span=span)

    def tool(
        self,
        span: Span,
        name: Token,
        signature: n.SignatureDecl | None,
        target: Token,
        body: tuple[n.Doc | None, tuple[n.Setting, ...]] | None,
    ) -> n.ToolDecl:
        doc, settings = body or (None, ())
        return n.ToolDecl(
            self._new_name(name), signature, self._string(target), settings, doc, span=span
        )

    def tool_body(
        self, span: Span, doc: n.Doc | None, *settings: n.Setting
    ) -> tuple[n.Doc | None, tuple[n.Setting, ...]]:
        return doc, settings

    def module(
        self,
        span: Span,
        kind: Token,
        name: Token,
        signature: n.SignatureDecl,
        body: tuple[n.Doc | None, tuple[n.Setting, ...]] | None,
    ) -> n.ModuleDecl:
        doc, settings = body or (None, ())
        return n.ModuleDecl(
            cast(n.ModuleKind, kind.text),
            self._new_name(name),
            signature,
            doc,
            settings,
            has_body=body is not None,
            span=span,
        )

    def body(
        self, span: Span, doc: n.Doc | None, *settings: n.Setting
    ) -> tuple[n.Doc | None, tuple[n.Setting, ...]]:
        return doc, settings

    def pipeline(
        self, span: Span, name: Token, signature: n.SignatureDecl, body: n.Block
    ) -> n.PipelineDecl:
        return n.PipelineDecl(self._new_name(name), signature, body, span=span)

    def metric(
        self, span: Span, name: Token, signature: n.SignatureDecl, body: n.Block | Token
    ) -> n.MetricDecl:
        block, target = (body, None) if isinstance(body, n.Block) else (None, self._string(body))
        return n.MetricDecl(self._new_name(name), signature, block, target, span=span)

    def example(self, span: Span, target: Token, *rest: n.Arg | n.Expr) -> n.ExampleDecl:
        *args, result = rest
        return n.ExampleDecl(
            self._ident(target),
            cast(tuple[n.Arg, ...], tuple(args)),
            cast(n.Expr, result),
            span=span,
        )

    def dataset(
        self, span: Span, name: Token, row: n.TypeExpr, *settings: n.Setting
    ) -> n.DatasetDecl:
        return n.DatasetDecl(self._new_name(name), row, settings, span=span)

    def store(
        self, span: Span, name: Token, record: n.TypeExpr, *settings: n.Setting
    ) -> n.StoreDecl:
        return n.StoreDecl(self._new_name(name), record, settings, span=span)

    def optimize(self, span: Span, target: Token, *settings: n.Setting) -> n.OptimizeDecl:
        return n.OptimizeDecl(self._ident(target), settings, span=span)

    def test(self, span: Span, title: Token, body: n.Block) -> n.TestDecl:
        return n.TestDecl(self._string(title), body, span=span)

    def signature(self, span: Span, *parts: n.ParamDecl | n.TypeExpr) -> n.SignatureDecl:
        *params, result = parts
        return n.SignatureDecl(
            cast(tuple[n.ParamDecl, ...], tuple(params)), cast(n.TypeExpr, result), span=span
        )

    def param(
        self,
        span: Span,
        train: Token | None,
        name: Token,
        type: n.TypeExpr,
        default: n.Expr | None,
        note: Token | None,
    ) -> n.ParamDecl:
        own, told = self._new_name(name), self._optional_string(note)
        return n.ParamDecl(own, type, default, train is not None, told, span=span)

    def setting(self, span: Span, key: Token, value: n.Expr) -> n.Setting:
        span = Span(self.source, span.start, value.span.end)
        return n.Setting(self._ident(key), value, span=span)

    def doc(self, span: Span, frozen: Token | None, text: Token) -> n.Doc:
        return n.Doc(self._text(text).strip(), frozen is not None, text.text, span=span)

    def plain_doc(self, span: Span, text: Token) -> n.Doc:
        return self.doc(span, None, text)

    # --- types ---

    def union_type(self, span: Span, *options: n.TypeExpr) -> n.UnionTypeExpr:
        return n.UnionTypeExpr(options, span=span)

    def optional_type(self, span: Span, item: n.TypeExpr) -> n.OptionalTypeExpr:
        return n.OptionalTypeExpr(item, span=span)

    def named_type(self, span: Span, name: Token, *parts: Any) -> n.NamedType:
        args = tuple(p for p in parts if isinstance(p, n.TypeExpr))
        return n.NamedType(self._ident(name), args, parts[len(args) :], span=span)

    def literal_type(self, span: Span, text: Token) -> n.LiteralTypeExpr:
        return n.LiteralTypeExpr(self._text(text), text.text, span=span)

    def group_type(self, span: Span, inner: n.TypeExpr) -> n.TypeExpr:
        return replace(inner, span=span)

    def unique(self, span: Span) -> n.UniqueRefinement:
        return n.UniqueRefinement(span=span)

    def range(self, span: Span, low: n.Expr | None, high: n.Expr | None) -> n.RangeRefinement:
        return n.RangeRefinement(self._bound(low), self._bound(high), span=span)

    def _bound(self, bound: n.Expr | None) -> n.Bound:
        """A number or text as its value; what has to be calculated as it is."""
        match bound:
            case n.Number(value=value) | n.String(value=value):
                return value
            case n.Unary(op="-", operand=n.Number(value=value)):
                return -value
        return bound

    def labels(self, span: Span, name: Token) -> n.LabelsRefinement:
        return n.LabelsRefinement(self._ident(name), span=span)

    def regex(self, span: Span, text: Token) -> n.PatternRefinement:
        return n.PatternRefinement(self._text(text), text.text, span=span)

    # --- statements ---

    def block(self, span: Span, doc: n.Doc | None, *stmts: n.Stmt) -> n.Block:
        return n.Block(doc, stmts, span=span)

    def let(self, span: Span, name: Token, type: n.TypeExpr | None, value: n.Expr) -> n.Let:
        return n.Let(self._new_name(name), type, value, span=span)

    def keep(self, span: Span, value: n.Expr, _: Token, store: Token) -> n.Keep:
        return n.Keep(value, self._ident(store), span=span)

    def loop(
        self,
        span: Span,
        name: Token,
        type: n.TypeExpr | None,
        start: n.Expr,
        bound: n.Expr,
        until: n.Expr | None,
        body: n.Block,
    ) -> n.Loop:
        return n.Loop(self._new_name(name), type, start, bound, until, body, span=span)

    def if_(
        self, span: Span, condition: n.Expr, then: n.Block, otherwise: n.Block | n.If | None
    ) -> n.If:
        return n.If(condition, then, otherwise, span=span)

    def return_(self, span: Span, value: n.Expr) -> n.Return:
        return n.Return(value, span=span)

    def yield_(self, span: Span, value: n.Expr) -> n.Yield:
        return n.Yield(value, span=span)

    def assert_(self, span: Span, condition: n.Expr, message: Token | None) -> n.Assert:
        return n.Assert(condition, None if message is None else self._text(message), span=span)

    def stub(self, span: Span, target: Token, value: n.Expr) -> n.Stub:
        return n.Stub(self._ident(target), value, span=span)

    # --- expressions ---

    def if_expr(self, span: Span, condition: n.Expr, then: n.Expr, otherwise: n.Expr) -> n.IfExpr:
        return n.IfExpr(condition, then, otherwise, span=span)

    def binary(self, span: Span, left: n.Expr, op: Token, right: n.Expr) -> n.Binary:
        return n.Binary(op.text, left, right, span=span)

    def unary(self, span: Span, op: Token, operand: n.Expr) -> n.Unary:
        return n.Unary("-" if op.text == "-" else "not", operand, span=span)

    def attr(self, span: Span, value: n.Expr, name: Token) -> n.Attr:
        return n.Attr(value, self._ident(name), span=span)

    def optional_attr(self, span: Span, value: n.Expr, name: Token) -> n.Attr:
        return n.Attr(value, self._ident(name), True, span=span)

    def index(self, span: Span, value: n.Expr, index: n.Expr) -> n.Index:
        return n.Index(value, index, span=span)

    def slice(
        self, span: Span, value: n.Expr, start: n.Expr | None, stop: n.Expr | None
    ) -> n.Slice:
        return n.Slice(value, start, stop, span=span)

    def update(self, span: Span, value: n.Expr, *pairs: n.KeyValue) -> n.RecordUpdate:
        return n.RecordUpdate(value, pairs, span=span)

    def call(self, span: Span, target: n.Expr, *args: n.Arg) -> n.Call:
        return n.Call(target, args, span=span)

    def tune_call(self, span: Span, *args: n.Arg) -> n.Call:
        """Make a call of the optimizer named `tune`."""
        start = Span(span.source, span.start, span.start + len("tune"))
        return n.Call(n.Var("tune", span=start), args, span=span)

    def arg(self, span: Span, name: Token | None, value: n.Expr) -> n.Arg:
        return n.Arg(name and self._ident(name), value, span=span)

    def var(self, span: Span, name: Token) -> n.Var:
        if name.text in _PYTHON_LITERALS:
            right = _PYTHON_LITERALS[name.text]
            message = f"`{name.text}` is written `{right}` here"
            self.diagnostics.append(error("python-literal", message, span, help=f"write `{right}`"))
        return n.Var(name.text, span=span)

    def number(self, span: Span, digits: Token) -> n.Number:
        return n.Number(self._number(digits), digits.text, span=span)

    def tokens(self, span: Span, digits: Token) -> n.Tokens:
        return n.Tokens(self._number(digits), span=span)

    def string(self, span: Span, text: Token) -> n.String:
        return self._string(text)

    def interpolated(self, span: Span, *parts: Token | n.Expr) -> n.Interpolated:
        pieces = [part for part in parts if isinstance(part, Token)]
        values = tuple(part for part in parts if isinstance(part, n.Expr))

        def bad_escape(piece: int, start: int, end: int) -> None:
            self._bad_escape(pieces[piece], start, end)

        texts = interpolated_texts([piece.text for piece in pieces], bad_escape)
        return n.Interpolated(texts, values, span=span)

    def true(self, span: Span) -> n.Bool:
        return n.Bool(True, span=span)

    def false(self, span: Span) -> n.Bool:
        return n.Bool(False, span=span)

    def none(self, span: Span) -> n.NoneLit:
        return n.NoneLit(span=span)

    def group(self, span: Span, inner: n.Expr) -> n.Expr:
        return replace(inner, span=span)

    def list(self, span: Span, *items: n.Expr) -> n.ListLit:
        return n.ListLit(items, span=span)

    def comprehension(self, span: Span, item: n.Expr, *rest: Any) -> n.Comprehension:
        *names, iterable, condition = rest
        return n.Comprehension(
            item, tuple(map(self._new_name, names)), iterable, condition, span=span
        )

    def samples(self, span: Span, item: n.Expr, count: n.Expr) -> n.Samples:
        return n.Samples(item, count, span=span)

    def object(self, span: Span, *pairs: n.KeyValue) -> n.ObjectLit:
        return n.ObjectLit(pairs, span=span)

    def pair(self, span: Span, key: Token, value: n.Expr) -> n.KeyValue:
        name = self._text(key) if key.kind == "STRING" else key.text
        return n.KeyValue(n.Ident(name, span=self._span(key)), value, span=span)

    def selector(self, span: Span, name: Token) -> n.Selector:
        return n.Selector(self._ident(name), span=span)

    def tune(self, span: Span, *options: n.Expr | n.TuneRange) -> n.Tune:
        return n.Tune(options, span=span)

    def tune_range(self, span: Span, low: n.Expr, high: n.Expr) -> n.TuneRange:
        return n.TuneRange(low, high, span=span)

    def match(self, span: Span, subject: n.Expr, *arms: n.Arm) -> n.Match:
        return n.Match(subject, arms, span=span)

    def arm(self, span: Span, pattern: Any, value: n.Expr) -> n.Arm:
        return n.Arm(pattern, value, span=Span(self.source, span.start, value.span.end))

    def name_pattern(self, span: Span, *names: Token) -> n.NamePattern:
        return n.NamePattern(self._idents(names), span=span)

    def string_pattern(self, span: Span, *values: Token) -> n.StringPattern:
        return n.StringPattern(tuple(map(self._text, values)), span=span)

    def wildcard(self, span: Span) -> n.Wildcard:
        return n.Wildcard(span=span)
