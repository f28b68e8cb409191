"""Expressions with several branches or items: if, match, comprehensions."""

from __future__ import annotations

from lmc import types
from lmc.check import calls, matching
from lmc.check.inference import as_expected, check_condition, infer, join_all
from lmc.check.narrowing import facts
from lmc.check.scope import Env
from lmc.check.subtyping import is_subtype, join, required, show, widen
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import Type


def conditional(env: Env, expr: nodes.IfExpr, expected: Type | None) -> Type:
    """Infer `if c then a else b`. Each branch knows the facts that `c` establishes."""
    links, parts = expr.chain(), []
    for link in links:
        check_condition(env, link.condition, "the condition of `if`")
        met = env.knowing(facts(env, link.condition, True))
        parts.append((link.then, infer(met, link.then, expected)))
        known = facts(env, link.condition, False)
        env = env.knowing(known) if known else env
    last = links[-1].otherwise
    parts.append((last, infer(env, last, expected)))
    type = _join_branches(env, parts, expected, "the branches of `if`")
    env.ctx.program.types |= {id(link): type for link in links}
    return type


def _join_branches(
    env: Env, parts: list[tuple[nodes.Expr, Type]], expected: Type | None, what: str
) -> Type:
    found = as_expected([type for _, type in parts], expected)
    if found is not None:
        return found
    if expected is not None and all(is_subtype(type, expected) for _, type in parts):
        joined = parts[0][1]
        for _, type in parts[1:]:
            joined = join(joined, type) or expected
        return joined
    return join_all(env, parts, what)


def match(env: Env, expr: nodes.Match, expected: Type | None) -> Type:
    """Infer a `match`, whose arms know what they are for."""
    return matching.match(env, expr, expected, _join_branches)


def comprehension(env: Env, expr: nodes.Comprehension, expected: Type | None) -> Type:
    """Infer `[e for x in xs if c]`."""
    item_types = _iterated(env, expr)
    least, most = _rows(env, expr)
    inner = env.nested()
    for ident, type in zip(expr.names, item_types):
        inner.bind(ident, type, "comprehension variable")
    if expr.condition is not None:
        check_condition(inner, expr.condition, "the condition of a comprehension")
        inner = inner.knowing(facts(inner, expr.condition, True))
        least = None
    wanted = required(expected) if expected else None
    item = infer(inner, expr.item, wanted.item if isinstance(wanted, types.ListType) else None)
    return types.ListType(item, least, most)


def _rows(env: Env, expr: nodes.Comprehension) -> tuple[int | None, int | None]:
    """How many rows a comprehension walks through, at least and at most."""
    source = expr.iterable
    exprs = [source]
    if isinstance(source, nodes.Call) and calls.is_walk(env, source):
        exprs = [arg.value for arg in source.args]
    found = [env.ctx.program.types.get(id(e)) for e in exprs]
    lists = [type for type in found if isinstance(type, types.ListType)]
    if not lists or len(lists) < len(found):
        return None, None
    least = min(type.min_len or 0 for type in lists)
    return least or None, min((t.max_len for t in lists if t.max_len is not None), default=None)


def _iterated(env: Env, expr: nodes.Comprehension) -> list[Type]:
    """The type of each variable of a comprehension."""
    if calls.is_walk(env, expr.iterable):
        item_types = calls.infer_walk(env, expr.iterable)
    else:
        whole = infer(env, expr.iterable)
        if not isinstance(whole, types.ListType | types.ErrorType):
            env.ctx.report(
                "not-a-list",
                f"a comprehension needs a list, but this is `{show(widen(whole))}`",
                Label(expr.iterable.span, f"`{show(widen(whole))}`"),
            )
        if not isinstance(whole, types.ListType):
            return [types.ERROR] * len(expr.names)
        item_types = [whole.item]
    if len(item_types) != len(expr.names):
        wanted, got = len(item_types), len(expr.names)
        env.ctx.report(
            "wrong-number-of-names",
            f"{got} name{'s' * (got > 1)} for {wanted} list{'s' * (wanted > 1)}",
            expr.names[0].span.to(expr.names[-1].span),
            expr.iterable.span,
            help="`zip(xs, ys)` walks through two lists in parallel" if wanted == 1 else None,
        )
        return [types.ERROR] * got
    return item_types
