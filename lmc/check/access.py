"""Fields, variants and items of values."""

from __future__ import annotations

from collections.abc import Iterable

from lmc import types
from lmc.check import moments
from lmc.check.constants import NotConstant, evaluate, misfit
from lmc.check.inference import check, infer
from lmc.check.narrowing import path_of
from lmc.check.program import Variant
from lmc.check.scope import Env
from lmc.check.subtyping import (
    disjoint,
    forget,
    is_subtype,
    is_text,
    join,
    narrows,
    optional,
    required,
    show,
    widen,
)
from lmc.diagnostics import Label, did_you_mean, suggestion
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import Type
from lmc.unions import members


def attr(env: Env, expr: nodes.Attr, expected: Type | None) -> Type:
    """Infer `e.f`, `e?.f`, or a variant of an enum."""
    variant = _variant(env, expr)
    if variant is not None:
        return variant
    path = path_of(expr)
    whole = infer(env, expr.value)
    if isinstance(whole, types.OptionalType | types.NoneType) and not expr.optional:
        return _unguarded(env, expr, whole)
    if expr.optional and not isinstance(
        whole, types.OptionalType | types.NoneType | types.ErrorType
    ):
        env.ctx.warn(
            "needless-optional",
            f"`?.` is used on `{show(whole)}`, which is never none",
            Label(expr.name.span),
            help=f"write `.{expr.name.name}`",
        )
    type = _field(env, expr, required(whole))
    if path in env.facts:
        return env.facts[path]
    return optional(type) if expr.optional and isinstance(whole, types.OptionalType) else type


def _unguarded(env: Env, expr: nodes.Attr, whole: Type) -> Type:
    env.ctx.report(
        "optional-access",
        f"`.{expr.name.name}` is read from `{show(whole)}`, which may be none",
        Label(expr.name.span),
        Label(expr.value.span, f"`{show(whole)}`"),
        help=f"write `?.{expr.name.name}`, or test for `!= none` first",
    )
    return types.ERROR


def _variant(env: Env, expr: nodes.Attr) -> Type | None:
    if not isinstance(expr.value, nodes.Var) or env.find(expr.value.name):
        return None
    declared = env.file.names.get(expr.value.name)
    if declared is None or not isinstance(declared.meaning, types.EnumType):
        return None
    enum, name = declared.meaning, expr.name.name
    env.file.find(expr.value.name, expr.value.span, env.ctx)
    env.ctx.refer(expr.value, enum)
    if name not in enum.variants:
        report_variant(env, enum, expr.name)
        return types.ERROR
    env.ctx.refer(expr, Variant(enum, name))
    use_member(env, enum, expr.name)
    return enum


def use_member(env: Env, type: Type, ident: nodes.Ident) -> None:
    """Note that a name is that of a field of a record, or of a variant of an enum."""
    home = env.ctx.home(type)
    match home.decl if home else None:
        case nodes.RecordDecl(fields=parts) | nodes.EnumDecl(variants=parts):
            part = next((part for part in parts if part.name.name == ident.name), None)
            env.ctx.use(ident.span, part.name.span if part else None)


def report_variant(env: Env, enum: types.EnumType, ident: nodes.Ident) -> None:
    """Report a variant that an enum does not have."""
    place = _declaration(env, enum)
    env.ctx.report(
        "unknown-variant",
        f"`{enum.name}` has no variant `{ident.name}`",
        Label(ident.span, f"not a variant of `{enum.name}`"),
        place,
        help=suggestion(ident.name, enum.variants, f"it has {listed(enum.variants)}"),
    )


def _declaration(env: Env, type: Type) -> Label | None:
    """The place where a record or enum is declared."""
    declared = env.ctx.homes.get(id(type))
    return Label(declared.ident.span, "declared here") if declared else None


