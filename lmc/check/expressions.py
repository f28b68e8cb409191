"""Types of expressions: `infer` finds one, `check` asks for one; both note what names refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lmc.check import calls
from lmc.check.constants import NotConstant, evaluate
from lmc.check.program import Local, ModelDef, Variant
from lmc.check.scope import Declared, Env, Path
from lmc.check.subtyping import (
    comparable,
    is_number,
    is_subtype,
    is_text,
    join,
    optional,
    required,
    show,
    widen,
)
from lmc.check.types import (
    BOOL,
    ERROR,
    FLOAT,
    INT,
    JSON,
    NEVER,
    NONE,
    STR,
    BoolType,
    DictType,
    EnumType,
    ErrorType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    NoneType,
    OptionalType,
    RecordType,
    Type,
)
from lmc.diagnostics import Label, did_you_mean
from lmc.source import Span
from lmc.syntax import nodes

MAX_OPTIONS = 1000


def infer(env: Env, expr: nodes.Expr, expected: Type | None = None) -> Type:
    """The type of an expression; `expected` only guides literals, it is not checked."""
    type = _INFER[expr.__class__](env, expr, expected)
    env.ctx.program.types[id(expr)] = type
    return type


def check(
    env: Env, expr: nodes.Expr, expected: Type, why: str = "", place: Span | None = None
) -> Type:
    """The type of an expression that must be of an expected one; `why` and `place` say who asks."""
    if isinstance(expr, nodes.ListLit) and isinstance(required(expected), ListType):
        return _check_list(env, expr, expected, why, place)
    actual = infer(env, expr, expected)
    if not is_subtype(actual, expected):
        report_mismatch(env, expr, actual, expected, why, place)
    return actual


def _check_list(
    env: Env, expr: nodes.ListLit, expected: Type, why: str, place: Span | None
) -> Type:
    wanted = required(expected)
    assert isinstance(wanted, ListType)
    for item in expr.items:
        check(env, item, wanted.item, why and f"an item of {why}", place)
    actual = ListType(wanted.item, len(expr.items), len(expr.items))
    env.ctx.program.types[id(expr)] = actual
    if not is_subtype(actual, wanted):
        report_mismatch(env, expr, actual, expected, why, place)
    return actual


def report_mismatch(
    env: Env,
    expr: nodes.Expr,
    actual: Type,
    expected: Type,
    why: str = "",
    place: Span | None = None,
) -> None:
    """Report that an expression is of another type than what is asked for."""
    subject = f"{why} is" if why else "this must be"
    subject = subject[0].upper() + subject[1:] if not subject.startswith("`") else subject
    env.ctx.report(
        "type-mismatch",
        f"{subject} `{show(expected)}`, but this is `{show(actual)}`",
        Label(expr.span, f"`{show(actual)}`"),
        place and Label(place, f"asks for `{show(expected)}`"),
        help=_mismatch_help(actual, expected),
    )


def _mismatch_help(actual: Type, expected: Type) -> str | None:
    if isinstance(actual, OptionalType) and is_subtype(actual.item, expected):
        return "give a default with `??`, or test for `!= none` first"
    match expected, actual:
        case EnumType(), LiteralType() if set(actual.values) <= set(expected.variants):
            return f"write `{expected.name}.{actual.values[0]}`"
        case IntType(), FloatType():
            return "`round(…)` gives an int"
        case _ if is_text(expected) and is_number(actual):
            return "`str(…)` turns a number into text"
    return None


def check_condition(env: Env, expr: nodes.Expr, why: str) -> None:
    """Check that an expression is a bool."""
    actual = infer(env, expr, BOOL)
    if not is_subtype(actual, BOOL):
        env.ctx.report(
            "condition-not-bool",
            f"{why} must be `bool`, but this is `{show(actual)}`",
            Label(expr.span, f"`{show(actual)}`"),
            help="compare with `!= none`" if isinstance(actual, OptionalType) else None,
        )


# --- what is known after a condition ---


def path_of(expr: nodes.Expr) -> Path | None:
    """`a.b.c` as a path, or None for anything else."""
    match expr:
        case nodes.Var(name=name):
            return (name,)
        case nodes.Attr(value=value, name=field):
            path = path_of(value)
            return path and (*path, field.name)
    return None


def facts(env: Env, condition: nodes.Expr, outcome: bool) -> dict[Path, Type]:
    """What a checked condition says of its names when it came out true or false."""
    match condition:
        case nodes.Unary(op="not", operand=operand):
            return facts(env, operand, not outcome)
        case nodes.Binary(op="and" | "or" as op, left=left, right=right):
            both = (op == "and") == outcome
            return {**facts(env, left, outcome), **facts(env, right, outcome)} if both else {}
        case nodes.Binary(op="==" | "!=" as op, left=left, right=nodes.NoneLit()):
            return _none_fact(env, left, (op == "==") == outcome)
        case nodes.Binary(op="==" | "!=" as op, left=nodes.NoneLit(), right=right):
            return _none_fact(env, right, (op == "==") == outcome)
    return {}


def _none_fact(env: Env, expr: nodes.Expr, is_none: bool) -> dict[Path, Type]:
    path, type = path_of(expr), env.ctx.program.types.get(id(expr))
    if path is None or not isinstance(type, OptionalType):
        return {}
    return {path: NONE if is_none else type.item}


# --- names ---


def report_unknown(
    env: Env, name: str, span: Span, known: Iterable[str], what: str = "name"
) -> None:
    """Report a name that nothing declares, unless the syntax errors of the file may have eaten it."""
    if env.file.may_have_lost(name):
        return
    near = did_you_mean(name, known)
    env.ctx.report(
        "unknown-name",
        f"no {what} `{name}` is known here",
        span,
        help=f"did you mean `{near}`?" if near else None,
    )


def lookup(env: Env, var: nodes.Var) -> Any:
    """What a name means: Binding, Declared, built-in name (str), or None (reported)."""
    local = env.find(var.name)
    if local is not None:
        local.used = True
        return local
    found = env.file.find(var.name) or calls.builtin(var.name)
    if found is None:
        known = [*env.visible(), *env.file.names, *calls.BUILTIN_NAMES]
        report_unknown(env, var.name, var.span, known)
    return found


def _var(env: Env, expr: nodes.Var, expected: Type | None) -> Type:
    found = lookup(env, expr)
    if found is None:
        return ERROR
    if isinstance(found, Declared | str | RecordType):
        return _not_a_value(env, expr, found)
    type = env.facts.get((expr.name,), found.type)
    env.ctx.refer(expr, Local(expr.name, type))
    return type


def _not_a_value(env: Env, expr: nodes.Var, found: Any) -> Type:
    what, place, meaning = "built-in", None, found
    if isinstance(found, Declared):
        what, place, meaning = (
            describe(found),
            Label(found.ident.span, "declared here"),
            found.meaning,
        )
    if isinstance(meaning, ErrorType):
        return ERROR
    callable_ = not isinstance(meaning, EnumType | ModelDef | None)
    env.ctx.report(
        "not-a-value",
        f"`{expr.name}` is a {what}, not a value",
        expr.span,
        place,
        help=f"call it: `{expr.name}(…)`" if callable_ else None,
    )
    return ERROR


def describe(declared: Declared) -> str:
    """The kind of a declaration in a word."""
    match declared.decl:
        case nodes.ModuleDecl(kind=kind):
            return kind
        case decl:
            return type(decl).__name__.removesuffix("Decl").lower()


# --- literals ---


def _number(env: Env, expr: nodes.Number, expected: Type | None) -> Type:
    value = expr.value
    return IntType(value, value) if isinstance(value, int) else FloatType(value, value)


def _string(env: Env, expr: nodes.String, expected: Type | None) -> Type:
    return LiteralType((expr.value,))


def _bool(env: Env, expr: nodes.Bool, expected: Type | None) -> Type:
    return BOOL


def _none(env: Env, expr: nodes.NoneLit, expected: Type | None) -> Type:
    return NONE


def _list(env: Env, expr: nodes.ListLit, expected: Type | None) -> Type:
    wanted = required(expected) if expected else None
    hint = wanted.item if isinstance(wanted, ListType) else None
    item = _join_all(env, [(e, infer(env, e, hint)) for e in expr.items], "the items of a list")
    return ListType(item, len(expr.items), len(expr.items))


def _object(env: Env, expr: nodes.ObjectLit, expected: Type | None) -> Type:
    hint = expected.item if isinstance(expected, DictType) else None
    seen: set[str] = set()
    item: Type | None = NEVER
    for pair in expr.pairs:
        if pair.key.name in seen:
            env.ctx.report("duplicate-key", f"`{pair.key.name}` is given twice", pair.key.span)
        seen.add(pair.key.name)
        type = infer(env, pair.value, hint)
        item = item and join(item, type)
    return DictType(item or JSON)


def _join_all(env: Env, parts: list[tuple[nodes.Expr, Type]], what: str) -> Type:
    result: Type = NEVER
    for expr, type in parts:
        wider = join(result, type)
        if wider is None:
            env.ctx.report(
                "no-common-type",
                f"{what} have no common type: `{show(widen(result))}` and `{show(widen(type))}`",
                Label(expr.span, f"`{show(widen(type))}`"),
                Label(parts[0][0].span, f"`{show(widen(parts[0][1]))}`"),
            )
            return ERROR
        result = wider
    return result


# --- parts of values ---


def _attr(env: Env, expr: nodes.Attr, expected: Type | None) -> Type:
    variant = _variant(env, expr)
    if variant is not None:
        return variant
    path = path_of(expr)
    whole = infer(env, expr.value)
    if isinstance(whole, OptionalType | NoneType) and not expr.optional:
        return _unguarded(env, expr, whole)
    if expr.optional and not isinstance(whole, OptionalType | NoneType | ErrorType):
        env.ctx.warn(
            "needless-optional",
            f"`?.` on `{show(whole)}`, which is never none",
            Label(expr.name.span),
            help=f"write `.{expr.name.name}`",
        )
    type = _field(env, expr, required(whole))
    if path in env.facts:
        return env.facts[path]  # type: ignore[index]
    return optional(type) if expr.optional and isinstance(whole, OptionalType) else type


def _unguarded(env: Env, expr: nodes.Attr, whole: Type) -> Type:
    env.ctx.report(
        "optional-access",
        f"`.{expr.name.name}` of `{show(whole)}`, which may be none",
        Label(expr.name.span),
        Label(expr.value.span, f"`{show(whole)}`"),
        help=f"write `?.{expr.name.name}`, or test for `!= none` first",
    )
    return ERROR


def _variant(env: Env, expr: nodes.Attr) -> Type | None:
    if not isinstance(expr.value, nodes.Var) or env.find(expr.value.name):
        return None
    declared = env.file.names.get(expr.value.name)
    if declared is None or not isinstance(declared.meaning, EnumType):
        return None
    enum, name = declared.meaning, expr.name.name
    env.file.find(expr.value.name)
    env.ctx.refer(expr.value, enum)
    if name not in enum.variants:
        report_variant(env, enum, expr.name)
        return ERROR
    env.ctx.refer(expr, Variant(enum, name))
    return enum


def report_variant(env: Env, enum: EnumType, ident: nodes.Ident) -> None:
    """Report a variant that an enum does not have."""
    near = did_you_mean(ident.name, enum.variants)
    declared = env.file.names.get(enum.name)
    env.ctx.report(
        "unknown-variant",
        f"`{enum.name}` has no variant `{ident.name}`",
        Label(ident.span, f"not a variant of `{enum.name}`"),
        declared and Label(declared.ident.span, "declared here"),
        help=f"did you mean `{near}`?" if near else f"it has {_names(enum.variants)}",
    )


def _field(env: Env, expr: nodes.Attr, whole: Type) -> Type:
    if isinstance(whole, RecordType):
        return field_type(env, whole, expr.name)
    if not isinstance(whole, ErrorType):
        keyed = isinstance(whole, DictType | JsonType)
        env.ctx.report(
            "no-fields",
            f"`{show(widen(whole))}` has no fields",
            Label(expr.name.span),
            help=f'write `["{expr.name.name}"]`' if keyed else None,
        )
    return ERROR


def field_type(env: Env, record: RecordType, ident: nodes.Ident) -> Type:
    """The type of a record's field; reports one that it does not have."""
    field = record.get(ident.name)
    if field is not None:
        return field.type
    near = did_you_mean(ident.name, [f.name for f in record.fields])
    declared = env.file.names.get(record.name)
    env.ctx.report(
        "unknown-field",
        f"`{record.name}` has no field `{ident.name}`",
        Label(ident.span, f"not a field of `{record.name}`"),
        declared and Label(declared.ident.span, "declared here"),
        help=f"did you mean `{near}`?"
        if near
        else f"it has {_names(f.name for f in record.fields)}",
    )
    return ERROR


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _index(env: Env, expr: nodes.Index, expected: Type | None) -> Type:
    whole = infer(env, expr.value)
    match whole:
        case ListType(item):
            check(env, expr.index, INT, "the index of a list")
            return item
        case DictType(item):
            check(env, expr.index, STR, "the key of a dict")
            return optional(item)
        case JsonType():
            infer(env, expr.index)
            return JSON
    infer(env, expr.index)
    if is_text(whole):
        return STR
    env.ctx.report(
        "not-indexable",
        f"`{show(widen(whole))}` has no items to index",
        Label(expr.value.span, f"`{show(widen(whole))}`"),
        help="test for `!= none` first" if isinstance(whole, OptionalType) else None,
    )
    return ERROR


