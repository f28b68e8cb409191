"""The type of an expression: `infer` finds it, `check` also requires one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lmc import types
from lmc.canonical import first_repeated
from lmc.check import builtins
from lmc.check.constants import NotConstant, evaluate
from lmc.check.mismatch import difference, told_apart
from lmc.check.program import ModuleDef, PipelineDef
from lmc.check.scope import CheckContext, Declared, Env
from lmc.check.subtyping import is_number, is_subtype, is_text, join, required, show, widen
from lmc.diagnostics import Label, suggestion
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import Type
from lmc.unions import clash, united
from lmc.written import Kind, normal


def infer(env: Env, expr: nodes.Expr, expected: Type | None = None) -> Type:
    """The type of an expression. `expected` only guides literals; it is not enforced."""
    type = within_levels(env.ctx, env.ctx.rules[expr.__class__](env, expr, expected), expr.span)
    env.ctx.program.types[id(expr)] = type
    return type


def within_levels(ctx: CheckContext, type: Type, place: Span) -> Type:
    """The type, or ERROR if its parts nest too deep for what walks through it; then it is said."""
    if types.levels(type) <= types.MOST_LEVELS:
        return type
    message = f"this type nests more than {types.MOST_LEVELS} types in one another"
    ctx.report("type-too-large", message, place, help="use a flat list, or refer to parts by an id")
    return types.ERROR


def check(
    env: Env, expr: nodes.Expr, expected: Type, why: str = "", place: Span | None = None
) -> Type:
    """The type of an expression, which must fit `expected`.

    `why` names the value in the message. `place` is where its type is required.
    """
    if isinstance(expr, nodes.ListLit) and isinstance(required(expected), types.ListType):
        return _check_list(env, expr, expected, why, place)
    actual = infer(env, expr, expected)
    if not is_subtype(actual, expected):
        report_mismatch(env, expr, actual, expected, why, place)
    return actual


def _check_list(
    env: Env, expr: nodes.ListLit, expected: Type, why: str, place: Span | None
) -> Type:
    wanted = required(expected)
    assert isinstance(wanted, types.ListType)
    found = [check(env, e, wanted.item, why and f"an item of {why}", place) for e in expr.items]
    item = _lowest(found, wanted.item)
    distinct = wanted.unique and check_distinct(env, expr, wanted, why)
    actual = types.ListType(item, len(expr.items), len(expr.items), distinct)
    env.ctx.program.types[id(expr)] = actual
    if not is_subtype(actual, wanted):
        report_mismatch(env, expr, actual, expected, why, place)
    return actual


def _lowest(found: Iterable[Type], wanted: Type) -> Type:
    """The type of the items of a list: as wanted, or a lower level of a recursive record."""
    if not any(isinstance(part, types.RecordType) and part.family for part in types.parts(wanted)):
        return wanted
    item: Type | None = types.NEVER
    for type in found:
        item = item and join(item, type)
    return item if item is not None and is_subtype(item, wanted) else wanted


def check_distinct(env: Env, expr: nodes.Expr, wanted: Type, why: str) -> bool:
    """Whether the items of a list literal are constants, no two of them equal.

    Reports a constant that is there twice where the wanted type has each item once.
    """
    wanted = required(wanted)
    unique = isinstance(wanted, types.ListType) and wanted.unique
    if not unique or not isinstance(expr, nodes.ListLit):
        return False
    try:
        values = [evaluate(env.ctx.program, item) for item in expr.items]
    except NotConstant:
        return len(expr.items) == 1
    place = first_repeated(values)
    if place is not None:
        message = f"{why or 'this list'} has an item twice, but must be `{wanted}`"
        env.ctx.report("out-of-range", message, expr.items[place].span, help="leave one out")
    return True


def report_mismatch(
    env: Env,
    expr: nodes.Expr,
    actual: Type,
    expected: Type,
    why: str = "",
    place: Span | None = None,
) -> None:
    """Report that an expression does not have the expected type."""
    wanted = f"{why} must be" if why else "expected"
    must, found = told_apart(env.ctx, expected, actual)
    env.ctx.report(
        "type-mismatch",
        f"{wanted} {must}, but this is {found}",
        Label(expr.span, found),
        place and Label(place, f"requires {must}"),
        help=_mismatch_help(actual, expected) or difference(env.ctx, actual, expected),
    )


def _mismatch_help(actual: Type, expected: Type) -> str | None:
    if isinstance(actual, types.OptionalType) and is_subtype(actual.item, expected):
        return "give a default with `??`, or test for `!= none` first"
    if _only_repeats(actual, expected):
        return "`unique(…)` leaves out repetitions"
    match expected, actual:
        case types.EnumType(), types.LiteralType() if set(actual.values) <= set(expected.variants):
            return f"write `{expected.name}.{actual.values[0]}`"
        case types.IntType(), types.FloatType():
            return "`round(…)` gives an int"
        case types.RecordType(name=name), types.DictType():
            return f"write `{name}(…)` with the values of its fields"
        case types.ListType(item=wanted), types.ListType(item=types.OptionalType(item)) if (
            is_subtype(item, wanted)
        ):
            return "`filter(…)` leaves out what is `none`"
        case types.WrittenType(kind), types.LiteralType(values=(text,)) if _is_one(kind, text):
            return f'write `{kind}("{text}")`'
        case types.WrittenType("decimal"), types.IntType() | types.FloatType():
            return "`decimal(…)` turns a number into a decimal"
        case types.WrittenType(kind), _ if is_text(actual):
            return f"`{kind}(…)` reads a text; it is none if the text is no {kind}"
        case _ if is_text(expected) and is_number(actual):
            return "`str(…)` turns a number into text"
    return None


def _only_repeats(actual: Type, expected: Type) -> bool:
    """Whether a list fits but for items that may be there twice."""
    own, wanted = required(actual), required(expected)
    if not (isinstance(own, types.ListType) and isinstance(wanted, types.ListType)):
        return False
    return wanted.unique and not own.unique and is_subtype(replace(own, unique=True), wanted)


def _is_one(kind: Kind, text: str) -> bool:
    try:
        return bool(normal(kind, text))
    except ValueError:
        return False


def check_condition(env: Env, expr: nodes.Expr, why: str) -> None:
    """Check that an expression is a bool."""
    require_bool(env, expr, infer(env, expr, types.BOOL), why)


def require_bool(env: Env, expr: nodes.Expr, actual: Type, why: str) -> None:
    """Report an expression whose inferred type is not a bool."""
    if not is_subtype(actual, types.BOOL):
        env.ctx.report(
            "condition-not-bool",
            f"{why} must be `bool`, but this is `{show(actual)}`",
            Label(expr.span, f"`{show(actual)}`"),
            help=_compared(expr, actual),
        )


def _compared(expr: nodes.Expr, actual: Type) -> str | None:
    """How to make a condition of a value that is no bool."""
    shown = expr.span.text if len(expr.span.text) <= MOST_REPEATED else "…"
    match actual:
        case types.OptionalType():
            return "compare with `!= none`"
        case types.StrType() | types.ListType() | types.DictType():
            return f"compare its length: `len({shown}) > 0`"
        case types.IntType():
            return f"compare it: `{shown} > 0`"
        case types.FloatType():
            return f"compare it: `{shown} > 0.5`"
    return None


def as_expected(found: Iterable[Type], expected: Type | None) -> Type | None:
    """The expected type, if it has a union and all types fit it; their join might not.

    One member of a union may be wider than another, and is not to lose its fields.
    """
    if expected is None or not _has_union(expected):
        return None
    return expected if all(is_subtype(type, expected) for type in found) else None


def _has_union(type: Type) -> bool:
    return any(isinstance(part, types.UnionType) for part in types.parts(type))


def join_all(env: Env, parts: list[tuple[nodes.Expr, Type]], what: str) -> Type:
    """The common type of all parts. Reports the first part that has none with those before."""
    result: Type = types.NEVER
    for expr, type in parts:
        wider = join(result, type)
        if wider is None:
            before, found = told_apart(env.ctx, widen(result), widen(type))
            first, _ = told_apart(env.ctx, widen(parts[0][1]), widen(type))
            env.ctx.report(
                "no-common-type",
                f"{what} have no common type: {before} and {found}",
                Label(expr.span, found),
                Label(parts[0][0].span, first),
                help=_union_help(result, type),
            )
            return types.ERROR
        result = wider
    return result


def _union_help(one: Type, other: Type) -> str | None:
    """How to let a value be of either of two types, if it would be clear of which it is."""
    records = isinstance(one, types.RecordType) and isinstance(other, types.RecordType)
    union = united((one, other)) if records else types.ERROR
    if not isinstance(union, types.UnionType) or clash(union) or str(one) == str(other):
        return None
    return f"declare the type: a `{union}` may be either"


def lookup(env: Env, var: nodes.Var, expected: Type | None = None) -> Any:
    """What a name means: Binding, Declared, built-in name (str), or None (reported)."""
    local = env.find(var.name)
    if local is not None:
        local.used = True
        env.ctx.use(var.span, local.span or local.declared)
        return local
    found = env.file.find(var.name, var.span, env.ctx) or builtins.named(var.name)
    if found is None:
        env.ctx.unknown[var.span.start] = env
        known = [*env.visible(), *env.file.names, *builtins.NAMES]
        wanted = required(expected) if expected else None
        variant = isinstance(wanted, types.EnumType) and var.name in wanted.variants
        help = f"write `{wanted}.{var.name}`" if variant else None
        report_unknown(env, var.name, var.span, known, help=help)
    return found


MOST_REPEATED = 40  # characters of an expression that a message repeats
_OF_OTHER_LANGUAGES = {
    "dict": "write `{a: 1, b: 2}`",
    "map": "write `[f(x) for x in xs]`",
    "print": "return the value, or look at it in the trace of `lmc run --trace`",
    "reduce": "write `loop state = start for 10 { yield … }`",
    "format": 'write `f"… {value} …"`',
    "isinstance": "write `match value { T => … }`",
    "reversed": "write `[xs[i] for i in range(len(xs) - 1, -1, -1)]`",
    "set": "write `unique(xs)`",
    "type": "write `match value { T => … }`",
    "sorted": "write `sort_by(xs)`, or `sort_by(xs, .field)`",
}


def report_unknown(
    env: Env,
    name: str,
    span: Span,
    known: Iterable[str],
    what: str = "name",
    help: str | None = None,
) -> None:
    """Report an unknown name, unless a syntax error may have hidden its declaration."""
    if env.file.may_have_lost(name):
        return
    help = help or suggestion(name, known)
    if name in ("null", "nil", "undefined"):
        help = "the value that is not there is `none`"
    if name == "tune":
        help = "write the options in square brackets: `tune[a, b]`"
    help = _OF_OTHER_LANGUAGES.get(name, help)
    env.ctx.report(
        "unknown-name",
        f"unknown {what} `{name}`",
        span,
        help=help,
    )


def call_behind(env: Env, expr: nodes.Expr) -> nodes.Call | None:
    """The call of a module or pipeline that gives a value, also through the names of `let`s."""
    match expr:
        case nodes.Var(name=name):
            binding = env.find(name)
            return binding.source if binding else None
        case nodes.Call(target=target):
            referent = env.ctx.program.referents.get(id(target))
            return expr if isinstance(referent, ModuleDef | PipelineDef) else None
    return None


def describe(declared: Declared) -> str:
    """The kind of a declaration, with its article: `a vote`, `an enum`."""
    match declared.decl:
        case nodes.ModuleDecl(kind=kind):
            name: str = kind
        case decl:
            name = type(decl).__name__.removesuffix("Decl").lower()
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def report_not_constant(env: Env, stop: NotConstant, what: str) -> None:
    """Report a part of an expression that is not constant, or has no value."""
    help = _BOUND_HELP if what == "`for`" else None
    message = f"{what} has no value: {stop.why}" if stop.why else f"{what} must be a constant"
    env.ctx.report("not-constant", message, stop.node.span, help=help)


_BOUND_HELP = "write a number, a constant of the file, or `tune[…]`, so that every program ends"