def _field(env: Env, expr: nodes.Attr, whole: Type) -> Type:
    if has_fields(whole):
        return field_type(env, whole, expr.name)
    if isinstance(whole, types.WrittenType) and (parts := moments.FIELDS[whole.kind]):
        if expr.name.name in parts:
            return parts[expr.name.name]
        message = f"a `{whole.kind}` has no field `{expr.name.name}`"
        help = suggestion(expr.name.name, parts, f"it has {listed(parts)}")
        env.ctx.report("unknown-field", message, Label(expr.name.span), help=help)
        return types.ERROR
    if not isinstance(whole, types.ErrorType):
        keyed = isinstance(whole, types.DictType | types.JsonType)
        env.ctx.report(
            "no-fields",
            f"`{show(widen(whole))}` has no fields",
            Label(expr.name.span),
            help=f'write `["{expr.name.name}"]`' if keyed else _arms_help(whole),
        )
    return types.ERROR


def _arms_help(whole: Type) -> str | None:
    """How to find out which member of a union a value is."""
    if not isinstance(whole, types.UnionType):
        return None
    arms = ", ".join(f"{member} => …" for member in map(show, members(whole)))
    return f"find out which it is: `match … {{ {arms} }}`"


def has_fields(type: Type) -> bool:
    """Whether a type is a record, or a union of records only."""
    return all(isinstance(member, types.RecordType) for member in members(type))


def field_type(env: Env, type: Type, ident: nodes.Ident) -> Type:
    """The type of a field of a record, or of all records of a union.

    Reports a field that the record, or one of them, does not have.
    """
    records = [member for member in members(type) if isinstance(member, types.RecordType)]
    found = [record.get(ident.name) for record in records]
    lacking = next((r for r, field in zip(records, found) if field is None), None)
    if lacking is not None:
        _report_field(env, type, lacking, ident)
        return types.ERROR
    for record in records:
        use_member(env, record, ident)
    given = [field.type for field in found if field is not None]
    joined: Type | None = types.NEVER
    for part in given:
        joined = join(joined, part) if joined is not None else None
    if joined is None or any(narrows(part, joined) for part in given):
        return _no_common(env, ident, type)
    return joined


def _report_field(env: Env, type: Type, record: types.RecordType, ident: nodes.Ident) -> None:
    near = did_you_mean(ident.name, [f.name for f in record.fields])
    help: str | None = (
        f"write `.{near}`" if near else f"it has {listed(f.name for f in record.fields)}"
    )
    if type is not record:
        help = _arms_help(type) or help
    env.ctx.report(
        "unknown-field",
        f"`{record.name}` has no field `{ident.name}`",
        Label(ident.span, f"not a field of `{record.name}`"),
        _declaration(env, record),
        help=help,
    )


def _no_common(env: Env, ident: nodes.Ident, type: Type) -> Type:
    message = f"the field `{ident.name}` has no common type in `{type}`"
    env.ctx.report("no-common-type", message, ident.span, help="find out which it is by a `match`")
    return types.ERROR


