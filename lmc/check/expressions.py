"""Infers names and literals, and holds the table of rules for all expressions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lmc import types
from lmc.check.access import attr, index, slice_, update
from lmc.check.branches import comprehension, conditional, match
from lmc.check.calls import infer_call
from lmc.check.constants import NotConstant, evaluate
from lmc.check.inference import as_expected, describe, infer, join_all, lookup
from lmc.check.operators import binary, unary
from lmc.check.program import ConstantDef, Local, ModelDef, StoreDef
from lmc.check.samples import samples
from lmc.check.scope import Declared, Env
from lmc.check.stores import entry, read_store, store_of
from lmc.check.subtyping import join, required
from lmc.check.tuning import tune
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import Type


def _var(env: Env, expr: nodes.Var, expected: Type | None) -> Type:
    found = lookup(env, expr, expected)
    if found is None:
        return types.ERROR
    if isinstance(found, Declared) and isinstance(found.meaning, StoreDef):
        return read_store(env, expr, found.meaning)
    if isinstance(found, Declared) and isinstance(found.meaning, ConstantDef):
        env.ctx.refer(expr, found.meaning)
        return found.meaning.type
    if isinstance(found, Declared | str | types.RecordType):
        return _not_a_value(env, expr, found)
    type: Type = env.facts.get((expr.name,), found.type)
    env.ctx.refer(expr, Local(expr.name, type))
    return type


def _not_a_value(env: Env, expr: nodes.Var, found: Any) -> Type:
    what, place, meaning = "a built-in", None, found
    if isinstance(found, Declared):
        what, place, meaning = (
            describe(found),
            Label(found.ident.span, "declared here"),
            found.meaning,
        )
    if isinstance(meaning, types.ErrorType):
        return types.ERROR
    callable_ = not isinstance(meaning, types.EnumType | ModelDef | None)
    env.ctx.report(
        "not-a-value",
        f"`{expr.name}` is {what}, not a value",
        expr.span,
        place,
        help=f"call it: `{expr.name}(…)`" if callable_ else None,
    )
    return types.ERROR


def _number(env: Env, expr: nodes.Number, expected: Type | None) -> Type:
    value = expr.value
    return types.IntType(value, value) if isinstance(value, int) else types.FloatType(value, value)


def _tokens(env: Env, expr: nodes.Tokens, expected: Type | None) -> Type:
    message = "a number of tokens is not a value; only `keep:` takes one"
    env.ctx.report("misplaced-tokens", message, expr.span)
    return types.ERROR


def _string(env: Env, expr: nodes.String, expected: Type | None) -> Type:
    if env.kind in _BODIES and not isinstance(expected, types.LiteralType | types.EnumType):
        _check_braces(env, expr)
    return types.LiteralType((expr.value,))


_BODIES = ("pipeline", "loop", "metric")
_IN_BRACES = re.compile(r"(?<!\{)\$?\{([A-Za-z]\w*)[.\w]*\}(?!\})", re.ASCII)


def _check_braces(env: Env, expr: nodes.String) -> None:
    """Warn of bound names in braces in a text that is not an f-string."""
    for found in _IN_BRACES.finditer(expr.value):
        if found[0] != expr.value and env.find(found[1]) is not None:
            message = f"the text has `{found[0]}` as it stands, not the value of `{found[1]}`"
            env.ctx.warn("braces-in-text", message, expr.span, help='write `f"…"`')
            return


def _interpolated(env: Env, expr: nodes.Interpolated, expected: Type | None) -> Type:
    found = [infer(env, value) for value in expr.values]
    if any(isinstance(type, types.ErrorType) for type in found):
        return types.STR
    try:
        return types.LiteralType((evaluate(env.ctx.program, expr),))
    except NotConstant:
        return types.STR


def _bool(env: Env, expr: nodes.Bool, expected: Type | None) -> Type:
    return types.BOOL


def _none(env: Env, expr: nodes.NoneLit, expected: Type | None) -> Type:
    return types.NONE


def _list(env: Env, expr: nodes.ListLit, expected: Type | None) -> Type:
    hint = _item_hint(expected)
    parts = [(e, infer(env, e, hint)) for e in expr.items]
    free = types.JSON if isinstance(hint, types.JsonType) else None
    wanted = free or as_expected([type for _, type in parts], hint)
    item = wanted or join_all(env, parts, "the items of a list")
    return types.ListType(item, len(expr.items), len(expr.items))


def _item_hint(expected: Type | None) -> Type | None:
    match required(expected or types.ERROR):
        case types.ListType(item) | types.DictType(item):
            return item
        case types.JsonType():
            return types.JSON
    return None


def _object(env: Env, expr: nodes.ObjectLit, expected: Type | None) -> Type:
    hint = _item_hint(expected)
    seen: set[str] = set()
    found: list[Type] = []
    for pair in expr.pairs:
        if pair.key.name in seen:
            env.ctx.report(
                "duplicate-key", f"the key `{pair.key.name}` is given twice", pair.key.span
            )
        seen.add(pair.key.name)
        found.append(infer(env, pair.value, hint))
    wanted = as_expected(found, hint)
    if wanted is not None:
        return types.DictType(wanted)
    item: Type | None = types.NEVER
    for type in found:
        item = item and join(item, type)
    return types.DictType(item or types.JSON)


def _selector(env: Env, expr: nodes.Selector, expected: Type | None) -> Type:
    env.ctx.report(
        "misplaced-selector",
        f"`.{expr.name.name}` selects a field for `by`; it is not a value",
        expr.span,
        help=f"write `x.{expr.name.name}` for the field of a value `x`",
    )
    return types.ERROR


def _index(env: Env, expr: nodes.Index, expected: Type | None) -> Type:
    store = store_of(env, expr.value)
    return index(env, expr, expected) if store is None else entry(env, expr, store)


TABLE: dict[type, Callable[..., Type]] = {
    nodes.Var: _var,
    nodes.Number: _number,
    nodes.Tokens: _tokens,
    nodes.String: _string,
    nodes.Interpolated: _interpolated,
    nodes.Bool: _bool,
    nodes.NoneLit: _none,
    nodes.ListLit: _list,
    nodes.ObjectLit: _object,
    nodes.Comprehension: comprehension,
    nodes.Attr: attr,
    nodes.Samples: samples,
    nodes.Index: _index,
    nodes.Slice: slice_,
    nodes.RecordUpdate: update,
    nodes.Call: infer_call,
    nodes.Unary: unary,
    nodes.Binary: binary,
    nodes.IfExpr: conditional,
    nodes.Match: match,
    nodes.Selector: _selector,
    nodes.Tune: tune,
}
