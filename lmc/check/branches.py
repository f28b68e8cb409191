"""Expressions with several branches or items: if, match, comprehensions."""

from __future__ import annotations

from lmc import types
from lmc.check import calls
from lmc.check.access import listed, report_variant
from lmc.check.inference import check_condition, infer, join_all
from lmc.check.narrowing import facts
from lmc.check.scope import Env
from lmc.check.subtyping import is_subtype, is_text, join, required, show, widen
from lmc.diagnostics import Label
from lmc.source import Span
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
    if expected is not None and all(is_subtype(type, expected) for _, type in parts):
        joined = parts[0][1]
        for _, type in parts[1:]:
            joined = join(joined, type) or expected
        return joined
    return join_all(env, parts, what)


def match(env: Env, expr: nodes.Match, expected: Type | None) -> Type:
    """Infer a `match`. It must cover every case or have `_`."""
    subject = infer(env, expr.subject)
    left = _cases(subject)
    if left is None and not isinstance(subject, types.ErrorType) and not is_text(subject):
        env.ctx.report(
            "not-matchable",
            f"`match` takes an enum or a string, but this is `{show(widen(subject))}`",
            Label(expr.subject.span, f"`{show(widen(subject))}`"),
        )
        subject = types.ERROR
    open_ = left is None
    parts = []
    for arm in expr.arms:
        left = _cover(env, arm, subject, left, open_)
        parts.append((arm.value, infer(env, arm.value, expected)))
    wild = any(isinstance(arm.pattern, nodes.Wildcard) for arm in expr.arms)
    if not wild and not isinstance(subject, types.ErrorType):
        _report_uncovered(env, expr, left)
    return _join_branches(env, parts, expected, "the arms of `match`")


def _cases(subject: Type) -> list[str] | None:
    match subject:
        case types.EnumType(variants=values) | types.LiteralType(values=values):
            return list(values)
    return None


def _cover(
    env: Env, arm: nodes.Arm, subject: Type, left: list[str] | None, open_: bool
) -> list[str] | None:
    covered: list[str] = []
    match arm.pattern:
        case nodes.Wildcard():
            if left == [] and not open_:
                env.ctx.warn(
                    "unreachable", "earlier arms already cover every case", arm.pattern.span
                )
            return []
        case nodes.NamePattern(names=idents) if isinstance(subject, types.EnumType):
            covered = [ident.name for ident in idents]
            for ident in idents:
                if ident.name not in subject.variants:
                    report_variant(env, subject, ident)
                elif left is not None and ident.name not in left:
                    _report_twice(env, ident.span, ident.name)
        case nodes.StringPattern(values=values) if not isinstance(subject, types.EnumType):
            covered = list(values)
            known = subject.values if isinstance(subject, types.LiteralType) else values
            for value in values:
                if value not in known and not isinstance(subject, types.ErrorType):
                    env.ctx.report(
                        "never-equal", f'`{subject}` is never "{value}"', arm.pattern.span
                    )
                elif left is not None and value not in left:
                    _report_twice(env, arm.pattern.span, value)
        case pattern if not isinstance(subject, types.ErrorType):
            wanted = "variant names" if isinstance(subject, types.EnumType) else "strings"
            env.ctx.report(
                "wrong-pattern",
                f"the patterns for `{show(widen(subject))}` must be {wanted}",
                pattern.span,
            )
    return None if left is None else [case for case in left if case not in covered]


def _report_twice(env: Env, span: Span, name: str) -> None:
    env.ctx.report("duplicate-case", f"an earlier arm already covers `{name}`", span)


def _report_uncovered(env: Env, expr: nodes.Match, left: list[str] | None) -> None:
    if left == []:
        return
    missing = "other strings" if left is None else listed(left)
    env.ctx.report(
        "match-not-covered",
        f"this `match` does not cover {missing}",
        Label(Span(expr.span.source, expr.span.start, expr.span.start + len("match"))),
        help="add an arm `_ => …`" if left is None else f"add `{' | '.join(left)} => …`",
    )


def comprehension(env: Env, expr: nodes.Comprehension, expected: Type | None) -> Type:
    """Infer `[e for x in xs if c]`."""
    item_types = _iterated(env, expr)
    inner = env.nested()
    for ident, type in zip(expr.names, item_types):
        inner.bind(ident, type, "comprehension variable")
    if expr.condition is not None:
        check_condition(inner, expr.condition, "the condition of a comprehension")
        inner = inner.knowing(facts(inner, expr.condition, True))
    wanted = required(expected) if expected else None
    return types.ListType(
        infer(inner, expr.item, wanted.item if isinstance(wanted, types.ListType) else None)
    )


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