# --- operators ---


def _unary(env: Env, expr: nodes.Unary, expected: Type | None) -> Type:
    if expr.op == "not":
        check_condition(env, expr.operand, "the operand of `not`")
        return BOOL
    type = infer(env, expr.operand)
    match type:
        case IntType(low, high):
            return IntType(_minus(high), _minus(low))
        case FloatType(low, high):
            return FloatType(_minus(high), _minus(low))
    return _no_operator(env, expr, "-", type)


def _minus(value: Any) -> Any:
    return None if value is None else -value


def _no_operator(env: Env, expr: nodes.Expr, op: str, *types: Type) -> Type:
    if not any(isinstance(t, ErrorType) for t in types):
        shown = " and ".join(f"`{show(widen(t))}`" for t in types)
        maybe = any(isinstance(t, OptionalType) for t in types)
        env.ctx.report(
            "bad-operands",
            f"`{op}` does not take {shown}",
            Label(expr.span, shown),
            help="give a default with `??`, or test for `!= none` first" if maybe else None,
        )
    return ERROR


def _binary(env: Env, expr: nodes.Binary, expected: Type | None) -> Type:
    if expr.op in ("and", "or"):
        check_condition(env, expr.left, f"the left side of `{expr.op}`")
        right = env.knowing(facts(env, expr.left, expr.op == "and"))
        check_condition(right, expr.right, f"the right side of `{expr.op}`")
        return BOOL
    left = infer(env, expr.left, expected)
    right_type = infer(env, expr.right, expected)
    return _OPERATORS[expr.op](env, expr, left, right_type)


