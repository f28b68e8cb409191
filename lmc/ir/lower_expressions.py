"""Lowers expressions to nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from lmc.check.builtins import DEFAULT_FOUND, OF_ANSWERS, WALKS
from lmc.check.constants import evaluate
from lmc.check.matching import is_member_wise
from lmc.check.moments import is_decimal_and_int, kind_of
from lmc.check.program import (
    Builtin,
    ConstantDef,
    MetricDef,
    ModuleDef,
    Param,
    PipelineDef,
    StoreDef,
    ToolDef,
    Variant,
)
from lmc.check.subtyping import forget, is_text, join, required
from lmc.ir.body import Body, Lowering
from lmc.ir.graph import Port
from lmc.ir.lower_branches import Arm, Case, choose, match
from lmc.ir.weighed import ASIDE, weighed_type
from lmc.ir.written_functions import WRITTEN
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import (
    BOOL,
    ERROR,
    INT,
    NONE,
    STR,
    DictType,
    Field,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.written import Kind

OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "==": "eq", "!=": "ne", "<": "lt",
    "<=": "le", ">": "gt", ">=": "ge", "in": "in",
}  # fmt: skip


_OF_LISTS = ("sum", "min", "max")  # functions of the items of a list


def expression(body: Body, expr: nodes.Expr) -> str:
    """Lower an expression and return its node."""
    type, span = body.type_of(expr), expr.span
    match expr:
        case nodes.Number() | nodes.String() | nodes.Bool():
            return body.constant(expr.value, type, span)
        case nodes.NoneLit():
            return body.constant(None, type, span)
        case nodes.Var() if isinstance(store := _store_of(body, expr), StoreDef):
            return body.add("store", type, attrs={"store": store.name}, span=span)
        case nodes.Interpolated():
            return _interpolated(body, expr)
        case nodes.Var() if isinstance(named := body.program.referents.get(id(expr)), ConstantDef):
            return body.constant(named.value, named.type, span)
        case nodes.Var():
            return body.known(body.name(expr.name), type, span)
        case nodes.ListLit():
            ids = [body.fit(expression(body, i), _item(type)) for i in expr.items]
            return body.operation("list", type, ids, span)
        case nodes.ObjectLit():
            ids = [body.fit(expression(body, pair.value), _item(type)) for pair in expr.pairs]
            names = tuple(pair.key.name for pair in expr.pairs)
            return body.operation("object", type, ids, span, names=names)
        case nodes.Attr():
            return _attribute(body, expr, type)
        case nodes.Index():
            ids = [expression(body, expr.value), expression(body, expr.index)]
            if (store := _store_of(body, expr.value)) is not None:
                return body.operation("by_key", type, ids, span, name=store.key)
            return body.operation("index", type, ids, span)
        case nodes.Slice():
            ends = (_end(body, end, span) for end in (expr.start, expr.stop))
            return body.operation("slice", type, (expression(body, expr.value), *ends), span)
        case nodes.RecordUpdate():
            return _update(body, expr, type)
        case nodes.Unary():
            fn = "neg" if expr.op == "-" else "not"
            return _operation(body, fn, type, (expression(body, expr.operand),), span)
        case nodes.Binary():
            return _chain(body, expr.chain())
        case nodes.IfExpr():
            links = expr.chain()
            last = links[-1].otherwise
            return choose(body, type, list(map(_case, links)), lambda b: expression(b, last))
        case nodes.Match() if is_member_wise(body.type_of(expr.subject)):
            return _match_members(body, expr, type)
        case nodes.Match():
            return match(body, type, expression(body, expr.subject), list(_arms(expr)))
        case nodes.Tune():
            return body.add(
                "choice", type, attrs={"choice": body.program.choices[id(expr)]}, span=span
            )
        case nodes.Comprehension():
            return _map(body, expr, type)
        case nodes.Samples():
            return _samples(body, expr, type)
        case nodes.Call() if body.program.weighed.get(id(expr)) is expr:
            return _weigh(body, expr, type)
        case nodes.Call():
            return _call(body, expr, type)
    raise AssertionError(f"no lowering for {expr}")


def _store_of(body: Body, expr: nodes.Expr) -> StoreDef | None:
    """The store that an expression names, if it names one."""
    found = body.program.referents.get(id(expr))
    return found if isinstance(found, StoreDef) else None


def _interpolated(body: Body, expr: nodes.Interpolated) -> str:
    """Lower an f-string to a join of its texts, and of its values as `str(…)` writes them."""
    span, type = expr.span, body.type_of(expr)
    if isinstance(type, LiteralType):
        return body.constant(type.values[0], type, span)
    ids = []
    for i, text in enumerate(expr.texts):
        if i:
            value = expr.values[i - 1]
            id = expression(body, value)
            plain = is_text(body.types[id])
            ids.append(id if plain else body.operation("str", STR, (id,), value.span))
        if text:
            ids.append(body.constant(text, LiteralType((text,)), span))
    if len(ids) == 1 and isinstance(body.types[ids[0]], StrType):
        return ids[0]
    parts = body.operation("list", ListType(STR, len(ids), len(ids)), ids, span)
    return body.operation("join", STR, (parts,), span)


def _end(body: Body, expr: nodes.Expr | None, span: Span) -> str:
    return body.constant(None, NONE, span) if expr is None else expression(body, expr)


def _update(body: Body, expr: nodes.RecordUpdate, record: Type) -> str:
    """Lower `e with {f: new}` to a record of new values, and of those that stay."""
    assert isinstance(record, RecordType)
    whole = expression(body, expr.value)
    given = {pair.key.name: pair.value for pair in expr.pairs}
    made = {name: expression(body, value) for name, value in given.items()}
    ids = [
        _met(body, made[field.name], record, field, given[field.name].span)
        if field.name in made
        else body.operation("attr", field.type, (whole,), expr.span, name=field.name)
        for field in record.fields
    ]
    names = tuple(field.name for field in record.fields)
    return body.operation("record", record, ids, expr.span, names=names)


def _samples(body: Body, expr: nodes.Samples, type: Type) -> str:
    count = body.program.choices.get(id(expr.count)) or evaluate(body.program, expr.count)
    bodies: dict[str, tuple[Sequence[Port], Type, Lowering]] = {
        "sample": ((), _item(type), lambda body: expression(body, expr.item))
    }
    return body.region("samples", type, (), bodies, expr.span, n=count)


def weighed_name(call: nodes.Call) -> str:
    """The name of a call's answer with its certainty, which no name of the language hides."""
    return f"%weighed{call.span.start}"


