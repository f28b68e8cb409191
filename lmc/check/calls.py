"""Calls: the argument of each parameter, and the type of the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lmc import types
from lmc.check import access, builtins, inference, moments
from lmc.check.constants import NotConstant, evaluate
from lmc.check.media import infer_media, is_media_name
from lmc.check.program import MISSING, Builtin, MetricDef, ModuleDef, PipelineDef, ToolDef
from lmc.check.samples import infer_certainty
from lmc.check.scope import Declared, Env
from lmc.check.subtyping import forget, is_subtype, join, show, widen
from lmc.diagnostics import Label, suggestion
from lmc.frozen import frozen
from lmc.patterns import whole_pattern
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import Type


@frozen
class Slot:
    """A parameter or field as a call sees it."""

    name: str
    type: Type
    needed: bool
    place: Span | None = None


def infer_call(env: Env, call: nodes.Call, expected: Type | None = None) -> Type:
    """The type of a call. Notes its target and its bindings."""
    if not isinstance(call.target, nodes.Var):
        return _not_callable(env, call, _why_not_a_name(call.target))
    found = inference.lookup(env, call.target)
    if found is None:
        return _infer_args(env, call)
    meaning = found.meaning if isinstance(found, Declared) else found
    place = found.ident.span if isinstance(found, Declared) else None
    match meaning:
        case str(name):
            env.ctx.refer(call.target, Builtin(name))
            return _builtin_call(env, call, name)
        case types.RecordType():
            env.ctx.refer(call.target, meaning)
            return _construct(env, call, meaning, place)
        case ModuleDef() | PipelineDef() | ToolDef() | MetricDef():
            return _module_call(env, call, meaning, place)
        case types.ErrorType():
            return _infer_args(env, call)
    if isinstance(found, Declared) and meaning is None and env.kind == "constant":
        env.ctx.report("not-constant", "a constant can call only records", call.span)
        return _infer_args(env, call)
    if isinstance(found, Declared):
        return _not_callable(env, call, f"it is {inference.describe(found)}", place)
    return _not_callable(env, call, f"it is a {found.kind}", found.span)


_METHODS = {  # of other languages, and how they are written here
    **dict.fromkeys(("append", "push", "add"), "items + [item]"),
    **dict.fromkeys(("extend", "concat"), "items + others"),
    **dict.fromkeys(("length", "size", "count"), "len(…)"),
    **dict.fromkeys(("trim", "strip"), "strip(…)"),
    **dict.fromkeys(("toLowerCase", "casefold"), "lower(…)"),
    **dict.fromkeys(("includes", "has", "__contains__"), "item in items"),
    **dict.fromkeys(("toString",), "str(…)"),
    **dict.fromkeys(("map",), "[f(item) for item in items]"),
    "get": 'value["key"]',
}


def _why_not_a_name(target: nodes.Expr) -> str:
    if not isinstance(target, nodes.Attr):
        return "it is not a name"
    method = target.name.name
    if method in builtins.FUNCTIONS:
        return f"values have no methods; a function is given the value, as in `{method}(…)`"
    if method in _METHODS:
        return f"values have no methods; write `{_METHODS[method]}`"
    return f"values have no methods; a `tool` can give it to a Python function, as in `{method}(…)`"


def _not_callable(env: Env, call: nodes.Call, why: str, place: Span | None = None) -> Type:
    name = f"`{call.target.span.text}`" if len(call.target.span.text) < 40 else "this"
    env.ctx.report(
        "not-callable",
        f"{name} cannot be called: {why}",
        call.target.span,
        place and Label(place, "declared here"),
    )
    return _infer_args(env, call)


def _infer_args(env: Env, call: nodes.Call) -> Type:
    for arg in call.args:
        inference.infer(env, arg.value)
    return types.ERROR


# --- arguments ---


def bind(
    env: Env,
    args: Sequence[nodes.Arg],
    slots: Sequence[Slot],
    name: str,
    where: Span,
    place: Span | None,
) -> list[nodes.Expr | None]:
    """The argument of each slot, by position and then by name; None if the default applies."""
    bound: list[nodes.Expr | None] = [None] * len(slots)
    index = {slot.name: i for i, slot in enumerate(slots)}
    wrong = False
    for i, arg in enumerate(args):
        at = i if arg.name is None else index.get(arg.name.name)
        if arg.name is None and _after_named(args, i):
            env.ctx.report(
                "argument-order", "a positional argument follows a named one", arg.value.span
            )
        elif at is None or at >= len(slots):
            _report_surplus(env, arg, slots, name, place)
        elif bound[at] is not None:
            env.ctx.report(
                "duplicate-argument",
                f"the argument `{slots[at].name}` of `{name}` is given twice",
                arg.span,
            )
        else:
            bound[at] = arg.value
            if arg.name is not None:
                env.ctx.use(arg.name.span, slots[at].place)
            continue
        wrong = True
        inference.infer(env, arg.value)
    missing = [s for s, e in zip(slots, bound) if e is None and s.needed]
    if missing and not wrong:
        _report_missing(env, missing, name, where, place)
    return bound


def _after_named(args: Sequence[nodes.Arg], i: int) -> bool:
    return any(arg.name is not None for arg in args[:i])


def _report_surplus(
    env: Env, arg: nodes.Arg, slots: Sequence[Slot], name: str, place: Span | None
) -> None:
    declared = place and Label(place, "declared here")
    if arg.name is None:
        count = f"{len(slots)} argument{'s' * (len(slots) != 1)}"
        env.ctx.report("too-many-arguments", f"`{name}` takes {count}", arg.value.span, declared)
        return
    what = (
        "field"
        if isinstance(env.ctx.program.named_types.get(name), types.RecordType)
        else "parameter"
    )
    env.ctx.report(
        "unknown-argument",
        f"`{name}` has no {what} `{arg.name.name}`",
        arg.name.span,
        declared,
        help=suggestion(arg.name.name, [s.name for s in slots]),
    )


def _report_missing(
    env: Env, missing: Sequence[Slot], name: str, where: Span, place: Span | None
) -> None:
    names = ", ".join(f"`{slot.name}`" for slot in missing)
    only = next((s for s in missing if isinstance(s.type, types.LiteralType)), None)
    help = None
    if only is not None and len(only.type.values) == 1:  # type: ignore[attr-defined]
        default = f"`{only.name}: {only.type} = {only.type}`"
        help = f"give it a default, so that it may be left out here: {default}"
    env.ctx.report(
        "missing-argument",
        f"`{name}` needs a value for {names}",
        where,
        place and Label(place, "declared here"),
        help=help,
    )


# --- modules, pipelines, tools, metrics ---


def signature_slots(target: ModuleDef | PipelineDef | ToolDef | MetricDef) -> list[Slot]:
    """The parameters of a definition as slots."""
    return [Slot(p.name, p.type, p.default is MISSING, p.span) for p in target.signature.params]


def _module_call(
    env: Env,
    call: nodes.Call,
    target: ModuleDef | PipelineDef | ToolDef | MetricDef,
    place: Span | None,
) -> Type:
    env.ctx.refer(call.target, target)
    if env.pure is not None or env.kind == "constant":
        _report_impure(env, call, target)
    env.ctx.calls.setdefault(env.owner, []).append((target, call.target.span))
    slots = signature_slots(target)
    name = call.target.span.text
    bound = bind(env, call.args, slots, name, call.target.span, place)
    for slot, expr in zip(slots, bound):
        if expr is not None:
            why = f"`{slot.name}` of `{name}`"
            inference.check(env.hinted(slot.name), expr, slot.type, why, slot.place)
    env.ctx.program.bindings[id(call)] = tuple(bound)
    return result_type(target)


def result_type(target: ModuleDef | PipelineDef | ToolDef | MetricDef) -> Type:
    """The type of a call: the declared result, or `R?` for a vote that may not agree."""
    result = target.signature.result
    optional = isinstance(target, ModuleDef) and "min_agree" in target.settings
    return (
        types.OptionalType(result)
        if optional and not isinstance(result, types.OptionalType)
        else result
    )


def _report_impure(env: Env, call: nodes.Call, target: Any) -> None:
    if env.pure is None:
        env.ctx.report("not-constant", "a constant can call only records", call.span)
        return
    env.ctx.report(
        "impure-expression",
        f"`{env.pure}` can call only built-in functions, but this calls `{call.target.span.text}`",
        call.span,
        help="make this call in a pipeline instead",
    )


# --- records ---


def _construct(env: Env, call: nodes.Call, record: types.RecordType, place: Span | None) -> Type:
    slots = [Slot(f.name, f.type, not f.has_default) for f in record.fields]
    bound = bind(env, call.args, slots, record.name, call.target.span, place)
    for arg in call.args:
        if arg.name is not None:
            access.use_member(env, record, arg.name)
    for slot, expr in zip(slots, bound):
        if expr is not None:
            why = f"`{slot.name}` of `{record.name}`"
            access.check_field(env.hinted(slot.name), expr, slot.type, why, place)
    env.ctx.program.bindings[id(call)] = tuple(bound)
    return _level(env, record, bound)


def _level(
    env: Env, record: types.RecordType, bound: Sequence[nodes.Expr | None]
) -> types.RecordType:
    """The lowest level of a recursive record that holds what it is built of."""
    if not record.family:
        return record
    levels = [
        part
        for part in types.parts(record)
        if isinstance(part, types.RecordType) and part.family == record.family
    ]
    for level in sorted(levels, key=lambda part: part.height):
        pairs = zip(level.fields, bound)
        given = [(f.type, env.ctx.program.types.get(id(e))) for f, e in pairs if e is not None]
        if all(actual and is_subtype(actual, forget(type)) for type, actual in given):
            return level
    return record


# --- built-in functions ---


def is_walk(env: Env, expr: nodes.Expr) -> bool:
    """Whether an expression is a call of the built-in `zip` or `enumerate`."""
    match expr:
        case nodes.Call(target=nodes.Var(name=name)) if name in builtins.WALKS:
            return env.find(name) is None and name not in env.file.names
    return False


def infer_walk(env: Env, expr: nodes.Expr) -> list[Type]:
    """The type of each variable that walks through a `zip` or `enumerate`."""
    assert isinstance(expr, nodes.Call)
    assert isinstance(expr.target, nodes.Var)
    name = expr.target.name
    env.ctx.refer(expr.target, Builtin(name))
    env.ctx.program.bindings[id(expr)] = tuple(arg.value for arg in expr.args)
    arg_types = [inference.infer(env, arg.value) for arg in expr.args]
    for arg, type in zip(expr.args, arg_types):
        if not isinstance(type, types.ListType | types.ErrorType):
            wanted = "lists" if name == "zip" else "a list"
            _report_builtin(env, arg.value, name, wanted, type)
    items = [type.item if isinstance(type, types.ListType) else types.ERROR for type in arg_types]
    if name == "zip":
        return items
    if len(items) != 1:
        message = "`enumerate` takes one list"
        help = "`for a, b in zip(xs, ys)` walks through two lists"
        env.ctx.report("too-many-arguments", message, expr.span, help=help)
        return [types.INT, types.ERROR]
    return [types.IntType(0, None), items[0]]


def _builtin_call(env: Env, call: nodes.Call, name: str) -> Type:
    if name in builtins.OF_ANSWERS:
        return infer_certainty(env, call, name)
    if name in builtins.WALKS:
        env.ctx.report(
            "misplaced-zip",
            f"`{name}` is allowed only after the `in` of a comprehension",
            call.target.span,
        )
        return _infer_args(env, call)
    if is_media_name(name):
        return infer_media(env, call, name)
    function = builtins.FUNCTIONS[name]
    params = _spread(function, len(call.args))
    slots = [Slot(p.name, types.ERROR, p.required) for p in params]
    bound = bind(env, call.args, slots, name, call.target.span, None)
    arg_types: list[Type | None] = []
    for param, expr in zip(params, bound):
        arg_types.append(None if expr is None else _builtin_arg(env, name, param, expr, arg_types))
    env.ctx.program.bindings[id(call)] = tuple(bound)
    if any(isinstance(t, types.ErrorType) for t in arg_types) or (bound and bound[0] is None):
        return types.ERROR
    return _builtin_result(env, call, function, arg_types)


def _spread(function: builtins.BuiltinFunction, count: int) -> list[builtins.BuiltinParam]:
    extra = max(0, count - len(function.params)) if function.variadic else 0
    repeated = [function.params[-1]] * extra
    return [*function.params, *repeated]


def _builtin_arg(
    env: Env,
    name: str,
    param: builtins.BuiltinParam,
    expr: nodes.Expr,
    before: Iterable[Type | None],
) -> Type:
    if param.selector:
        type = _selected(env, name, expr, next(iter(before), None))
    else:
        type = inference.infer(env.hinted(param.name), expr)
    if not param.accepts(type) and not isinstance(type, types.ErrorType):
        _report_builtin(env, expr, name, param.wants, type)
        return types.ERROR
    return type


def _selected(env: Env, name: str, expr: nodes.Expr, list_type: Type | None) -> Type:
    if not isinstance(expr, nodes.Selector):
        env.ctx.report(
            "selector-needed", f"`by` of `{name}` must be a field, written `.name`", expr.span
        )
        return types.ERROR
    item = list_type.item if isinstance(list_type, types.ListType) else types.ERROR
    if access.has_fields(item):
        return access.field_type(env, item, expr.name)
    if not isinstance(item, types.ErrorType):
        env.ctx.report(
            "no-fields",
            f"the items are of type `{show(widen(item))}`, which has no fields",
            expr.span,
        )
    return types.ERROR


def _join_arguments(
    env: Env, call: nodes.Call, name: str, arg_types: list[Type | None]
) -> Type | None:
    """Check that the arguments of `min` or `max` are of one ordered type."""
    result: Type = types.NEVER
    for arg, type in zip(call.args, arg_types):
        joined = join(result, type or types.NEVER)
        if joined is None or isinstance(joined, types.ListType):
            _report_builtin(
                env, arg.value, name, "only numbers or only strings", type or types.NEVER
            )
            return None
        result = joined
    return result


def _builtin_result(
    env: Env, call: nodes.Call, function: builtins.BuiltinFunction, arg_types: list[Type | None]
) -> Type:
    if function.variadic and len(arg_types) > 1:
        return forget(_join_arguments(env, call, function.name, arg_types) or types.ERROR)
    if function.name == "count":
        wanted = builtins.check_count(arg_types)
        if wanted:
            wrong = call.args[-1].value
            _report_builtin(
                env, wrong, "count", wanted, arg_types[1] or arg_types[0] or types.ERROR
            )
    if kind := moments.NAMES.get(function.name):
        given = arg_types[0] or types.ERROR
        if problem := moments.bad_constant(kind, given):
            place = call.args[0].value
            message = f"`{place.span.text}` is no {kind}: {problem}"
            env.ctx.report("bad-constant", message, place.span)
            return types.ERROR
    if function.name == "matches":
        _check_pattern(env, call)
    elif function.name == "range":
        _check_range(env, call, function.result(arg_types))
    return function.result(arg_types)


def _check_pattern(env: Env, call: nodes.Call) -> None:
    """Check that a pattern is a constant that the engine of patterns takes."""
    expr = env.ctx.program.bindings[id(call)][1]
    assert expr is not None
    try:
        whole_pattern(evaluate(env.ctx.program, expr))
    except NotConstant as stop:
        inference.report_not_constant(env, stop, "the pattern of `matches`")
    except ValueError as problem:
        env.ctx.report("bad-pattern", f"the pattern cannot be used: {problem}", expr.span)


def _check_range(env: Env, call: nodes.Call, type: Type) -> None:
    least = type.min_len if isinstance(type, types.ListType) else None
    if least is not None and least > builtins.MOST_RANGE:
        message = f"this range has {least:,} ints, but at most {builtins.MOST_RANGE:,} are allowed"
        env.ctx.report("range-too-large", message, call.span)


def _report_builtin(env: Env, expr: nodes.Expr, name: str, wanted: str, type: Type) -> None:
    env.ctx.report(
        "type-mismatch",
        f"`{name}` takes {wanted}, but this is `{show(type)}`",
        Label(expr.span, f"`{show(type)}`"),
        help=_builtin_help(name, wanted, type),
    )


def _builtin_help(name: str, wanted: str, type: Type) -> str | None:
    if isinstance(type, types.OptionalType):
        return "give a default with `??`, or test for `!= none` first"
    if wanted == "an int" and isinstance(type, types.FloatType):
        return "`int(…)` leaves out the fraction, `round(…)` rounds"
    if name == "join":
        return 'the list comes first: `join(xs, ", ")`'
    return None