def _coalesce(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if not isinstance(left, OptionalType | NoneType | JsonType | ErrorType):
        env.ctx.warn(
            "needless-default",
            f"the left side of `??` is `{show(left)}`, which is never none",
            Label(expr.left.span, f"`{show(left)}`"),
        )
    base = NEVER if isinstance(left, NoneType) else required(left)
    return _join_all(env, [(expr.left, base), (expr.right, right)], "the two sides of `??`")


def _plus(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if isinstance(left, ListType) and isinstance(right, ListType):
        item = join(left.item, right.item)
        if item is not None:
            return ListType(item)
    if is_text(left) and is_text(right):
        return STR if not isinstance(left, ErrorType) else left
    return _arithmetic(env, expr, left, right)


def _arithmetic(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if not (is_number(left) and is_number(right)):
        return _no_operator(env, expr, expr.op, left, right)
    if isinstance(left, ErrorType) or isinstance(right, ErrorType):
        return ERROR
    whole = isinstance(left, IntType) and isinstance(right, IntType) and expr.op != "/"
    return INT if whole else FLOAT


def _modulo(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if not all(isinstance(t, IntType | ErrorType) for t in (left, right)):
        return _no_operator(env, expr, "%", left, right)
    return INT


def _equal(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if not comparable(left, right) and not comparable(right, left):
        env.ctx.report(
            "never-equal",
            f"`{show(left)}` and `{show(right)}` are never equal",
            Label(expr.right.span, f"`{show(right)}`"),
            Label(expr.left.span, f"`{show(left)}`"),
            help=_mismatch_help(right, required(left))
            if isinstance(required(left), EnumType)
            else None,
        )
    return BOOL


def _order(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    numbers, texts = is_number(left) and is_number(right), is_text(left) and is_text(right)
    if not numbers and not texts:
        _no_operator(env, expr, expr.op, left, right)
    return BOOL


def _contains(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    match right:
        case ListType(item):
            if not comparable(left, item) and not isinstance(item, type(NEVER)):
                _no_operator(env, expr, "in", left, right)
        case DictType() | JsonType() | ErrorType():
            pass
        case _ if not (is_text(left) and is_text(right)):
            _no_operator(env, expr, "in", left, right)
    return BOOL


_OPERATORS: dict[str, Callable[[Env, nodes.Binary, Type, Type], Type]] = {
    "??": _coalesce,
    "+": _plus,
    "-": _arithmetic,
    "*": _arithmetic,
    "/": _arithmetic,
    "%": _modulo,
    "==": _equal,
    "!=": _equal,
    "<": _order,
    "<=": _order,
    ">": _order,
    ">=": _order,
    "in": _contains,
}


# --- branches ---


def _if(env: Env, expr: nodes.IfExpr, expected: Type | None) -> Type:
    check_condition(env, expr.condition, "the condition of `if`")
    then = infer(env.knowing(facts(env, expr.condition, True)), expr.then, expected)
    otherwise = infer(env.knowing(facts(env, expr.condition, False)), expr.otherwise, expected)
    parts = [(expr.then, then), (expr.otherwise, otherwise)]
    return _join_branches(env, parts, expected, "the branches of `if`")


def _join_branches(
    env: Env, parts: list[tuple[nodes.Expr, Type]], expected: Type | None, what: str
) -> Type:
    if expected is not None and all(is_subtype(type, expected) for _, type in parts):
        joined = parts[0][1]
        for _, type in parts[1:]:
            joined = join(joined, type) or expected
        return joined
    return _join_all(env, parts, what)


def _match(env: Env, expr: nodes.Match, expected: Type | None) -> Type:
    subject = infer(env, expr.subject)
    left = _cases(subject)
    if left is None and not isinstance(subject, ErrorType) and not is_text(subject):
        env.ctx.report(
            "not-matchable",
            f"`match` takes an enum or a string, but this is `{show(widen(subject))}`",
            Label(expr.subject.span, f"`{show(widen(subject))}`"),
        )
        subject = ERROR
    open_ = left is None
    parts = []
    for arm in expr.arms:
        left = _cover(env, arm, subject, left, open_)
        parts.append((arm.value, infer(env, arm.value, expected)))
    wild = any(isinstance(arm.pattern, nodes.Wildcard) for arm in expr.arms)
    if not wild and not isinstance(subject, ErrorType):
        _report_uncovered(env, expr, left)
    return _join_branches(env, parts, expected, "the arms of `match`")


def _cases(subject: Type) -> list[str] | None:
    match subject:
        case EnumType(variants=values) | LiteralType(values=values):
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
                    "unreachable", "every case is covered before this arm", arm.pattern.span
                )
            return []
        case nodes.NamePattern(names=idents) if isinstance(subject, EnumType):
            covered = [ident.name for ident in idents]
            for ident in idents:
                if ident.name not in subject.variants:
                    report_variant(env, subject, ident)
                elif left is not None and ident.name not in left:
                    _report_twice(env, ident.span, ident.name)
        case nodes.StringPattern(values=values) if not isinstance(subject, EnumType):
            covered = list(values)
            known = subject.values if isinstance(subject, LiteralType) else values
            for value in values:
                if value not in known and not isinstance(subject, ErrorType):
                    env.ctx.report(
                        "never-equal", f'`{subject}` is never "{value}"', arm.pattern.span
                    )
                elif left is not None and value not in left:
                    _report_twice(env, arm.pattern.span, value)
        case pattern if not isinstance(subject, ErrorType):
            wanted = "variant names" if isinstance(subject, EnumType) else "strings"
            env.ctx.report(
                "wrong-pattern",
                f"the patterns over `{show(widen(subject))}` are {wanted}",
                pattern.span,
            )
    return None if left is None else [case for case in left if case not in covered]


def _report_twice(env: Env, span: Span, name: str) -> None:
    env.ctx.report("duplicate-case", f"`{name}` is covered by an arm before", span)


def _report_uncovered(env: Env, expr: nodes.Match, left: list[str] | None) -> None:
    if left == []:
        return
    missing = "other strings" if left is None else _names(left)
    env.ctx.report(
        "match-not-covered",
        f"this `match` does not cover {missing}",
        Label(Span(expr.span.source, expr.span.start, expr.span.start + len("match"))),
        help="add an arm `_ => …`" if left is None else f"add `{' | '.join(left)} => …`",
    )


# --- several values ---


def _comprehension(env: Env, expr: nodes.Comprehension, expected: Type | None) -> Type:
    types = _iterated(env, expr)
    inner = env.nested()
    for ident, type in zip(expr.names, types):
        inner.bind(ident, type, "comprehension variable")
    if expr.condition is not None:
        check_condition(inner, expr.condition, "the condition of a comprehension")
        inner = inner.knowing(facts(inner, expr.condition, True))
    wanted = required(expected) if expected else None
    return ListType(infer(inner, expr.item, wanted.item if isinstance(wanted, ListType) else None))


def _iterated(env: Env, expr: nodes.Comprehension) -> list[Type]:
    """Type of each variable of a comprehension."""
    if calls.is_zip(env, expr.iterable):
        types = calls.infer_zip(env, expr.iterable)
    else:
        whole = infer(env, expr.iterable)
        if not isinstance(whole, ListType | ErrorType):
            env.ctx.report(
                "not-a-list",
                f"a comprehension goes over a list, but this is `{show(widen(whole))}`",
                Label(expr.iterable.span, f"`{show(widen(whole))}`"),
            )
        types = [whole.item if isinstance(whole, ListType) else ERROR]
    if len(types) != len(expr.names):
        wanted, got = len(types), len(expr.names)
        env.ctx.report(
            "wrong-number-of-names",
            f"{got} name{'s' * (got > 1)} for {wanted} list{'s' * (wanted > 1)}",
            expr.names[0].span.to(expr.names[-1].span),
            expr.iterable.span,
            help="`zip(xs, ys)` goes over two lists at once" if wanted == 1 else None,
        )
        return [ERROR] * got
    return types


def _selector(env: Env, expr: nodes.Selector, expected: Type | None) -> Type:
    env.ctx.report(
        "misplaced-selector",
        f"`.{expr.name.name}` selects a field for `by`, it is no value",
        expr.span,
        help=f"write `x.{expr.name.name}` for the field of a value `x`",
    )
    return ERROR


def _loop(env: Env, expr: nodes.Loop, expected: Type | None) -> Type:
    env.ctx.report("misplaced-loop", "a loop stands only after `let x =` or `return`", expr.span)
    return ERROR


# --- tune ---


def _tune(env: Env, expr: nodes.Tune, expected: Type | None) -> Type:
    if not env.tunable or env.kind == "constant":
        env.ctx.report(
            "misplaced-tune",
            "`tune` stands where it would not be the program that is tuned",
            expr.span,
            help="use it in settings, pipelines and loops",
        )
        return ERROR
    parts = [(e, infer(env, e, expected)) for e in option_exprs(expr)]
    values = tune_values(env, expr)
    if values is not None:
        env.ctx.add_choice(expr, env.owner, env.hint, values)
    return _join_all(env, parts, "the options of `tune`")


def range_ends(expr: nodes.Tune) -> list[nodes.Expr]:
    """The ends of the ranges in a `tune`."""
    ranges = [o for o in expr.options if isinstance(o, nodes.TuneRange)]
    return [end for r in ranges for end in (r.low, r.high)]


def option_exprs(expr: nodes.Tune) -> list[nodes.Expr]:
    """The expressions in a `tune`, both ends of a range included."""
    return [
        e
        for option in expr.options
        for e in ((option.low, option.high) if isinstance(option, nodes.TuneRange) else (option,))
    ]


def tune_values(
    env: Env, expr: nodes.Tune, value_of: Callable[[Env, nodes.Expr], Any] | None = None
) -> tuple[Any, ...] | None:
    """The options as JSON values, ranges spelled out; None when one is wrong (reported)."""
    values: list[Any] = []
    for option in expr.options:
        try:
            if isinstance(option, nodes.TuneRange):
                values += _range_values(env, option)
            else:
                read = value_of or (lambda env, e: evaluate(env.ctx.program, e))
                values.append(read(env, option))
        except NotConstant as stop:
            report_not_constant(env, stop.node, "an option of `tune`")
            return None
    if len(values) > MAX_OPTIONS:
        env.ctx.report("too-many-options", f"`tune` takes at most {MAX_OPTIONS} options", expr.span)
        return None
    return tuple(values)


def _range_values(env: Env, option: nodes.TuneRange) -> list[int]:
    low, high = (evaluate(env.ctx.program, end) for end in (option.low, option.high))
    if not (isinstance(low, int) and isinstance(high, int)) or low > high:
        env.ctx.report(
            "empty-range", "a range of `tune` goes from an int up to a greater one", option.span
        )
        return [0]
    return list(range(low, min(high, low + MAX_OPTIONS) + 1))


def report_not_constant(env: Env, node: nodes.Node, what: str) -> None:
    """Report a part of a constant that needs a run."""
    what = what if what.startswith("`") else what[0].upper() + what[1:]
    env.ctx.report("not-constant", f"{what} must be a constant", node.span)


_INFER: dict[type, Callable[..., Type]] = {
    nodes.Var: _var,
    nodes.Number: _number,
    nodes.String: _string,
    nodes.Bool: _bool,
    nodes.NoneLit: _none,
    nodes.ListLit: _list,
    nodes.ObjectLit: _object,
    nodes.Comprehension: _comprehension,
    nodes.Attr: _attr,
    nodes.Index: _index,
    nodes.Call: lambda env, expr, expected: calls.infer_call(env, expr),
    nodes.Unary: _unary,
    nodes.Binary: _binary,
    nodes.IfExpr: _if,
    nodes.Match: _match,
    nodes.Selector: _selector,
    nodes.Tune: _tune,
    nodes.Loop: _loop,
}