def weighed(body: Body, call: nodes.Call) -> Type:
    """The type of a call's answer with what is asked about it."""
    return weighed_type(body.type_of(call), body.program.asked[id(call)])


def _weigh(body: Body, call: nodes.Call, type: Type) -> str:
    """Lower a call whose certainty is asked for. The answer with it keeps a name."""
    target: Any = body.program.referents[id(call.target)]
    bound = body.program.bindings[id(call)]
    given = _arguments(body, target.signature.params, bound, call.span)
    names = [body.hide(value) for value in given]

    def ask(body: Body) -> str:
        ids = [body.name(name) for name in names]
        return body.add("call", type, ids, {"target": target.name}, span=call.span)

    bodies: dict[str, tuple[Sequence[Port], Type, Lowering]] = {"value": ((), type, ask)}
    answer = body.region("weigh", weighed(body, call), (), bodies, call.span)
    body.bound[weighed_name(call)] = answer
    return body.operation("attr", type, (answer,), call.span, name="value")


def _certainty(body: Body, name: str, expr: nodes.Call) -> str:
    call = body.program.weighed[id(expr)]
    if call is expr.args[0].value:
        expression(body, call)
    answer = body.name(weighed_name(call))
    return body.operation("attr", ASIDE[name], (answer,), expr.span, name=name)


def _attribute(body: Body, expr: nodes.Attr, type: Type) -> str:
    referent = body.program.referents.get(id(expr))
    if isinstance(referent, Variant):
        return body.constant(referent.name, type, expr.span)
    value = expression(body, expr.value)
    if not (expr.optional and isinstance(body.types[value], OptionalType | NoneType)):
        if isinstance(body.types[value], WrittenType):
            return _part(body, value, expr, type)
        declared = _declared(body.types[value], expr.name.name, type)
        field = body.operation("attr", declared, (value,), expr.span, name=expr.name.name)
        return body.known(field, type, expr.span)
    return body.unless_none(
        value,
        type,
        expr.span,
        lambda body, item: _part(body, item, expr, type),
        lambda body: body.constant(None, type, expr.span),
    )


def _declared(whole: Type, name: str, known: Type) -> Type:
    """The type of a field of unions, of which more may be known here; else what is known."""
    field = whole.get(name) if isinstance(whole, RecordType) else None
    if field is None or not isinstance(required(field.type), UnionType):
        return known
    return field.type


