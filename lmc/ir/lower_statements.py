"""Lowers statements to nodes. The code after an early return is lowered only once."""

from __future__ import annotations

from collections.abc import Sequence

from lmc.ir.body import Body, Lowering
from lmc.ir.graph import Port
from lmc.ir.lower_branches import Case, choose
from lmc.ir.lower_expressions import expression
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import BOOL, INT, NONE, ListType, Type


def statements(body: Body, stmts: Sequence[nodes.Stmt]) -> str | None:
    """Lower a body's statements. Returns the node of its result, if it has one."""
    for i, stmt in enumerate(stmts):
        match stmt:
            case nodes.Let():
                value = _right_hand_side(body, stmt.value)
                type = body.program.types.get(id(stmt), body.types[value])
                body.bound[stmt.name.name] = body.fit(value, type)
            case nodes.Return() | nodes.Yield():
                return body.fit(_right_hand_side(body, stmt.value), body.result)
            case nodes.Assert():
                condition = expression(body, stmt.condition)
                body.add("assert", NONE, (condition,), {"message": stmt.message}, span=stmt.span)
            case nodes.If() if leaves(stmt):
                return _branches(body, stmt, stmts[i + 1 :])
            case nodes.If():
                _effects(body, stmt)
    return None


def _right_hand_side(body: Body, expr: nodes.Expr) -> str:
    return _loop(body, expr) if isinstance(expr, nodes.Loop) else expression(body, expr)


def _branches(body: Body, stmt: nodes.If, rest: Sequence[nodes.Stmt]) -> str:
    """Lower an `if` that may return. The code after it is lowered once for all branches."""
    links, behind = _early_ends(stmt, rest)
    if links:
        cases = list(map(_case, links))
        return choose(body, body.result, cases, lambda body: _value(body, behind))
    then, other = stmt.then.stmts, _otherwise(stmt)
    if always_leaves(other):
        return _branch(body, stmt, (*then, *rest), other)
    early = _early(body, stmt)
    item = body.types[early]
    assert isinstance(item, ListType)

    def take(body: Body) -> str:
        return body.operation("first", item.item, (body.name(f"%{early}"),), stmt.span)

    returned = _has_returned(body, early, stmt.span)
    return body.either(item.item, returned, take, lambda body: _value(body, rest), stmt.span)


def _early_ends(
    stmt: nodes.If, rest: Sequence[nodes.Stmt]
) -> tuple[list[nodes.If], Sequence[nodes.Stmt]]:
    """The conditions from here on that end the body where they hold, and what is left after them.

    They may follow one another by `else if` or as statements.
    """
    links: list[nodes.If] = []
    link: nodes.If | None = stmt
    at = 0  # in `rest`
    while link is not None and (always_leaves(link.then.stmts) or at == len(rest)):
        links.append(link)
        match link.otherwise:
            case nodes.If():
                link = link.otherwise
                continue
            case nodes.Block(stmts=stmts):
                return links, (*stmts, *rest[at:])
        following = rest[at] if at < len(rest) else None
        link = following if isinstance(following, nodes.If) and leaves(following) else None
        at += link is not None
    return links, (*([link] if link else []), *rest[at:])


def _case(link: nodes.If) -> Case:
    return Case(
        lambda body: expression(body, link.condition),
        lambda body: _value(body, link.then.stmts),
        link.span,
    )


def _branch(
    body: Body, stmt: nodes.If, then: Sequence[nodes.Stmt], other: Sequence[nodes.Stmt]
) -> str:
    condition = expression(body, stmt.condition)
    return body.either(
        body.result, condition, lambda b: _value(b, then), lambda b: _value(b, other), stmt.span
    )


def _early(body: Body, stmt: nodes.If) -> str:
    """A list with the value that an `if` returns, or an empty list if it falls through."""
    condition = expression(body, stmt.condition)
    type = ListType(body.result)

    def branch(stmts: Sequence[nodes.Stmt]) -> Lowering:
        return lambda body: _early_of(body, stmts, type)

    then, other = branch(stmt.then.stmts), branch(_otherwise(stmt))
    return body.either(type, condition, then, other, stmt.span)


