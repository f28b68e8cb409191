"""`match`: its cases are the variants of an enum, certain texts, or the members of a union.

An arm of a union knows more of a subject that is a name, or a field of one: its type is that of the
members that the arm is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc import types
from lmc.check.access import listed, report_variant, use_member
from lmc.check.annotations import PRIMITIVES
from lmc.check.inference import infer
from lmc.check.narrowing import path_of
from lmc.check.scope import Env, Path
from lmc.check.subtyping import is_subtype, is_text, required, show, widen
from lmc.diagnostics import Label, suggestion
from lmc.frozen import frozen
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import Type
from lmc.unions import kind_of, members, united

Join = Callable[[Env, list[tuple[nodes.Expr, Type]], Type | None, str], Type]
Cases = Mapping[str, Type]  # what is covered by its name in messages, and its type
NONE = "none"
_NAMES_OF_KINDS: Mapping[str, type[Type]] = {"list": types.ListType, "dict": types.DictType}


@frozen
class Covered:
    """The cases that an arm takes, and the type of the subject in it."""

    cases: tuple[str, ...]
    type: Type


def match(env: Env, expr: nodes.Match, expected: Type | None, join: Join) -> Type:
    """Infer a `match`. It must cover every case or have `_`."""
    subject = infer(env, expr.subject)
    cases = _cases(env, subject)
    unlisted = cases is None and not isinstance(subject, types.ErrorType) and not is_text(subject)
    if unlisted or _is_of_item(expr, subject):
        _report_not_matchable(env, expr, subject)
        subject = types.ERROR
    parts, left = [], None if cases is None else dict(cases)
    for arm in expr.arms:
        covered = _covered(env, arm, subject, cases, left)
        env.ctx.program.types[id(arm)] = covered.type
        inner = _knowing(env, expr.subject, subject, covered.type)
        parts.append((arm.value, infer(inner, arm.value, expected)))
        for case in covered.cases if left else ():
            left.pop(case, None)  # type: ignore[union-attr]
    wild = any(isinstance(arm.pattern, nodes.Wildcard) for arm in expr.arms)
    if not wild and not isinstance(subject, types.ErrorType):
        _report_uncovered(env, expr, None if left is None else list(left))
    return join(env, parts, expected, "the arms of `match`")


def _report_not_matchable(env: Env, expr: nodes.Match, subject: Type) -> None:
    shown = show(widen(subject))
    env.ctx.report(
        "not-matchable",
        f"`match` takes an enum, a string or a union, but this is `{shown}`",
        Label(expr.subject.span, f"`{shown}`"),
        help="give a default with `??`, or test for `!= none` first"
        if isinstance(subject, types.OptionalType)
        else None,
    )


def _is_of_item(expr: nodes.Match, subject: Type) -> bool:
    """Whether the arms are for the texts of an optional value, which may also be none."""
    item = required(subject)
    if item is subject or isinstance(item, types.UnionType | types.LiteralType):
        return False
    texts = item.variants if isinstance(item, types.EnumType) else ()
    patterns = [arm.pattern for arm in expr.arms]
    named = [p for p in patterns if isinstance(p, nodes.NamePattern)]
    return any(isinstance(p, nodes.StringPattern) for p in patterns) or any(
        ident.name in texts for p in named for ident in p.names
    )


def _cases(env: Env, subject: Type) -> Cases | None:
    """Each case of a type with its name in messages. None if they cannot be listed."""
    match subject:
        case types.EnumType(variants=values) | types.LiteralType(values=values):
            return dict.fromkeys(values, subject)
        case types.UnionType() | types.OptionalType():
            found: dict[str, Type] = {}
            for member in members(required(subject)):
                for name, type in _named_cases(member):
                    home = env.ctx.homes.get(id(type)) if name in found else None
                    found[f"{name} of {home.file.tree.source.name}" if home else name] = type
            return found | ({NONE: types.NONE} if required(subject) is not subject else {})
    return None


def is_member_wise(type: Type) -> bool:
    """Whether a `match` of this type goes by members, and not by texts."""
    return isinstance(type, types.UnionType | types.OptionalType)


def _named_cases(member: Type) -> list[tuple[str, Type]]:
    if isinstance(member, types.LiteralType):
        return [(f'"{value}"', types.LiteralType((value,))) for value in member.values]
    return [(str(member), member)]


def _knowing(env: Env, expr: nodes.Expr, subject: Type, known: Type) -> Env:
    """The scope of an arm, which knows the type of the subject where that is a union."""
    path: Path | None = path_of(expr) if is_member_wise(subject) else None
    return env.nested() if path is None or known is subject else env.knowing({path: known})


def _covered(
    env: Env, arm: nodes.Arm, subject: Type, cases: Cases | None, left: Cases | None
) -> Covered:
    match arm.pattern:
        case nodes.Wildcard():
            if left is not None and not left:
                env.ctx.warn(
                    "unreachable", "earlier arms already cover every case", arm.pattern.span
                )
            rest = united(left.values()) if is_member_wise(subject) and left else subject
            return Covered(tuple(left or ()), rest)
        case pattern if isinstance(subject, types.ErrorType):
            return Covered((), subject)
        case pattern if is_member_wise(subject):
            return _members_covered(env, pattern, subject, cases or {}, left or {})
        case nodes.NamePattern(names=idents) if isinstance(subject, types.EnumType):
            for ident in idents:
                use_member(env, subject, ident)
                if ident.name not in subject.variants:
                    report_variant(env, subject, ident)
                elif left is not None and ident.name not in left:
                    _report_twice(env, ident.span, ident.name)
            return Covered(tuple(ident.name for ident in idents), subject)
        case nodes.StringPattern(values=values) if not isinstance(subject, types.EnumType):
            known = subject.values if isinstance(subject, types.LiteralType) else values
            for value in values:
                _check_text(env, arm.pattern.span, value, subject, known, left)
            return Covered(values, subject)
    wanted = "variant names" if isinstance(subject, types.EnumType) else "strings"
    _report_pattern(env, arm.pattern, subject, wanted)
    return Covered((), subject)


def _check_text(
    env: Env, span: Span, value: str, subject: Type, known: Sequence[str], left: Cases | None
) -> None:
    if value not in known:
        env.ctx.report("never-equal", f'`{subject}` is never "{value}"', span)
    elif left is not None and value not in left:
        _report_twice(env, span, value)


def _members_covered(env: Env, pattern: Any, subject: Type, cases: Cases, left: Cases) -> Covered:
    """The members of a union that a pattern names."""
    found: list[str] = []
    if isinstance(pattern, nodes.StringPattern):
        for value in pattern.values:
            found += _case_of(env, pattern.span, f'"{value}"', subject, cases, left)
    else:
        for ident in pattern.names:
            for name in _cases_named(env, ident, subject, cases):
                found += _case_of(env, ident.span, name, subject, cases, left)
    known = [cases[name] for name in found]
    return Covered(tuple(found), united(known) if known else types.ERROR)


def _case_of(
    env: Env, span: Span, name: str, subject: Type, cases: Cases, left: Cases
) -> list[str]:
    if name not in cases:
        env.ctx.report("never-equal", f"`{show(subject)}` is never {name}", span)
        return []
    if name not in left:
        _report_twice(env, span, name.strip('"'))
    return [name]


def _cases_named(env: Env, ident: nodes.Ident, subject: Type, cases: Cases) -> list[str]:
    """The cases that a name of a pattern stands for."""
    wanted = _meaning(env, ident)
    if wanted is None:
        names = [name for name in cases if not name.startswith('"')]
        if not env.file.may_have_lost(ident.name):
            help = suggestion(ident.name, names, f"it may be {listed(names)}" if names else None)
            env.ctx.report("unknown-type", f"unknown type `{ident.name}`", ident.span, help=help)
        return []
    if isinstance(wanted, types.ErrorType):
        return []
    found = [n for n, type in cases.items() if any(_is_it(type, one) for one in members(wanted))]
    if not found:
        message = f"`{show(subject)}` is never `{ident.name}`"
        help = f"it may be {', '.join(f'`{n}`' if n[0] != chr(34) else n for n in cases)}"
        env.ctx.report("never-equal", message, ident.span, help=help)
    return found


def _meaning(env: Env, ident: nodes.Ident) -> Type | None:
    """The type that a name of a pattern means; for `list` and `dict` one of any items."""
    if ident.name == NONE:
        return types.NONE
    if ident.name in _NAMES_OF_KINDS:
        return _NAMES_OF_KINDS[ident.name](types.NEVER)  # type: ignore[call-arg]
    plain = PRIMITIVES.get(ident.name)
    if plain is not None:
        return plain
    declared = env.file.find(ident.name, ident.span, env.ctx)
    if declared is None:
        return types.BUILTIN_RECORDS.get(ident.name) or types.SOFT_TYPES.get(ident.name)
    meaning = declared.meaning
    return required(meaning) if isinstance(meaning, Type) else None


def _is_it(case: Type, wanted: Type) -> bool:
    """Whether a case of a union is what a name of a pattern means.

    A scalar, a list and a dict are meant by their kind, as no union has two of one kind.
    """
    if case == wanted:
        return True
    if isinstance(case, types.RecordType) and isinstance(wanted, types.RecordType):
        return bool(case.family) and case.family == wanted.family
    if isinstance(wanted, types.MediaType):
        return is_subtype(case, wanted)
    kinds = kind_of(case), kind_of(wanted)
    named = types.RecordType | types.EnumType | types.LiteralType
    if isinstance(wanted, named) or isinstance(case, types.EnumType):
        return isinstance(wanted, types.LiteralType) and is_subtype(case, wanted)
    if isinstance(case, types.RecordType):
        return False
    return kinds[0] is not None and kinds[0] == kinds[1]


def _report_pattern(env: Env, pattern: nodes.SyntaxNode, subject: Type, wanted: str) -> None:
    env.ctx.report(
        "wrong-pattern",
        f"the patterns for `{show(widen(subject))}` must be {wanted}",
        pattern.span,
    )


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