def _match_members(body: Body, expr: nodes.Match, type: Type) -> str:
    """A `match` of a union, or of a value that may be none."""
    name = body.hide(expression(body, expr.subject))
    cases = []
    for arm in expr.arms:
        wanted = body.program.types[id(arm)]
        test = partial(_is_of, name, wanted, arm.span)
        cases.append(Case(test, partial(_arm_value, arm), arm.span))
        if isinstance(arm.pattern, nodes.Wildcard):
            break
    return choose(body, type, cases[:-1], cases[-1].value)


def _is_of(name: str, type: Type, span: Span, body: Body) -> str:
    return body.is_of(body.name(name), type, span)


def _part(body: Body, value: str, expr: nodes.Attr, type: Type) -> str:
    """A field of a record, or of a date and the like."""
    fn = "part" if isinstance(body.types[value], WrittenType) else "attr"
    return _operation(body, fn, type, (value,), expr.span, name=expr.name.name)


def _operation(
    body: Body, fn: str, type: Type, ids: Sequence[str], span: Span, **attrs: Any
) -> str:
    """An operation, which is told if its operands are dates and the like."""
    operands = [body.types[id] for id in ids]
    if fn not in _OF_LISTS:
        operands = [type for type in operands if not isinstance(type, ListType)]
    kind = kind_of(*operands) if fn in WRITTEN else None
    told = attrs if kind is None else {**attrs, "of": kind}
    return body.operation(fn, type, ids, span, **told)


def _chain(body: Body, links: Sequence[nodes.Binary]) -> str:
    """Lower `a op b op c` in a loop, since a chain may be longer than Python's recursion limit."""
    value = expression(body, links[0].left)
    for link in links:
        value = _binary(body, value, link, body.type_of(link))
    return value


def _binary(body: Body, left: str, expr: nodes.Binary, type: Type) -> str:
    def right(body: Body) -> str:
        return expression(body, expr.right)

    match expr.op:
        case "and":
            return body.either(
                type, left, right, lambda b: b.constant(False, BOOL, expr.span), expr.span
            )
        case "or":
            return body.either(
                type, left, lambda b: b.constant(True, BOOL, expr.span), right, expr.span
            )
        case "??":
            return body.unless_none(left, type, expr.span, lambda body, item: item, right)
    ids = _operands(body, expr.op, left, expression(body, expr.right), type)
    one, other = (body.types[id] for id in ids)
    if expr.op in ("==", "!=") and not is_decimal_and_int(one, other):
        return body.operation(OPERATORS[expr.op], type, ids, expr.span)  # of equal texts
    return _operation(body, OPERATORS[expr.op], type, ids, expr.span)


def _operands(body: Body, op: str, left: str, right: str, type: Type) -> tuple[str, str]:
    """Both sides with the fields of the type that holds both; other operators take no records."""
    one, other = body.types[left], body.types[right]
    match op:
        case "+":
            return body.fit(left, type), body.fit(right, type)
        case "==" | "!=" if both := join(forget(one), forget(other)):
            return body.fit(left, both), body.fit(right, both)
        case "in" if both := join(forget(one), forget(_item(other))):
            return body.fit(left, both), body.fit(right, ListType(both))
    return left, right


def _case(link: nodes.IfExpr) -> Case:
    return Case(
        lambda body: expression(body, link.condition),
        lambda body: expression(body, link.then),
        link.span,
    )


def _arms(expr: nodes.Match) -> Iterator[Arm]:
    """The arms up to the one that takes all; the checker saw that every variant is covered."""
    for arm in expr.arms:
        yield _pattern_values(arm.pattern), partial(_arm_value, arm), arm.span
        if isinstance(arm.pattern, nodes.Wildcard):
            return


def _arm_value(arm: nodes.Arm, body: Body) -> str:
    return expression(body, arm.value)


def _map(body: Body, expr: nodes.Comprehension, type: Type) -> str:
    iterables: Sequence[nodes.Expr] = (expr.iterable,)
    if isinstance(expr.iterable, nodes.Call):
        target = body.program.referents.get(id(expr.iterable.target))
        if isinstance(target, Builtin) and target.name in WALKS:
            iterables = [arg.value for arg in expr.iterable.args]
    ids = [expression(body, iterable) for iterable in iterables]
    if len(expr.names) > len(ids):  # `enumerate`
        whole = body.types[ids[0]]
        low, high = (whole.min_len, whole.max_len) if isinstance(whole, ListType) else (None, None)
        numbers = ListType(IntType(0, None), low, high)
        ids = [body.operation("enumerate", numbers, ids, expr.iterable.span), *ids]
    variables = [Port(n.name, _item(body.types[i])) for n, i in zip(expr.names, ids)]
    bodies: dict[str, tuple[Sequence[Port], Type, Lowering]] = {
        "item": (variables, body.type_of(expr.item), lambda body: expression(body, expr.item))
    }
    if (condition := expr.condition) is not None:
        bodies["filter"] = (variables, BOOL, lambda body: expression(body, condition))
    return body.region("map", type, ids, bodies, expr.span, count=len(ids))


