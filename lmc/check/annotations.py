"""From type expressions to types: resolves names, checks refinements, bounds recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lmc import types
from lmc.check import inference
from lmc.check.aliases import check_aliases
from lmc.check.circles import bound_of, circles, unroll
from lmc.check.constants import NotConstant, evaluate, misfit
from lmc.check.foreign_types import is_no_value, written_here
from lmc.check.mismatch import told_apart
from lmc.check.program import ConstantDef
from lmc.check.scope import CheckContext, Declared, Env, File
from lmc.check.subtyping import forget, required
from lmc.check.width import project
from lmc.diagnostics import Label, suggestion
from lmc.patterns import whole_pattern
from lmc.syntax import nodes
from lmc.syntax.nodes import children
from lmc.types import Type
from lmc.unions import MOST_MEMBERS, clash, kind_of, united, written_alike
from lmc.written import EXAMPLES, Kind, decimal_text, normal, order

PRIMITIVES: dict[str, Type] = {
    "str": types.STR,
    "int": types.INT,
    "float": types.FLOAT,
    "bool": types.BOOL,
    "json": types.JSON,
    "date": types.DATE,
    "time": types.TIME,
    "datetime": types.DATETIME,
    "decimal": types.DECIMAL,
}
ONE_OF = "one_of"
Mentions = Iterator[tuple[Declared, nodes.Ident | nodes.Var]]
TYPE_DECLS = (nodes.RecordDecl, nodes.EnumDecl, nodes.TypeDecl)
_DEFINED = (*TYPE_DECLS, nodes.ConstantDecl)  # what types and constants may mention
MOST = 2**31 - 1  # of a length: no text or list is longer, and schemas hold no larger one
MOST_NESTED = 64  # records in records: a value that nests deeper is refused wherever it comes in
_REFINABLE = (
    "numbers, `str`, `list[…]`, `date`, `time` and `datetime` take a range; `str` also takes a"
    " pattern, and `list[…]` takes `unique`"
)


def resolve(ctx: CheckContext, file: File, expr: nodes.TypeExpr) -> Type:
    """The type of a type expression. ERROR if a part is wrong; that has been reported."""
    type = resolve_result(ctx, file, expr)
    if not types.holds_labels(type):
        return type
    message = "`one_of(…)` is only for what a model answers"
    help = "it stands in the result of a `generate`, a `refine` or an `agent`; here, write `str`"
    ctx.report("misplaced-one-of", message, expr.span, help=help)
    return types.ERROR


def resolve_result(ctx: CheckContext, file: File, expr: nodes.TypeExpr) -> Type:
    """The same, where the type may have labels that are known at run time."""
    match expr:
        case nodes.NamedType():
            return _named(ctx, file, expr)
        case nodes.OptionalTypeExpr(item=item):
            return united((resolve_result(ctx, file, item), types.NONE))
        case nodes.LiteralTypeExpr(value=value):
            return types.LiteralType((value,))
        case nodes.UnionTypeExpr(options=options):
            if any(is_no_value(option, file.names) for option in options):
                return _optional_union(ctx, file, expr)
            return _union(ctx, expr, [resolve_result(ctx, file, option) for option in options])
    raise AssertionError(expr)


def _optional_union(ctx: CheckContext, file: File, expr: nodes.UnionTypeExpr) -> Type:
    """Report `T | None`."""
    help = f"write `{written_here(expr, file.names)}`"
    none = next(option for option in expr.options if is_no_value(option, file.names))
    ctx.report("unknown-type", f"unknown type `{none.span.text}`", none.span, help=help)
    return types.ERROR


def _union(ctx: CheckContext, expr: nodes.UnionTypeExpr, options: list[Type]) -> Type:
    """The union of some types, whose values must be told apart."""
    type = united(options)
    union = required(type)
    if not isinstance(union, types.UnionType):
        return type
    if len(union.options) > MOST_MEMBERS:
        message = f"a union has at most {MOST_MEMBERS} members, and this one {len(union.options)}"
        ctx.report("type-too-large", message, expr.span)
        return types.ERROR
    pair = clash(union)
    if pair is not None:
        one, other = told_apart(ctx, *pair)
        message = f"values of {one} and {other} cannot be told apart"
        ctx.report("unclear-union", message, expr.span, help=_apart_help(*pair))
        return types.ERROR
    return type


def _apart_help(one: Type, other: Type) -> str:
    """How two members of a union would be told apart."""
    if types.JSON in (one, other):
        return "a `json` may be any value, so write `json` alone"
    if isinstance(one, types.RecordType) and isinstance(other, types.RecordType):
        kinds = f'`kind: "{one.name.lower()}"` and `kind: "{other.name.lower()}"`'
        return f"give both a literal field, as in {kinds}, or one a field that the other lacks"
    if written_alike(one, other):
        first, second = (one, other) if isinstance(one, types.WrittenType) else (other, one)
        return f"{kind_of(first)} may be written as `{second}` is; put it into a record"
    for type in (one, other):
        if kind_of(type) is None:
            return f"a `{type}` is no member of a union; write `str`, or a record that has it"
    return f"both are {kind_of(one)}; members differ in their kind of value, or are records"


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
    if name == ONE_OF and name not in file.names:
        return _one_of(ctx, expr)
    if name == "list":
        base: Type = types.ListType(resolve_result(ctx, file, args[0]))
        return _without_beyond(_refined(ctx, file, base, expr))
    elif name == "dict":
        base = _dict(ctx, file, args[0], args[1])
    else:
        base = _builtin(file, name) or _declared(ctx, file, expr.name)
    return _refined(ctx, file, base, expr)


def _refined(ctx: CheckContext, file: File, base: Type, expr: nodes.NamedType) -> Type:
    base = inference.within_levels(ctx, base, expr.span)
    return _refine(ctx, file, base, expr) if expr.refinements else base


def _builtin(file: File, name: str) -> Type | None:
    """The built-in type of a name, unless the file itself declares one."""
    if name in file.names:
        return None
    return PRIMITIVES.get(name) or types.SOFT_TYPES.get(name)


def _without_beyond(type: Type) -> Type:
    """A list of what no value can have any more, beyond the depth of a recursive record: empty."""
    match type:
        case types.ListType(types.NeverType() as item, low):
            return item if low else types.ListType(item, None, 0)
    return type


def _one_of(ctx: CheckContext, expr: nodes.NamedType) -> Type:
    match expr.refinements:
        case (nodes.LabelsRefinement(name=ident),):
            return types.OneOfType(ident.name)
    message = "`one_of` takes the name of one parameter: a list of strings"
    ctx.report("bad-one-of", message, expr.span, help="write `one_of(options)`")
    return types.ERROR


def _dict(ctx: CheckContext, file: File, key: nodes.TypeExpr, item: nodes.TypeExpr) -> Type:
    if resolve(ctx, file, key) not in (types.STR, types.ERROR):
        ctx.report(
            "type-arguments",
            "the keys of a dict must be `str`",
            key.span,
            help="write `dict[str, …]`",
        )
    return types.DictType(resolve_result(ctx, file, item))


def _report_arguments(ctx: CheckContext, expr: nodes.NamedType, wanted: int) -> None:
    name = expr.name.name
    example = {"list": "`list[str]`", "dict": "`dict[str, int]`"}.get(name)
    message = f"`{name}` takes {wanted} type argument{'s' * (wanted != 1)}, not {len(expr.args)}"
    ctx.report("type-arguments", message, expr.span, help=example and f"for example {example}")


def _declared(ctx: CheckContext, file: File, ident: nodes.Ident) -> Type:
    declared = file.find(ident.name, ident.span, ctx)
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
    known = [*PRIMITIVES, ONE_OF, "list", "dict", *soft, *declared_types]
    message, help = f"unknown type `{ident.name}`", suggestion(ident.name, known)
    ctx.report("unknown-type", message, ident.span, help=help)
    return types.ERROR


def _report_recursion(
    ctx: CheckContext, declared: Declared, ident: nodes.Ident | nodes.Var
) -> None:
    ctx.report(
        "recursive-type",
        f"`{declared.ident.name}` contains itself",
        ident.span,
        Label(declared.ident.span, "declared here"),
        help=_recursion_help(declared),
    )


def _recursion_help(declared: Declared) -> str:
    if not isinstance(declared.decl, nodes.RecordDecl):
        return "name a record that contains it, which can have a depth"
    return f"bound how deep it nests: `record {declared.ident.name}(depth: 3) {{ … }}`"


# --- refinements ---


def _refine(ctx: CheckContext, file: File, base: Type, expr: nodes.NamedType) -> Type:
    for refinement in expr.refinements:
        if isinstance(refinement, nodes.RangeRefinement):
            ends = [_end(ctx, file, end) for end in (refinement.low, refinement.high)]
            if types.ERROR in ends:
                continue
            refinement = replace(refinement, low=ends[0], high=ends[1])
        match refinement:
            case nodes.PatternRefinement():
                base = _with_pattern(ctx, base, refinement)
            case nodes.UniqueRefinement():
                base = _with_unique(ctx, base, refinement)
            case nodes.RangeRefinement() if isinstance(base, types.WrittenType):
                base = _with_written_range(ctx, base, refinement)
            case nodes.RangeRefinement():
                base = _with_range(ctx, base, refinement, expr)
            case _:
                base = _bad_refinement(ctx, base, refinement)
    return base


def _end(ctx: CheckContext, file: File, end: Any) -> Any:
    """The number or text of a bound, which may be made of constants. ERROR if it is none."""
    if not isinstance(end, nodes.Expr):
        return end
    env = Env(ctx, file, file.prefix, "constant")
    if isinstance(inference.infer(env, end), types.ErrorType):
        return types.ERROR
    try:
        value = evaluate(ctx.program, end)
    except NotConstant as stop:
        inference.report_not_constant(env, stop, "a bound")
        return types.ERROR
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    message = f"a bound is a number or a string, and `{end.span.text}` is neither"
    ctx.report("bad-refinement", message, end.span)
    return types.ERROR


def _with_pattern(ctx: CheckContext, base: Type, refinement: nodes.PatternRefinement) -> Type:
    if not isinstance(base, types.StrType) or base.pattern is not None:
        return _bad_refinement(ctx, base, refinement)
    try:
        whole_pattern(refinement.pattern)
    except ValueError as problem:
        ctx.report("bad-pattern", f"the pattern cannot be used: {problem}", refinement.span)
        return base
    return types.StrType(base.min_len, base.max_len, refinement.pattern)


def _with_unique(ctx: CheckContext, base: Type, refinement: nodes.UniqueRefinement) -> Type:
    if not isinstance(base, types.ListType) or base.unique:
        return _bad_refinement(ctx, base, refinement)
    return replace(base, unique=True)


def _with_range(
    ctx: CheckContext, base: Type, refinement: nodes.RangeRefinement, expr: nodes.NamedType
) -> Type:
    low: Any = refinement.low  # the ends are values: `_refine` looked up the names
    high: Any = refinement.high
    if isinstance(low, str) or isinstance(high, str):
        return _bad_refinement(ctx, base, refinement)
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
            return types.IntType(low, high)
        case types.FloatType(None, None) if expr.name.name == "float":
            return types.FloatType(_float(low), _float(high))
        case types.StrType(None, None, pattern) if expr.name.name == "str":
            return types.StrType(low, high, pattern)
        case types.ListType(item, None, None) if expr.name.name == "list":
            return types.ListType(item, low, high, base.unique)
    return _bad_refinement(ctx, base, refinement)


def _with_written_range(
    ctx: CheckContext, base: types.WrittenType, refinement: nodes.RangeRefinement
) -> Type:
    """A date and the like with bounds, which are strings; those of a decimal are numbers."""
    if (base.low, base.high) != (None, None):
        return _bad_refinement(ctx, base, refinement)
    ends: list[str | None] = []
    given: tuple[Any, Any] = (refinement.low, refinement.high)
    for bound in given:
        try:
            ends.append(None if bound is None else _written_bound(base.kind, bound))
        except ValueError as problem:
            message = f"`{bound}` is not a bound of `{base}`: {problem}"
            help = f"for example `{_example(base.kind)}`"
            ctx.report("bad-refinement", message, refinement.span, help=help)
            return base
    low, high = ends
    ordered = None in ends or order(base.kind, str(low)) <= order(base.kind, str(high))
    if ends == [None, None] or not ordered:
        ctx.report("empty-range", f"`{refinement.span.text}` is an empty range", refinement.span)
        return base
    return types.WrittenType(base.kind, low, high)


def _written_bound(kind: Kind, bound: float | str) -> str:
    if isinstance(bound, str):
        return normal(kind, bound)
    if kind != "decimal":
        raise ValueError("it is a number")
    return decimal_text(bound)


def _example(kind: Kind) -> str:
    return "decimal(0..99.5)" if kind == "decimal" else f'{kind}("{EXAMPLES[kind]}"..)'


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
    """Define the types and constants among some names.

    Reports constants that contain themselves, and types that do so without a bound.

    Each comes behind those that it mentions, however many: Python recurses only so deep.
    """
    todo = [d for d in declared if isinstance(d.decl, _DEFINED)]
    for group in circles(todo, _mentioned):
        _define_group(ctx, group)


def _define_group(ctx: CheckContext, group: list[Declared], *, rest: bool = False) -> None:
    """Define a type, or the types of a circle; `rest` are what is left of one that was refused."""
    constants = [one for one in group if isinstance(one.decl, nodes.ConstantDecl)]
    if constants and _is_circle(group, group):
        _refuse_cycle(ctx, min(constants, key=lambda one: one.ident.span.start), group)
        return
    bound = bound_of(ctx, group)
    if len(group) == 1 and all(other is not group[0] for other, _ in _mentioned(group[0])):
        if bound is not None and not rest and not ctx.has_error_in(group[0].decl.depth.span):  # type: ignore[attr-defined]
            _report_needless_depth(ctx, group[0])
        define(ctx, group[0])
        return
    aliases = [one for one in group if not isinstance(one.decl, nodes.RecordDecl)]
    inner = circles(aliases, lambda one: _mentioned_among(one, aliases))
    tangled = [part for part in inner if _is_circle(part, aliases)]
    if bound is None or tangled:
        part = tangled[0] if tangled else group
        _refuse_recursion(ctx, part)
        others = [one for one in group if one.state == "new"]
        for left in circles(others, lambda one: _mentioned_among(one, others)):
            _define_group(ctx, left, rest=True)
        return
    unroll(ctx, group, bound, lambda *at: _unrolled(ctx, *at), [part[0] for part in inner])
    for one in group:
        _know(ctx, one)


def _is_circle(part: Sequence[Declared], group: Sequence[Declared]) -> bool:
    return len(part) > 1 or any(other is part[0] for other, _ in _mentioned_among(part[0], group))


def _mentioned_among(declared: Declared, group: Sequence[Declared]) -> Mentions:
    known = set(map(id, group))
    return ((other, ident) for other, ident in _mentioned(declared) if id(other) in known)


def _refuse_cycle(ctx: CheckContext, constant: Declared, group: Sequence[Declared]) -> None:
    ident = next(
        ident for one in group for other, ident in _mentioned_among(one, group) if other is constant
    )
    message = f"the constant `{constant.ident.name}` is defined by itself"
    ctx.report("constant-cycle", message, ident.span, Label(constant.ident.span, "here"))
    for one in group:
        one.meaning, one.state = types.ERROR, "done"


def _refuse_recursion(ctx: CheckContext, group: Sequence[Declared]) -> None:
    """Report the first type of a circle, where another one or it itself mentions it."""
    declared = min(group, key=lambda one: one.ident.span.start)
    ordered = sorted(group, key=lambda one: one.ident.span.start)
    mentions = (pair for one in ordered for pair in _mentioned(one))
    ident = next(ident for other, ident in mentions if other is declared)
    _report_recursion(ctx, declared, ident)
    declared.meaning, declared.state = types.ERROR, "done"


def _report_needless_depth(ctx: CheckContext, declared: Declared) -> None:
    depth = declared.decl.depth  # type: ignore[attr-defined]
    message = f"`{declared.ident.name}` has a depth, but does not contain itself"
    ctx.report("bad-depth", message, depth.span, help="leave it out")


def _unrolled(ctx: CheckContext, declared: Declared, height: int, bound: int) -> Type:
    """The type of one of a circle at a height, from what the others mean now."""
    if not isinstance(declared.decl, nodes.RecordDecl):
        return resolve(ctx, declared.file, declared.decl.type)  # type: ignore[attr-defined]
    type = _record(ctx, declared.file, declared.decl)
    if not isinstance(type, types.RecordType):
        return type
    if any(isinstance(field.type, types.NeverType) for field in type.fields):
        return types.NeverType(declared.ident.name)
    family = declared.file.prefix + declared.ident.name
    type = replace(type, family=family, height=height, bound=bound)
    ctx.settle(type, declared)
    return type


def _mentioned(declared: Declared) -> Mentions:
    """The types and constants of the same file that a type or constant names."""
    todo: list[Any] = [declared.decl]
    while todo:
        match todo.pop():
            case nodes.RecordDecl(fields=fields):
                todo += [field.default for field in reversed(fields) if field.default]
                todo += [field.type for field in reversed(fields)]
            case nodes.ConstantDecl(type=type, value=value):
                todo += [value, type]
            case nodes.TypeDecl(type=type) | nodes.OptionalTypeExpr(item=type):
                todo.append(type)
            case nodes.UnionTypeExpr(options=options):
                todo += reversed(options)
            case nodes.NamedType(name=ident, args=args, refinements=refinements):
                todo += reversed(args)
                ranges = [r for r in refinements if isinstance(r, nodes.RangeRefinement)]
                todo += [e for r in ranges for e in (r.high, r.low) if isinstance(e, nodes.Expr)]
                named = declared.file.names.get(ident.name)
                if named and named.file is declared.file and isinstance(named.decl, TYPE_DECLS):
                    yield named, ident
            case nodes.Var(name=name) as var:
                named = declared.file.names.get(name)
                if named and named.file is declared.file and isinstance(named.decl, _DEFINED):
                    yield named, var
            case nodes.Expr() | nodes.KeyValue() | nodes.Arg() as part:
                todo += reversed(list(children(part)))


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
        case nodes.ConstantDecl() as decl:
            declared.meaning, declared.state = _constant(ctx, declared, decl), "done"
            return declared.meaning  # type: ignore[no-any-return]
        case _:
            raise AssertionError(declared.decl)
    declared.meaning, declared.state = type, "done"
    _know(ctx, declared)
    return type


def _constant(ctx: CheckContext, declared: Declared, decl: nodes.ConstantDecl) -> Any:
    """The meaning of a constant. ERROR if it has none; that has been reported."""
    name, before = decl.name.name, len(ctx.diagnostics)
    env = Env(ctx, declared.file, declared.file.prefix + name, "constant")
    if any(isinstance(other.meaning, types.ErrorType) for other, _ in _mentioned(declared)):
        return types.ERROR  # what is wrong with that has been said
    if decl.type is not None:
        type = resolve(ctx, declared.file, decl.type)
    else:
        type = inference.infer(env, decl.value)
        if isinstance(type, types.ErrorType) or len(ctx.diagnostics) > before:
            return types.ERROR
    value = constant(env, decl.value, type, f"`{name}`")
    if len(ctx.diagnostics) > before:
        return types.ERROR
    return ConstantDef(env.owner, decl.span, type, value)


def _know(ctx: CheckContext, declared: Declared) -> None:
    """Note a type by its name, and where a record or an enum is declared."""
    ctx.program.named_types[declared.file.prefix + declared.ident.name] = declared.meaning
    if not isinstance(declared.decl, nodes.TypeDecl):
        ctx.settle(declared.meaning, declared)


def _record(ctx: CheckContext, file: File, decl: nodes.RecordDecl) -> Type:
    check_aliases(ctx, decl.fields, "field")
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
    alias = field.alias.value if field.alias else ""
    if field.default is None:
        return types.Field(field.name.name, type, note, alias=alias)
    value = default(ctx, file, field.default, type, field.name, record.name.name)
    return types.Field(field.name.name, type, note, True, value, alias)


def _enum(ctx: CheckContext, decl: nodes.EnumDecl) -> Type:
    variants = list(_distinct(ctx, decl.variants, "variant"))
    notes = tuple(v.note.value if v.note else "" for v in variants)
    names = tuple(v.name.name for v in variants)
    check_aliases(ctx, decl.variants, "variant")
    seen = tuple(v.alias.value if v.alias else v.name.name for v in variants)
    doc = decl.doc.text if decl.doc else ""
    return types.EnumType(decl.name.name, names, notes, doc, () if seen == names else seen)


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
    # Arithmetic forgets refinements, but the value of a constant is known below.
    wanted = forget(type) if isinstance(expr, nodes.Binary) else type
    actual = inference.check(env, expr, wanted, why)
    found = env.ctx.diagnostics[before:]
    if any(d.code != "type-mismatch" for d in found) or isinstance(actual, types.ErrorType):
        return None
    try:
        value = evaluate(env.ctx.program, expr)
    except NotConstant as stop:
        del env.ctx.diagnostics[before:]  # "not a constant" says more than its type
        inference.report_not_constant(env, stop, why)
        return None
    if found:
        return None
    value = project(type, value)
    problem = misfit(value, type)
    if problem:
        env.ctx.report("out-of-range", f"{why} does not fit: {problem}", expr.span)
    return value
