"""Lowers statements to nodes. The code after an early return is lowered only once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lmc import types
from lmc.check.constants import evaluate
from lmc.check.program import StoreDef
from lmc.check.subtyping import optional
from lmc.ir.body import Body, Lowering
from lmc.ir.graph import Port
from lmc.ir.lower_branches import MOST_NESTED, Case, choose
from lmc.ir.lower_expressions import expression, weighed, weighed_name
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import BOOL, INT, NONE, ListType, Type

RETURNED = "%returned"  # no name of the language


def statements(body: Body, stmts: Sequence[nodes.Stmt]) -> str | None:
    """Lower a body's statements. Returns the node of its result, if it has one."""
    for i, stmt in enumerate(stmts):
        match stmt:
            case nodes.Return() | nodes.Yield():
                return body.fit(_right_hand_side(body, stmt.value), body.result)
            case nodes.If() if leaves(stmt):
                return _branches(body, stmt, stmts[i + 1 :])
            case _:
                _step(body, stmt)
    return None


def _step(body: Body, stmt: nodes.Stmt) -> None:
    """Lower a statement that never returns."""
    match stmt:
        case nodes.Let():
            value = _right_hand_side(body, stmt.value)
            type = body.program.types.get(id(stmt), body.types[value])
            body.bound[stmt.name.name] = body.fit(value, type)
        case nodes.Assert():
            condition = expression(body, stmt.condition)
            body.add("assert", NONE, (condition,), {"message": stmt.message}, span=stmt.span)
        case nodes.Keep():
            store = body.program.referents[id(stmt.store)]
            assert isinstance(store, StoreDef)
            value = body.fit(expression(body, stmt.value), store.record)
            body.add("keep", NONE, (value,), {"store": store.name}, span=stmt.span)
        case nodes.If():
            _effects(body, stmt)


def _right_hand_side(body: Body, expr: nodes.Expr) -> str:
    return _loop(body, expr) if isinstance(expr, nodes.Loop) else expression(body, expr)


def _branches(body: Body, stmt: nodes.If, rest: Sequence[nodes.Stmt]) -> str:
    """Lower an `if` that may return. The code after it is lowered once for all branches."""
    first, *later = _parts((stmt, *rest))
    if later:
        early = _early_of_parts(body, (first, *later[:-1]), stmt.span)
        return _unless_returned(body, early, stmt.span, lambda body: _value(body, later[-1]))
    links, behind = _early_ends(stmt, rest)
    if links:
        cases = list(map(_case, links))
        return choose(body, body.result, cases, lambda body: _value(body, behind))
    then, other = stmt.then.stmts, _otherwise(stmt)
    if always_leaves(other):
        return _branch(body, stmt, (*then, *rest), other)
    early = _early(body, stmt)
    return _unless_returned(body, early, stmt.span, lambda body: _value(body, rest))


def _unless_returned(body: Body, early: str, span: Span, rest: Lowering) -> str:
    """The value of an early return, else what follows it."""
    item = body.types[early]
    assert isinstance(item, ListType)

    def take(body: Body) -> str:
        return body.operation("first", item.item, (body.name(f"%{early}"),), span)

    return body.either(item.item, _has_returned(body, early, span), take, rest, span)


# --- long bodies ---
#
# Many early returns with other statements between them are lowered in parts, one after another, so
# that they do not nest. A part gives a record: a list with what it returned, and the values of its
# `let`s, which are none where it has returned.


def _parts(stmts: Sequence[nodes.Stmt]) -> Iterator[Sequence[nodes.Stmt]]:
    """Statements in parts with few early ends each. Conditions in a row are one end."""
    start, ends = 0, 0
    for i, stmt in enumerate(stmts):
        if i and _ends_early(stmt) and _ends_early(stmts[i - 1]):
            continue
        if isinstance(stmt, nodes.If) and leaves(stmt):
            if ends == MOST_NESTED:
                yield stmts[start:i]
                start, ends = i, 0
            ends += 1
    yield stmts[start:]


def _ends_early(stmt: nodes.Stmt) -> bool:
    """Whether a statement is an `if` without `else` that ends the body where it holds."""
    if not isinstance(stmt, nodes.If) or stmt.otherwise is not None:
        return False
    return always_leaves(stmt.then.stmts)