def _call(body: Body, expr: nodes.Call, type: Type) -> str:
    target = body.program.referents[id(expr.target)]
    bound = body.program.bindings.get(id(expr), ())
    match target:
        case Builtin(name=name) if name in OF_ANSWERS:
            return _certainty(body, name, expr)
        case Builtin():
            return _builtin(body, target.name, bound, expr, type)
        case RecordType():
            return _record(body, type if isinstance(type, RecordType) else target, bound, expr)
        case ToolDef() | MetricDef(target=str()):
            ids = _arguments(body, target.signature.params, bound, expr.span)
            return body.add("tool", type, ids, {"target": target.name}, span=expr.span)
        case ModuleDef() | PipelineDef() | MetricDef():
            ids = _arguments(body, target.signature.params, bound, expr.span)
            return body.add("call", type, ids, {"target": target.name}, span=expr.span)
    raise AssertionError(f"no lowering for a call of {target}")


def _arguments(
    body: Body, params: Sequence[Param], bound: Sequence[nodes.Expr | None], span: Span
) -> list[str]:
    return [
        body.constant(p.default, p.type, span)
        if expr is None
        else body.fit(expression(body, expr), p.type)
        for p, expr in zip(params, bound)
    ]


def _record(
    body: Body, record: RecordType, bound: Sequence[nodes.Expr | None], expr: nodes.Call
) -> str:
    ids = [
        body.constant(field.default, field.type, expr.span)
        if value is None
        else _met(body, expression(body, value), record, field, value.span)
        for field, value in zip(record.fields, bound)
    ]
    names = tuple(field.name for field in record.fields)
    return body.operation("record", record, ids, expr.span, names=names)


def _met(body: Body, value: str, record: RecordType, field: Field, span: Span) -> str:
    """A value for a field of a record, which it must be within."""
    return body.meet(value, field.type, f"{record.name}.{field.name}", span)


def _builtin(
    body: Body, name: str, bound: Sequence[nodes.Expr | None], expr: nodes.Call, type: Type
) -> str:
    if id(expr) in body.program.media:
        return body.constant(body.program.media[id(expr)], type, expr.span)
    given = [e for e in bound if e is not None]
    by = next((e.name.name for e in given if isinstance(e, nodes.Selector)), None)
    ids = [expression(body, e) for e in given if not isinstance(e, nodes.Selector)]
    store = _store_of(body, given[0]) if name == "find" else None
    if store is not None and store.embedder is not None:
        more = ids[1:] if len(ids) > 2 else [ids[1], body.constant(DEFAULT_FOUND, INT, expr.span)]
        return body.add("find", type, more, {"store": store.name}, span=expr.span)
    if (
        name == "range" and bound[1] is None and bound[2] is not None
    ):  # a step may stand without a start
        ids = [body.constant(0, INT, expr.span), *ids]
    if name == "count" and len(ids) > 1:
        ids = [*_operands(body, "in", ids[1], ids[0], type)][::-1]
    attrs = {} if by is None else {"by": by}
    if isinstance(type, WrittenType) and name == type.kind and type.low is not None:
        return body.constant(type.low, type, expr.span)
    if name == "sort_by" and (kind := _kind_of_key(body.types[ids[0]], by)):
        attrs["of"] = kind
        return body.operation(name, type, ids, expr.span, **attrs)
    return _operation(body, name, type, ids, expr.span, **attrs)


def _kind_of_key(items: Type, by: str | None) -> Kind | None:
    """What a list is sorted by, if that is a date and the like."""
    item = _item(items)
    if by is None:
        return kind_of(item)
    field = item.get(by) if isinstance(item, RecordType) else None
    return kind_of(field.type) if field else None


def _item(type: Type) -> Type:
    return type.item if isinstance(type, ListType | DictType) else ERROR


def _pattern_values(
    pattern: nodes.NamePattern | nodes.StringPattern | nodes.Wildcard,
) -> Sequence[str]:
    match pattern:
        case nodes.NamePattern():
            return [ident.name for ident in pattern.names]
        case nodes.StringPattern():
            return pattern.values
    return ()
