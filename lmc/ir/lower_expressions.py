"""Lowers expressions to nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from lmc.check.program import (
    Builtin,
    MetricDef,
    ModuleDef,
    Param,
    PipelineDef,
    ToolDef,
    Variant,
)
from lmc.check.subtyping import forget, join
from lmc.ir.body import Body, Lowering
from lmc.ir.graph import Port
from lmc.ir.lower_branches import Arm, Case, choose, match
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import BOOL, ERROR, DictType, ListType, OptionalType, RecordType, Type

OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "==": "eq", "!=": "ne", "<": "lt",
    "<=": "le", ">": "gt", ">=": "ge", "in": "in",
}  # fmt: skip


def expression(body: Body, expr: nodes.Expr) -> str:
    """Lower an expression and return its node."""
    type, span = body.type_of(expr), expr.span
    match expr:
        case nodes.Number() | nodes.String() | nodes.Bool():
            return body.constant(expr.value, type, span)
        case nodes.NoneLit():
            return body.constant(None, type, span)
        case nodes.Var():
            value = body.name(expr.name)
            return value if isinstance(type, OptionalType) else body.present(value, span)
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
            return body.operation("index", type, ids, span)
        case nodes.Unary():
            fn = "neg" if expr.op == "-" else "not"
            return body.operation(fn, type, (expression(body, expr.operand),), span)
        case nodes.Binary():
            return _chain(body, expr.chain())
        case nodes.IfExpr():
            links = expr.chain()
            last = links[-1].otherwise
            return choose(body, type, list(map(_case, links)), lambda b: expression(b, last))
        case nodes.Match():
            return match(body, type, expression(body, expr.subject), list(_arms(expr)))
        case nodes.Tune():
            return body.add(
                "choice", type, attrs={"choice": body.program.choices[id(expr)]}, span=span
            )
        case nodes.Comprehension():
            return _map(body, expr, type)
        case nodes.Call():
            return _call(body, expr, type)
    raise AssertionError(f"no lowering for {expr}")


def _attribute(body: Body, expr: nodes.Attr, type: Type) -> str:
    referent = body.program.referents.get(id(expr))
    if isinstance(referent, Variant):
        return body.constant(referent.name, type, expr.span)
    value = expression(body, expr.value)
    if not expr.optional:
        return body.operation("attr", type, (value,), expr.span, name=expr.name.name)
    return body.unless_none(
        value,
        type,
        expr.span,
        lambda body, item: body.operation("attr", type, (item,), expr.span, name=expr.name.name),
        lambda body: body.constant(None, type, expr.span),
    )


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
    return body.operation(OPERATORS[expr.op], type, ids, expr.span)


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
        if isinstance(target, Builtin) and target.name == "zip":
            iterables = [arg.value for arg in expr.iterable.args]
    ids = [expression(body, iterable) for iterable in iterables]
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
        case Builtin():
            return _builtin(body, target.name, bound, expr, type)
        case RecordType():
            return _record(body, target, bound, expr)
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
        else body.fit(expression(body, value), field.type)
        for field, value in zip(record.fields, bound)
    ]
    names = tuple(field.name for field in record.fields)
    return body.operation("record", record, ids, expr.span, names=names)


def _builtin(
    body: Body, name: str, bound: Sequence[nodes.Expr | None], expr: nodes.Call, type: Type
) -> str:
    if id(expr) in body.program.media:
        return body.constant(body.program.media[id(expr)], type, expr.span)
    given = [e for e in bound if e is not None]
    by = next((e.name.name for e in given if isinstance(e, nodes.Selector)), None)
    ids = [expression(body, e) for e in given if not isinstance(e, nodes.Selector)]
    if name == "count" and len(ids) > 1:
        ids = [*_operands(body, "in", ids[1], ids[0], type)][::-1]
    attrs = {} if by is None else {"by": by}
    return body.operation(name, type, ids, expr.span, **attrs)


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
