"""From type expressions to types: resolves names, checks refinements, refuses recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lmc import types
from lmc.check import inference
from lmc.check.constants import NotConstant, evaluate, misfit
from lmc.check.foreign_types import is_no_value, written_here
from lmc.check.scope import CheckContext, Declared, Env, File
from lmc.check.width import project
from lmc.diagnostics import Label, suggestion
from lmc.patterns import whole_pattern
from lmc.syntax import nodes
from lmc.types import Type

PRIMITIVES: dict[str, Type] = {
    "str": types.STR,
    "int": types.INT,
    "float": types.FLOAT,
    "bool": types.BOOL,
    "json": types.JSON,
}
Mentions = Iterator[tuple[Declared, nodes.Ident]]
TYPE_DECLS = (nodes.RecordDecl, nodes.EnumDecl, nodes.TypeDecl)
MOST = 2**31 - 1  # of a length: no text or list is longer, and schemas hold no larger one
MOST_NESTED = 64  # records in records: a value that nests deeper is refused wherever it comes in
_REFINABLE = "`int`, `float`, `str` and `list[…]` take a range; `str` also takes a pattern"


def resolve(ctx: CheckContext, file: File, expr: nodes.TypeExpr) -> Type:
    """The type of a type expression. ERROR if a part is wrong; that has been reported."""
    match expr:
        case nodes.NamedType():
            return _named(ctx, file, expr)
        case nodes.OptionalTypeExpr(item=item):
            type = resolve(ctx, file, item)
            return (
                type
                if isinstance(type, types.OptionalType | types.ErrorType)
                else types.OptionalType(type)
            )
        case nodes.LiteralTypeExpr(value=value):
            return types.LiteralType((value,))
        case nodes.UnionTypeExpr(options=options):
            if any(is_no_value(option, file.names) for option in options):
                return _optional_union(ctx, file, expr)
            return _union([resolve(ctx, file, option) for option in options])
    raise AssertionError(expr)


def _optional_union(ctx: CheckContext, file: File, expr: nodes.UnionTypeExpr) -> Type:
    """Report `T | None`."""
    help = f"write `{written_here(expr, file.names)}`"
    none = next(option for option in expr.options if is_no_value(option, file.names))
    ctx.report("unknown-type", f"unknown type `{none.span.text}`", none.span, help=help)
    return types.ERROR


def _union(options: list[Type]) -> Type:
    if any(isinstance(option, types.ErrorType) for option in options):
        return types.ERROR
    literals = tuple(v for o in options if isinstance(o, types.LiteralType) for v in o.values)
    rest = [o for o in options if not isinstance(o, types.LiteralType)]
    merged = [types.LiteralType(tuple(dict.fromkeys(literals)))] if literals else []
    flat = tuple(dict.fromkeys([*merged, *rest]))
    return flat[0] if len(flat) == 1 else types.UnionType(flat)


def _named(ctx: CheckContext, file: File, expr: nodes.NamedType) -> Type:
    name, args = expr.name.name, expr.args
    wanted = {"list": 1, "dict": 2}.get(name, 0)
    here = written_here(expr, file.names)
    foreign = here != expr.span.text and name not in ("list", "dict", *PRIMITIVES)
    if foreign and not file.may_have_lost(name):
        message = f"unknown type `{name}`"
        ctx.report("unknown-type", message, expr.name.span, help=f"write `{here}`")
        return types.ERROR
    if len(args) != wanted:
        _report_arguments(ctx, expr, wanted)
        return types.ERROR
    if name == "list":
        base: Type = types.ListType(resolve(ctx, file, args[0]))
    elif name == "dict":
        base = _dict(ctx, file, args[0], args[1])
    else:
        base = _builtin(file, name) or _declared(ctx, file, expr.name)
    base = inference.within_levels(ctx, base, expr.span)
    return _refine(ctx, base, expr) if expr.refinements else base


def _builtin(file: File, name: str) -> Type | None:
    """The built-in type of a name, unless the file itself declares a softer one."""
    soft = None if name in file.names else types.SOFT_TYPES.get(name)
    return PRIMITIVES.get(name) or soft


def _dict(ctx: CheckContext, file: File, key: nodes.TypeExpr, item: nodes.TypeExpr) -> Type:
    if resolve(ctx, file, key) not in (types.STR, types.ERROR):
        ctx.report(
            "type-arguments",
            "the keys of a dict must be `str`",
            key.span,
            help="write `dict[str, …]`",
        )
    return types.DictType(resolve(ctx, file, item))


def _report_arguments(ctx: CheckContext, expr: nodes.NamedType, wanted: int) -> None:
    name = expr.name.name
    example = {"list": "`list[str]`", "dict": "`dict[str, int]`"}.get(name)
    message = f"`{name}` takes {wanted} type argument{'s' * (wanted != 1)}, not {len(expr.args)}"
    ctx.report("type-arguments", message, expr.span, help=example and f"for example {example}")


def _declared(ctx: CheckContext, file: File, ident: nodes.Ident) -> Type:
    declared = file.find(ident.name)
    if declared is None:
        return types.BUILTIN_RECORDS.get(ident.name) or _unknown(ctx, file, ident)
    if not isinstance(declared.decl, TYPE_DECLS):
        if not isinstance(declared.meaning, types.ErrorType):
            kind = inference.describe(declared)
            place = Label(declared.ident.span, "declared here")
            ctx.report("not-a-type", f"`{ident.name}` is {kind}, not a type", ident.span, place)
        return types.ERROR
    return define(ctx, declared)


def _unknown(ctx: CheckContext, file: File, ident: nodes.Ident) -> Type:
    if file.may_have_lost(ident.name):
        return types.ERROR
    declared_types = [name for name, d in file.names.items() if isinstance(d.decl, TYPE_DECLS)]
    soft = (*types.SOFT_TYPES, *types.BUILTIN_RECORDS)
    known = [*PRIMITIVES, "list", "dict", *soft, *declared_types]
    message, help = f"unknown type `{ident.name}`", suggestion(ident.name, known)
    ctx.report("unknown-type", message, ident.span, help=help)
    return types.ERROR


def _report_recursion(ctx: CheckContext, declared: Declared, ident: nodes.Ident) -> None:
    ctx.report(
        "recursive-type",
        f"`{declared.ident.name}` contains itself",
        ident.span,
        Label(declared.ident.span, "declared here"),
        help="refer to other values by an id, or declare the nested part as `json`",
    )


# --- refinements ---


def _refine(ctx: CheckContext, base: Type, expr: nodes.NamedType) -> Type:
    for refinement in expr.refinements:
        if isinstance(refinement, nodes.PatternRefinement):
            base = _with_pattern(ctx, base, refinement)
        else:
            base = _with_range(ctx, base, refinement, expr)
    return base


def _with_pattern(ctx: CheckContext, base: Type, refinement: nodes.PatternRefinement) -> Type:
    if not isinstance(base, types.StrType) or base.pattern is not None:
        return _bad_refinement(ctx, base, refinement)
    try:
        whole_pattern(refinement.pattern)
    except ValueError as problem:
        ctx.report("bad-pattern", f"the pattern cannot be used: {problem}", refinement.span)
        return base
    return types.StrType(base.min_len, base.max_len, refinement.pattern)


def _with_range(
    ctx: CheckContext, base: Type, refinement: nodes.RangeRefinement, expr: nodes.NamedType
) -> Type:
    low, high = refinement.low, refinement.high
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        ctx.report("empty-range", f"`{refinement.span.text}` is an empty range", refinement.span)
        return base
    if expr.name.name in ("int", "str", "list") and not _whole(low, high):
        ctx.report(
            "bad-refinement", f"the bounds of `{expr.name.name}` must be ints", refinement.span
        )
        return base
    if expr.name.name in ("str", "list") and any(b is not None and b < 0 for b in (low, high)):
        ctx.report("bad-refinement", "a length must be at least 0", refinement.span)
        return base
    if expr.name.name in ("str", "list") and any(b is not None and b > MOST for b in (low, high)):
        ctx.report("bad-refinement", f"a length must be at most {MOST}", refinement.span)
        return base
    match base:
        case types.IntType(None, None) if expr.name.name == "int":
            return types.IntType(low, high)  # type: ignore[arg-type]
        case types.FloatType(None, None) if expr.name.name == "float":
            return types.FloatType(_float(low), _float(high))
        case types.StrType(None, None, pattern) if expr.name.name == "str":
            return types.StrType(low, high, pattern)  # type: ignore[arg-type]
        case types.ListType(item, None, None) if expr.name.name == "list":
            return types.ListType(item, low, high)  # type: ignore[arg-type]
    return _bad_refinement(ctx, base, refinement)


def _whole(*bounds: float | None) -> bool:
    return all(bound is None or isinstance(bound, int) for bound in bounds)


def _float(bound: float | None) -> float | None:
    return None if bound is None else float(bound)


def _bad_refinement(ctx: CheckContext, base: Type, refinement: nodes.SyntaxNode) -> Type:
    if not isinstance(base, types.ErrorType):
        message = f"`{base}` does not accept the refinement `{refinement.span.text}`"
        ctx.report("bad-refinement", message, refinement.span, help=_REFINABLE)
    return base


# --- declared types ---


def define_types(ctx: CheckContext, declared: Iterable[Declared]) -> None:
    """Define the types among some names. Reports those that contain themselves.

    Each comes behind those that it mentions, however many: Python recurses only so deep.
    """
    seen: set[int] = set()
    for first in declared:
        path: dict[int, tuple[Declared, Mentions]] = {}  # each mentions the next one
        if isinstance(first.decl, TYPE_DECLS) and id(first) not in seen:
            path[id(first)] = first, _mentioned(first)
        while path:
            one, rest = path[next(reversed(path))]
            for other, ident in rest:
                if id(other) in path:
                    _refuse_recursion(ctx, other, ident)
                elif id(other) not in seen:
                    path[id(other)] = other, _mentioned(other)
                    break
            else:
                path.pop(id(one))
                seen.add(id(one))
                define(ctx, one)


def _refuse_recursion(ctx: CheckContext, declared: Declared, ident: nodes.Ident) -> None:
    if declared.state == "new":
        _report_recursion(ctx, declared, ident)
        declared.meaning, declared.state = types.ERROR, "done"


def _mentioned(declared: Declared) -> Mentions:
    """The types of the same file that a declared type names."""
    todo: list[Any] = [declared.decl]
    while todo:
        match todo.pop():
            case nodes.RecordDecl(fields=fields):
                todo += [field.type for field in reversed(fields)]
            case nodes.TypeDecl(type=type) | nodes.OptionalTypeExpr(item=type):
                todo.append(type)
            case nodes.UnionTypeExpr(options=options):
                todo += reversed(options)
            case nodes.NamedType(name=ident, args=args):
                todo += reversed(args)
                named = declared.file.names.get(ident.name)
                if named and named.file is declared.file and isinstance(named.decl, TYPE_DECLS):
                    yield named, ident


def define(ctx: CheckContext, declared: Declared) -> Type:
    """The type of a record, enum or alias declaration, resolved at its first use."""
    if declared.state == "done":
        return declared.meaning  # type: ignore[no-any-return]
    match declared.decl:
        case nodes.RecordDecl() as decl:
            type: Type = _record(ctx, declared.file, decl)
        case nodes.EnumDecl() as decl:
            type = _enum(ctx, decl)
        case nodes.TypeDecl() as decl:
            type = resolve(ctx, declared.file, decl.type)
        case _:
            raise AssertionError(declared.decl)
    declared.meaning, declared.state = type, "done"
    ctx.program.named_types[declared.file.prefix + declared.ident.name] = type
    if not isinstance(declared.decl, nodes.TypeDecl):
        ctx.homes[id(type)] = declared
    return type


def _record(ctx: CheckContext, file: File, decl: nodes.RecordDecl) -> Type:
    fields = [_field(ctx, file, f, decl) for f in _distinct(ctx, decl.fields, "field")]
    type = types.RecordType(decl.name.name, tuple(fields), decl.doc.text if decl.doc else "")
    if type.depth > MOST_NESTED:
        message = f"`{type}` nests more than {MOST_NESTED} records in one another"
        ctx.report("type-too-large", message, decl.name.span, help="refer to parts by an id")
        return types.ERROR
    return type


def _field(
    ctx: CheckContext, file: File, field: nodes.FieldDecl, record: nodes.RecordDecl
) -> types.Field:
    type = resolve(ctx, file, field.type)
    note = field.note.value if field.note else ""
    if field.default is None:
        return types.Field(field.name.name, type, note)
    value = default(ctx, file, field.default, type, field.name, record.name.name)
    return types.Field(field.name.name, type, note, True, value)


def _enum(ctx: CheckContext, decl: nodes.EnumDecl) -> Type:
    variants = list(_distinct(ctx, decl.variants, "variant"))
    notes = tuple(v.note.value if v.note else "" for v in variants)
    names = tuple(v.name.name for v in variants)
    return types.EnumType(decl.name.name, names, notes, decl.doc.text if decl.doc else "")


def _distinct(ctx: CheckContext, parts: Any, what: str) -> Iterator[Any]:
    seen: dict[str, nodes.Ident] = {}
    for part in parts:
        first = seen.setdefault(part.name.name, part.name)
        if first is part.name:
            yield part
        else:
            message = f"the {what} `{part.name.name}` is declared twice"
            ctx.report("duplicate-name", message, part.name.span, Label(first.span, "first here"))


def default(
    ctx: CheckContext, file: File, expr: nodes.Expr, type: Type, name: nodes.Ident, owner: str
) -> Any:
    """The JSON value of a default, which must also fit the refinements of its type."""
    env = Env(ctx, file, file.prefix + owner, "constant")
    return constant(env, expr, type, f"the default of `{name.name}`")


def constant(env: Env, expr: nodes.Expr, type: Type, why: str) -> Any:
    """The JSON value of an expression, which must be a constant of this type with refinements."""
    before = len(env.ctx.diagnostics)
    actual = inference.check(env, expr, type, why)
    found = env.ctx.diagnostics[before:]
    if any(d.code != "type-mismatch" for d in found) or isinstance(actual, types.ErrorType):
        return None
    try:
        value = evaluate(env.ctx.program, expr)
    except NotConstant as stop:
        del env.ctx.diagnostics[before:]  # "not a constant" says more than its type
        inference.report_not_constant(env, stop.node, why)
        return None
    if found:
        return None
    value = project(type, value)
    problem = misfit(value, type)
    if problem:
        env.ctx.report("out-of-range", f"{why} does not fit: {problem}", expr.span)
    return value