def _early_of(body: Body, stmts: Sequence[nodes.Stmt], type: ListType) -> str:
    for i, stmt in enumerate(stmts):
        if isinstance(stmt, nodes.If) and leaves(stmt) and not always_leaves((stmt,)):
            rest = stmts[i + 1 :]
            value = _early(body, stmt)
            return _or_later(body, value, rest, type, stmt.span) if rest else value
        if isinstance(stmt, nodes.Return | nodes.Yield) or always_leaves((stmt,)):
            value = _value(body, stmts[i : i + 1])
            return body.operation("list", type, (value,), stmt.span)
        statements(body, (stmt,))
    return body.constant([], type, None)


def _or_later(
    body: Body, early: str, rest: Sequence[nodes.Stmt], type: ListType, span: Span
) -> str:
    returned = _has_returned(body, early, span)
    return body.either(
        type, returned, lambda b: b.name(f"%{early}"), lambda b: _early_of(b, rest, type), span
    )


def _has_returned(body: Body, early: str, span: Span) -> str:
    """Whether the list of an early return has a value. Branches know the list as `%id`."""
    body.hide(early)
    count = body.operation("len", INT, (early,), span)
    return body.operation("gt", BOOL, (count, body.constant(0, INT, span)), span)


def _effects(body: Body, stmt: nodes.If) -> None:
    """Lower an `if` that never returns. Only its asserts matter."""
    condition = expression(body, stmt.condition)

    def branch(stmts: Sequence[nodes.Stmt]) -> Lowering:
        def lowering(body: Body) -> str:
            statements(body, stmts)
            return body.constant(None, NONE, stmt.span)

        return lowering

    body.either(NONE, condition, branch(stmt.then.stmts), branch(_otherwise(stmt)), stmt.span)


def _loop(body: Body, expr: nodes.Loop) -> str:
    type = body.type_of(expr)
    state = (Port(expr.name.name, type),)
    bodies: dict[str, tuple[Sequence[Port], Type, Lowering]] = {
        "body": (state, type, lambda body: _state(body, expr.body.stmts, type))
    }
    if (until := expr.until) is not None:
        bodies["until"] = (state, BOOL, lambda body: expression(body, until))
    start = body.fit(expression(body, expr.start), type)
    bound = body.program.choices.get(id(expr.bound)) or _constant_of(expr.bound)
    return body.region("loop", type, (start,), bodies, expr.span, name=expr.name.name, bound=bound)


def _state(body: Body, stmts: Sequence[nodes.Stmt], type: Type) -> str:
    body.result = type
    return _value(body, stmts)


def leaves(stmt: nodes.Stmt) -> bool:
    """Whether a statement may return or yield."""
    match stmt:
        case nodes.Return() | nodes.Yield():
            return True
        case nodes.If():
            blocks = [link.then for link in stmt.chain()] + ([stmt.last] if stmt.last else [])
            return any(leaves(inner) for block in blocks for inner in block.stmts)
    return False


def always_leaves(stmts: Sequence[nodes.Stmt]) -> bool:
    """Whether statements return or yield on every path."""
    for stmt in stmts:
        if isinstance(stmt, nodes.Return | nodes.Yield):
            return True
        if isinstance(stmt, nodes.If) and stmt.last is not None:
            blocks = [*(link.then for link in stmt.chain()), stmt.last]
            if all(always_leaves(block.stmts) for block in blocks):
                return True
    return False


def _otherwise(stmt: nodes.If) -> tuple[nodes.Stmt, ...]:
    match stmt.otherwise:
        case nodes.Block(stmts=stmts):
            return stmts
        case nodes.If() as nested:
            return (nested,)
    return ()


def _value(body: Body, stmts: Sequence[nodes.Stmt]) -> str:
    value = statements(body, stmts)
    return body.constant(None, NONE, None) if value is None else value


def _constant_of(expr: nodes.Expr) -> int:
    assert isinstance(expr, nodes.Number)
    return int(expr.value)
