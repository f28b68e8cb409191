"""Hypothesis strategies for syntax trees of every form, and for their texts written untidily."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.tokens import RESERVED, tokens
from lmc.syntax.unparse import print_tree

SPAN = Span(Source("", ""), 0, 0)

_WORDS = [
    "a",
    "b",
    "xs",
    "out",
    "question",
    "answer",
    "Row",
    "model",
    "test",
    "record",
    "until",
    "draft",
    "or",
    "in",
    "if",
    "none",
]
keys = st.sampled_from(_WORDS)
names = st.sampled_from([word for word in _WORDS if word not in RESERVED])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ints = st.integers(0, 10**9)
_floats = st.floats(0, allow_nan=False, allow_infinity=False)


def _node(cls: type, *children: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(cls, *children, span=st.just(SPAN))


def _some(item: st.SearchStrategy, at_least: int = 0) -> st.SearchStrategy:
    return st.lists(item, min_size=at_least, max_size=3).map(tuple)


def _maybe(item: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | item


idents = _node(n.Ident, names)
key_idents = _node(n.Ident, keys)
strings = _node(n.String, texts)
docs = _maybe(_node(n.Doc, texts.map(str.strip), st.booleans()))
plain_docs = _maybe(_node(n.Doc, texts.map(str.strip)))

# --- types ---

_signed = st.integers(-999, 999) | _floats
_constants = _node(n.Var, names) | _node(n.Number, st.integers(0, 999))
_calculated = _node(n.Binary, st.sampled_from("+-*/%"), _constants, _constants)
_bounds = _maybe(_signed | texts | _node(n.Var, names) | _calculated)
_refinements = (
    _node(n.RangeRefinement, _bounds, _bounds)
    | _node(n.PatternRefinement, texts)
    | _node(n.LabelsRefinement, idents)
    | _node(n.UniqueRefinement)
)


def _larger_types(inner: st.SearchStrategy) -> st.SearchStrategy:
    named = _node(n.NamedType, key_idents, _some(inner), _some(_refinements))
    return (
        named
        | _node(n.OptionalTypeExpr, inner)
        | _node(n.UnionTypeExpr, st.lists(inner, min_size=2, max_size=3).map(tuple))
    )


types = st.recursive(
    _node(n.NamedType, key_idents) | _node(n.LiteralTypeExpr, texts), _larger_types, max_leaves=4
)

# --- expressions ---

_atoms = (
    _node(n.Var, names)
    | _node(n.Number, _ints | _floats)
    | _node(n.Tokens, _ints)
    | strings
    | _node(n.Bool, st.booleans())
    | _node(n.NoneLit)
    | _node(n.Selector, key_idents)
)
_operators = st.sampled_from(
    ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "and", "or", "??"]
)
_patterns = (
    _node(n.NamePattern, _some(key_idents, 1))
    | _node(n.StringPattern, _some(texts, 1))
    | _node(n.Wildcard)
)


def _args(value: st.SearchStrategy) -> st.SearchStrategy:
    return _some(_node(n.Arg, _maybe(key_idents), value))


def _interpolated(values: list[n.Expr]) -> st.SearchStrategy:
    pieces = st.lists(texts, min_size=len(values) + 1, max_size=len(values) + 1)
    return _node(n.Interpolated, pieces.map(tuple), st.just(tuple(values)))


def _larger_exprs(inner: st.SearchStrategy) -> st.SearchStrategy:
    pairs = _some(_node(n.KeyValue, _node(n.Ident, keys | texts.filter(bool)), inner))
    return st.one_of(
        _node(n.ListLit, _some(inner)),
        _node(n.ObjectLit, pairs),
        _node(n.Comprehension, inner, _some(idents, 1), inner, _maybe(inner)),
        _node(n.Attr, inner, key_idents, st.booleans()),
        _node(n.Index, inner, inner),
        _node(n.Slice, inner, _maybe(inner), _maybe(inner)),
        _node(n.RecordUpdate, inner, pairs),
        _node(n.Samples, inner, inner),
        st.lists(inner, max_size=2).flatmap(_interpolated),
        _node(n.Call, inner, _args(inner)),
        _node(n.Unary, st.sampled_from(["-", "not"]), inner),
        _node(n.Binary, _operators, inner, inner),
        _node(n.IfExpr, inner, inner, inner),
        _node(n.Match, inner, _some(_node(n.Arm, _patterns, inner), 1)),
        _node(n.Tune, _some(inner | _node(n.TuneRange, inner, inner), 1)),
    )


exprs = st.recursive(_atoms, _larger_exprs, max_leaves=8)

# --- statements ---

_plain_stmts = (
    _node(n.Let, idents, _maybe(types), exprs)
    | _node(n.Keep, exprs, idents)
    | _node(n.Return, exprs)
    | _node(n.Yield, exprs)
    | _node(n.Assert, exprs, _maybe(texts))
    | _node(n.Stub, key_idents, exprs)
)


def _blocks(stmts: st.SearchStrategy) -> st.SearchStrategy:
    return _node(n.Block, docs, _some(stmts))


def _larger_stmts(inner: st.SearchStrategy) -> st.SearchStrategy:
    block = _blocks(inner)
    loop = _node(n.Loop, idents, _maybe(types), exprs, exprs, _maybe(exprs), block)
    branch = _node(n.If, exprs, block, _maybe(block))
    return (
        _node(n.Let, idents, st.none(), loop)
        | _node(n.Return, loop)
        | _node(n.If, exprs, block, _maybe(block | branch))
    )


blocks = _blocks(st.recursive(_plain_stmts, _larger_stmts, max_leaves=4))

# --- declarations ---

_settings = _some(_node(n.Setting, key_idents, exprs))
_params = _some(_node(n.ParamDecl, idents, types, _maybe(exprs), st.booleans(), _maybe(strings)))
_signatures = _node(n.SignatureDecl, _params, types)
_fields = _some(
    _node(n.FieldDecl, key_idents, types, _maybe(exprs), _maybe(strings), _maybe(strings)), 1
)
_depths = _node(n.Depth, key_idents, _ints | _floats)
_variants = _some(_node(n.VariantDecl, key_idents, _maybe(strings), _maybe(strings)), 1)
_bodiless = ("generate", "critique", "vote")

decls = st.one_of(
    _node(n.Import, strings, _some(_node(n.ImportItem, key_idents, _maybe(idents)), 1)),
    _node(n.RecordDecl, idents, docs, _fields, _maybe(_depths)),
    _node(n.EnumDecl, idents, plain_docs, _variants),
    _node(n.TypeDecl, idents, types),
    _node(n.ConstantDecl, idents, _maybe(types), exprs),
    _node(n.ModelDecl, idents, _settings),
    _node(n.DefaultDecl, _settings),
    _node(n.ToolDecl, idents, _maybe(_signatures), strings, _settings, plain_docs),
    _node(n.ModuleDecl, st.sampled_from(_bodiless), idents, _signatures),
    _node(
        n.ModuleDecl, st.sampled_from((*_bodiless, "refine")), idents, _signatures, docs, _settings
    ),
    _node(n.PipelineDecl, idents, _signatures, blocks),
    _node(n.MetricDecl, idents, _signatures, blocks),
    _node(n.MetricDecl, idents, _signatures, st.none(), strings),
    _node(n.ExampleDecl, key_idents, _args(exprs), exprs),
    _node(n.DatasetDecl, idents, types, _settings),
    _node(n.StoreDecl, idents, types, _settings),
    _node(n.OptimizeDecl, key_idents, _settings),
    _node(n.TestDecl, strings, blocks),
)

modules = st.builds(
    n.FileTree, st.just(SPAN.source), st.lists(decls, max_size=3).map(tuple), span=st.just(SPAN)
)


@st.composite
def untidy_programs(draw: st.DrawFn) -> str:
    """Draw a program with spaces, line breaks and comments put anywhere between its tokens."""
    text = print_tree(draw(modules))
    filler = st.sampled_from([" "] * 8 + ["\n  ", "\n\n\n  ", "   ", "  # note\n  ", "\n# own\n  "])
    found = tokens(Source("", text))
    parts, inside = [], 0
    for token, after in pairwise(found):
        inside += {"FSTRING_START": 1, "FSTRING_END": -1}.get(token.kind, 0)
        whole = after.kind in ("COLON", "EQUAL") or token.kind in ("FROZEN", "ALIAS")  # look ahead
        whole |= inside > 0  # the values of an f-string are on one line
        parts += [token.text, " " if whole else draw(filler)]
    return "".join(parts)