def listed(names: Iterable[str]) -> str:
    """Write names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def index(env: Env, expr: nodes.Index, expected: Type | None) -> Type:
    """Infer `e[i]`."""
    whole = infer(env, expr.value)
    match whole:
        case types.ListType(item):
            check(env, expr.index, types.INT, "the index of a list")
            return item
        case types.DictType(item):
            check(env, expr.index, types.STR, "the key of a dict")
            return item
        case types.JsonType():
            infer(env, expr.index)
            return types.JSON
    infer(env, expr.index)
    if is_text(whole):
        return types.STR
    env.ctx.report(
        "not-indexable",
        f"`{show(widen(whole))}` cannot be indexed",
        Label(expr.value.span, f"`{show(widen(whole))}`"),
        help="test for `!= none` first" if isinstance(whole, types.OptionalType) else None,
    )
    return types.ERROR


def slice_(env: Env, expr: nodes.Slice, expected: Type | None) -> Type:
    """Infer `e[a:b]`: a part of a list or of a text."""
    whole = infer(env, expr.value, expected)
    for end in (expr.start, expr.stop):
        if end is not None:
            check(env, end, types.INT, "the end of a slice")
    if isinstance(whole, types.JsonType):
        return types.JSON
    if isinstance(whole, types.ListType):
        most = _most_items(env, expr, whole.max_len)
        return types.ListType(whole.item, None, most, whole.unique)
    if is_text(whole):
        return types.STR
    env.ctx.report(
        "not-indexable",
        f"`{show(widen(whole))}` cannot be sliced",
        Label(expr.value.span, f"`{show(widen(whole))}`"),
        help="test for `!= none` first" if isinstance(whole, types.OptionalType) else None,
    )
    return types.ERROR


def _most_items(env: Env, expr: nodes.Slice, most: int | None) -> int | None:
    """The most items of a slice of a list with at most `most` items, from its constant ends."""
    start = _constant_end(env, expr.start) if expr.start else 0
    stop = _constant_end(env, expr.stop) if expr.stop else None
    bounds = [] if most is None else [most]
    if stop is not None and stop >= 0:
        bounds.append(max(0, stop - max(0, start or 0)))
    if start is not None and start < 0 and (stop is None or stop < 0):
        bounds.append(max(0, (stop or 0) - start))
    if (width := _width(env, expr)) is not None:
        bounds.append(width)
    return min(bounds, default=None)


def _width(env: Env, expr: nodes.Slice) -> int | None:
    """The constant `n` of `xs[i:i + n]`, whose slice never has more items, whatever `i` is."""
    start, stop = expr.start, expr.stop
    if not isinstance(start, nodes.Var) or not isinstance(stop, nodes.Binary):
        return None
    width = _constant_end(env, stop.right) if stop.op == "+" and stop.left == start else None
    return width if width is None or width >= 0 else None  # `xs[0:0 - 1]` is nearly all of it


def _constant_end(env: Env, expr: nodes.Expr) -> int | None:
    try:
        value = evaluate(env.ctx.program, expr)
    except NotConstant:
        return None
    return value if isinstance(value, int) else None


def update(env: Env, expr: nodes.RecordUpdate, expected: Type | None) -> Type:
    """Infer `e with {f: new}`: the same record with some other fields."""
    whole = infer(env, expr.value)
    record = whole if isinstance(whole, types.RecordType) else None
    shown = f"`{show(widen(whole))}`"
    place = Label(expr.value.span, shown)
    if isinstance(whole, types.OptionalType):
        message = f"`with` changes fields of a record, but this is {shown}, which may be none"
        help = "test for `!= none` first, or give a default: `(x ?? y) with {…}`"
        env.ctx.report("optional-access", message, place, help=help)
    elif record is None and not isinstance(whole, types.ErrorType):
        message = f"`with` changes fields of a record, but this is {shown}"
        env.ctx.report("not-a-record", message, place)
    seen: set[str] = set()
    for pair in expr.pairs:
        if pair.key.name in seen:
            message = f"the field `{pair.key.name}` is given twice"
            env.ctx.report("duplicate-argument", message, pair.key.span)
        seen.add(pair.key.name)
        if record is None:
            infer(env, pair.value)
            continue
        type = field_type(env, record, pair.key)
        why = f"`{pair.key.name}` of `{record.name}`"
        check_field(env.hinted(pair.key.name), pair.value, type, why, None)
    return record or types.ERROR


def check_field(env: Env, expr: nodes.Expr, type: Type, why: str, place: Span | None) -> None:
    """Check a field without refinements: the run finds out whether a value meets those.

    A constant that does not meet them is an error, and so is a value that never can.
    """
    actual = check(env, expr, forget(type), why, place)
    if is_subtype(actual, type) or not is_subtype(actual, forget(type)):
        return
    if never := disjoint(actual, type) or _unmet(env, expr, type):
        inside = never if isinstance(never, str) else f"not in `{type}`"
        env.ctx.report(
            "out-of-range",
            f"{why} must be `{type}`, but this is `{show(actual)}`",
            Label(expr.span, inside),
            place and Label(place, "declared here"),
        )


def _unmet(env: Env, expr: nodes.Expr, type: Type) -> str | None:
    """Why a constant does not meet a type. None if it does, or if it is no constant."""
    try:
        return misfit(evaluate(env.ctx.program, expr), type)
    except NotConstant:
        return None