def _early_of_parts(body: Body, parts: Sequence[Sequence[nodes.Stmt]], span: Span) -> str:
    """A list with the value that the parts return, or an empty list. Binds their `let`s."""
    early = ""
    for part in parts:
        lets = [stmt for stmt in part if isinstance(stmt, nodes.Let)]
        fields = [types.Field(RETURNED, ListType(body.result))]
        fields += [types.Field(let.name.name, _later_type(body, let)) for let in lets]
        fields += [
            types.Field(weighed_name(call), optional(weighed(body, call)))
            for let in lets
            for call in _weighed(body, let)
        ]
        state = types.RecordType("Part", tuple(fields))
        value = _after(body, early, state, part, span) if early else _part(body, state, part, span)
        early = body.operation("attr", fields[0].type, (value,), span, name=RETURNED)
        for field in fields[1:]:
            body.bound[field.name] = body.operation(
                "attr", field.type, (value,), span, name=field.name
            )
    return early


def _weighed(body: Body, let: nodes.Let) -> Iterator[nodes.Call]:
    """The call of a `let` if its certainty is asked for."""
    if isinstance(let.value, nodes.Call) and id(let.value) in body.program.weighed:
        yield let.value


def _later_type(body: Body, let: nodes.Let) -> Type:
    return optional(body.program.types.get(id(let), body.type_of(let.value)))


def _after(
    body: Body, early: str, state: types.RecordType, part: Sequence[nodes.Stmt], span: Span
) -> str:
    """A part that runs unless one before it has returned."""
    returned = _has_returned(body, early, span)
    return body.either(
        state,
        returned,
        lambda b: _stopped(b, state, b.name(f"%{early}"), span),
        lambda b: _part(b, state, part, span),
        span,
    )


def _part(body: Body, state: types.RecordType, stmts: Sequence[nodes.Stmt], span: Span) -> str:
    type = state.fields[0].type
    assert isinstance(type, ListType)
    for i, stmt in enumerate(stmts):
        if isinstance(stmt, nodes.If) and leaves(stmt):
            count = next((n for n, s in enumerate(stmts[i:]) if not _ends_early(s)), len(stmts) - i)
            early = _first_end(body, stmts[i : i + count], type) if count else _early(body, stmt)
            return _after(body, early, state, stmts[i + max(count, 1) :], stmt.span)
        if isinstance(stmt, nodes.Return | nodes.Yield):
            value = body.operation("list", type, (_value(body, (stmt,)),), stmt.span)
            return _stopped(body, state, value, stmt.span)
        _step(body, stmt)
    lets = [body.fit(body.name(f.name), f.type) for f in state.fields[1:]]
    return _record(body, state, (body.constant([], type, None), *lets), span)


def _first_end(body: Body, stmts: Sequence[nodes.Stmt], type: ListType) -> str:
    """A list with what the first of these early ends returns that holds."""

    def case(link: nodes.If) -> Case:
        def value(body: Body) -> str:
            return body.operation("list", type, (_value(body, link.then.stmts),), link.span)

        return Case(lambda body: expression(body, link.condition), value, link.span)

    cases = [case(stmt) for stmt in stmts if isinstance(stmt, nodes.If)]
    return choose(body, type, cases, lambda body: body.constant([], type, None))


def _stopped(body: Body, state: types.RecordType, early: str, span: Span) -> str:
    none = [body.constant(None, NONE, None) for _ in state.fields[1:]]
    return _record(body, state, (early, *none), span)


def _record(body: Body, state: types.RecordType, ids: Sequence[str], span: Span) -> str:
    names = tuple(field.name for field in state.fields)
    return body.operation("record", state, ids, span, names=names)


# --- early ends ---


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
            parts = list(_parts(stmts[i:]))
            if len(parts) > 1:
                return _early_of_parts(body, parts, stmt.span)
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
    """Lower an `if` that never returns. Only its asserts, and what it keeps, matter."""
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
    bound = body.program.choices.get(id(expr.bound)) or evaluate(body.program, expr.bound)
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
