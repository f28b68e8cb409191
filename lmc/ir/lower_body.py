"""Expressions and statements -> nodes of one graph, and the bodies of its regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc.check.program import (
    Builtin,
    MetricDef,
    ModuleDef,
    Param,
    PipelineDef,
    Program,
    ToolDef,
    Variant,
)
from lmc.check.types import BOOL, ERROR, NONE, STR, ListType, OptionalType, RecordType, Type
from lmc.ir.graph import Graph, Node, Op, Port
from lmc.source import Span
from lmc.syntax import nodes

OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "==": "eq", "!=": "ne", "<": "lt",
    "<=": "le", ">": "gt", ">=": "ge", "in": "in",
}  # fmt: skip
Lowering = Callable[["Body"], str]


class Body:
    """A graph under construction: its nodes, what names are bound to, what it takes from outside.

    A body of a region asks the body around it for names it does not know; each becomes an input of
    the body and is listed in `free`. `result` is the type of what its statements return. With
    `eager`, all ports become inputs, used or not.
    """

    def __init__(
        self,
        program: Program,
        ports: Sequence[Port],
        outer: Body | None = None,
        *,
        result: Type = ERROR,
        eager: bool = False,
    ) -> None:
        self.program, self.outer = program, outer
        self.result: Type = outer.result if outer else result
        self.ports = {port.name: port for port in ports}
        self.nodes: list[Node] = []
        self.bound: dict[str, str] = {}
        self.free: list[Port] = []
        self.types: dict[str, Type] = {}
        if eager:
            for port in ports:
                self.name(port.name)

    # --- building ---

    def add(
        self,
        op: Op,
        type: Type,
        inputs: Sequence[str] = (),
        attrs: Mapping[str, Any] | None = None,
        bodies: Mapping[str, Graph] | None = None,
        span: Span | None = None,
    ) -> str:
        """Append a node; its id."""
        id = f"%{len(self.nodes)}"
        self.nodes.append(Node(id, op, type, tuple(inputs), attrs or {}, bodies or {}, span))
        self.types[id] = type
        return id

    def graph(self, name: str, result: Type, value: str | None, kind: str = "body") -> Graph:
        """The finished graph, returning a value; without one it returns none."""
        last = value if value is not None else self.constant(None, NONE, None)
        span = self.nodes[-1].span if self.nodes else None
        self.add("return", result, (last,), span=span)
        return Graph(name, (*self.ports.values(), *self.free), result, tuple(self.nodes), kind)

    def constant(self, value: Any, type: Type, span: Span | None) -> str:
        """A constant."""
        return self.add("const", type, attrs={"value": value}, span=span)

    def operation(
        self, fn: str, type: Type, inputs: Sequence[str], span: Span, **attrs: Any
    ) -> str:
        """A pure operation."""
        return self.add("op", type, inputs, {"fn": fn, **attrs}, span=span)

    def name(self, name: str) -> str:
        """The node a name stands for, taken from outside where it is not bound here."""
        if name not in self.bound:
            port = self.ports.get(name) or self._from_outside(name)
            self.bound[name] = self.add("input", port.type, attrs={"name": name})
        return self.bound[name]

    def _from_outside(self, name: str) -> Port:
        assert self.outer is not None, name
        port = Port(name, self.outer.types[self.outer.name(name)])
        self.free.append(port)
        return port

    def region(
        self,
        op: Op,
        type: Type,
        inputs: Sequence[str],
        bodies: Mapping[str, tuple[Sequence[Port], Type, Lowering]],
        span: Span | None,
        **attrs: Any,
    ) -> str:
        """A node with bodies; each is given by what it binds, its result, and how it is lowered."""
        graphs, free = {}, dict[str, None]()
        for name, (given, result, lowering) in bodies.items():
            body = Body(self.program, given, self)
            graphs[name] = body.graph(f"{op}.{name}", result, lowering(body))
            free |= dict.fromkeys(port.name for port in body.free)
        ids = (*inputs, *map(self.name, free))
        return self.add(op, type, ids, {**attrs, "free": tuple(free)}, graphs, span)

    def either(
        self, type: Type, condition: str, then: Lowering, otherwise: Lowering, span: Span
    ) -> str:
        """A condition: only the branch that is taken runs."""
        bodies = {"then": ((), type, then), "otherwise": ((), type, otherwise)}
        return self.region("cond", type, (condition,), bodies, span)

    # --- statements ---

    def statements(self, stmts: Sequence[nodes.Stmt]) -> str | None:
        """Lower a body's statements; the node of what it returns or yields, if it does."""
        for i, stmt in enumerate(stmts):
            match stmt:
                case nodes.Let():
                    self.bound[stmt.name.name] = self.expression(stmt.value)
                case nodes.Return() | nodes.Yield():
                    return self.expression(stmt.value)
                case nodes.Assert():
                    condition = self.expression(stmt.condition)
                    self.add(
                        "assert", NONE, (condition,), {"message": stmt.message}, span=stmt.span
                    )
                case nodes.If() if leaves(stmt):
                    return self._branches(stmt, stmts[i + 1 :])
                case nodes.If():
                    self._effects(stmt)
        return None

    def _branches(self, stmt: nodes.If, rest: Sequence[nodes.Stmt]) -> str:
        """An `if` that may return. What follows it is lowered once, whatever the branches do."""
        then, other = stmt.then.stmts, _otherwise(stmt)
        if always_leaves(then) or not rest:
            return self._branch(stmt, then, (*other, *rest))
        if always_leaves(other):
            return self._branch(stmt, (*then, *rest), other)
        early = self._early(stmt)
        item = self.types[early]
        assert isinstance(item, ListType)
        count = self.operation("len", BOOL, (early,), stmt.span)
        zero = self.constant(0, BOOL, stmt.span)
        returned = self.operation("gt", BOOL, (count, zero), stmt.span)
        self.bound[f"%{early}"] = early  # no name of the language, so none is hidden

        def take(body: Body) -> str:
            return body.operation("first", item.item, (body.name(f"%{early}"),), stmt.span)

        return self.either(item.item, returned, take, lambda body: _value(body, rest), stmt.span)

    def _branch(
        self, stmt: nodes.If, then: Sequence[nodes.Stmt], other: Sequence[nodes.Stmt]
    ) -> str:
        condition = self.expression(stmt.condition)
        return self.either(
            self.result, condition, lambda b: _value(b, then), lambda b: _value(b, other), stmt.span
        )

    def _early(self, stmt: nodes.If) -> str:
        """A list with the value that an `if` returns, or an empty one where it falls through."""
        condition = self.expression(stmt.condition)
        type = ListType(self.result)

        def branch(stmts: Sequence[nodes.Stmt]) -> Lowering:
            return lambda body: body._early_of(stmts, type)

        then, other = branch(stmt.then.stmts), branch(_otherwise(stmt))
        return self.either(type, condition, then, other, stmt.span)

    def _early_of(self, stmts: Sequence[nodes.Stmt], type: ListType) -> str:
        for i, stmt in enumerate(stmts):
            if isinstance(stmt, nodes.If) and leaves(stmt) and not always_leaves((stmt,)):
                rest = stmts[i + 1 :]
                value = self._early(stmt)
                return self._or_later(value, rest, type, stmt.span) if rest else value
            if isinstance(stmt, nodes.Return | nodes.Yield) or always_leaves((stmt,)):
                value = _value(self, stmts[i : i + 1])
                return self.operation("list", type, (value,), stmt.span)
            self.statements((stmt,))
        return self.constant([], type, None)

    def _or_later(self, early: str, rest: Sequence[nodes.Stmt], type: ListType, span: Span) -> str:
        self.bound[f"%{early}"] = early
        count = self.operation("len", BOOL, (early,), span)
        zero = self.constant(0, BOOL, span)
        returned = self.operation("gt", BOOL, (count, zero), span)
        return self.either(
            type, returned, lambda b: b.name(f"%{early}"), lambda b: b._early_of(rest, type), span
        )

    def _effects(self, stmt: nodes.If) -> None:
        """An `if` that returns nowhere matters for its asserts only."""
        condition = self.expression(stmt.condition)

        def branch(stmts: Sequence[nodes.Stmt]) -> Lowering:
            def lowering(body: Body) -> str:
                body.statements(stmts)
                return body.constant(None, NONE, stmt.span)

            return lowering

        self.either(NONE, condition, branch(stmt.then.stmts), branch(_otherwise(stmt)), stmt.span)

    # --- expressions ---

    def type_of(self, expr: nodes.Expr) -> Type:
        """The type the checker found."""
        return self.program.types.get(id(expr), ERROR)

    def expression(self, expr: nodes.Expr) -> str:
        """Lower an expression; its node."""
        type, span = self.type_of(expr), expr.span
        match expr:
            case nodes.Number() | nodes.String() | nodes.Bool():
                return self.constant(expr.value, type, span)
            case nodes.NoneLit():
                return self.constant(None, type, span)
            case nodes.Var():
                value = self.name(expr.name)
                return value if isinstance(type, OptionalType) else self.present(value, span)
            case nodes.ListLit():
                return self.operation("list", type, [self.expression(i) for i in expr.items], span)
            case nodes.ObjectLit():
                ids = [self.expression(pair.value) for pair in expr.pairs]
                names = tuple(pair.key.name for pair in expr.pairs)
                return self.operation("object", type, ids, span, names=names)
            case nodes.Attr():
                return self._attribute(expr, type)
            case nodes.Index():
                ids = [self.expression(expr.value), self.expression(expr.index)]
                return self.operation("index", type, ids, span)
            case nodes.Unary():
                fn = "neg" if expr.op == "-" else "not"
                return self.operation(fn, type, (self.expression(expr.operand),), span)
            case nodes.Binary():
                return self._binary(expr, type)
            case nodes.IfExpr():
                return self.either(
                    type,
                    self.expression(expr.condition),
                    lambda body: body.expression(expr.then),
                    lambda body: body.expression(expr.otherwise),
                    span,
                )
            case nodes.Match():
                return self._match(self.expression(expr.subject), expr, expr.arms, type)
            case nodes.Tune():
                return self.add(
                    "choice", type, attrs={"choice": self.program.choices[id(expr)]}, span=span
                )
            case nodes.Comprehension():
                return self._map(expr, type)
            case nodes.Loop():
                return self._loop(expr, type)
            case nodes.Call():
                return self._call(expr, type)
        raise AssertionError(f"no lowering for {expr}")

    def _attribute(self, expr: nodes.Attr, type: Type) -> str:
        referent = self.program.referents.get(id(expr))
        if isinstance(referent, Variant):
            return self.constant(referent.name, type, expr.span)
        value = self.expression(expr.value)
        if not expr.optional:
            return self.operation("attr", type, (value,), expr.span, name=expr.name.name)
        return self._unless_none(
            value,
            type,
            expr.span,
            lambda body, item: body.operation(
                "attr", type, (item,), expr.span, name=expr.name.name
            ),
            lambda body: body.constant(None, type, expr.span),
        )

    def _unless_none(
        self,
        value: str,
        type: Type,
        span: Span,
        present: Callable[[Body, str], str],
        absent: Lowering,
    ) -> str:
        hidden = f"%{value}"  # no name of the language, so none is hidden
        self.bound[hidden] = value
        none = self.constant(None, NONE, span)
        there = self.operation("ne", BOOL, (value, none), span)
        return self.either(
            type, there, lambda b: present(b, b.present(b.name(hidden), span)), absent, span
        )

    def present(self, value: str, span: Span) -> str:
        """A value that is known not to be none here, under its narrower type."""
        type = self.types[value]
        if not isinstance(type, OptionalType):
            return value
        return self.operation("present", type.item, (value,), span)

    def _binary(self, expr: nodes.Binary, type: Type) -> str:
        left = self.expression(expr.left)

        def right(body: Body) -> str:
            return body.expression(expr.right)

        match expr.op:
            case "and":
                return self.either(
                    type, left, right, lambda b: b.constant(False, BOOL, expr.span), expr.span
                )
            case "or":
                return self.either(
                    type, left, lambda b: b.constant(True, BOOL, expr.span), right, expr.span
                )
            case "??":
                return self._unless_none(left, type, expr.span, lambda body, item: item, right)
        ids = (left, self.expression(expr.right))
        return self.operation(OPERATORS[expr.op], type, ids, expr.span)

    def _match(self, subject: str, expr: nodes.Match, arms: Sequence[nodes.Arm], type: Type) -> str:
        arm, *rest = arms
        if not rest or isinstance(arm.pattern, nodes.Wildcard):
            return self.expression(arm.value)  # the checker saw that every variant is covered
        hidden = f"%{subject}"
        self.bound[hidden] = subject
        wanted = self.constant(list(_pattern_values(arm.pattern)), ListType(STR), arm.pattern.span)
        hit = self.operation("in", BOOL, (subject, wanted), arm.pattern.span)
        return self.either(
            type,
            hit,
            lambda body: body.expression(arm.value),
            lambda body: body._match(body.name(hidden), expr, rest, type),
            arm.span,
        )

    def _map(self, expr: nodes.Comprehension, type: Type) -> str:
        iterables: Sequence[nodes.Expr] = (expr.iterable,)
        if isinstance(expr.iterable, nodes.Call):
            target = self.program.referents.get(id(expr.iterable.target))
            if isinstance(target, Builtin) and target.name == "zip":
                iterables = [arg.value for arg in expr.iterable.args]
        ids = [self.expression(iterable) for iterable in iterables]
        variables = [Port(n.name, _item(self.types[i])) for n, i in zip(expr.names, ids)]
        bodies: dict[str, tuple[Sequence[Port], Type, Lowering]] = {
            "item": (variables, self.type_of(expr.item), lambda body: body.expression(expr.item))
        }
        if (condition := expr.condition) is not None:
            bodies["filter"] = (variables, BOOL, lambda body: body.expression(condition))
        return self.region("map", type, ids, bodies, expr.span, count=len(ids))

    def _loop(self, expr: nodes.Loop, type: Type) -> str:
        state = (Port(expr.name.name, type),)
        bodies: dict[str, tuple[Sequence[Port], Type, Lowering]] = {
            "body": (state, type, lambda body: body._state(expr.body.stmts, type))
        }
        if (until := expr.until) is not None:
            bodies["until"] = (state, BOOL, lambda body: body.expression(until))
        start = self.expression(expr.start)
        bound = self.program.choices.get(id(expr.bound)) or _constant_of(expr.bound)
        return self.region(
            "loop", type, (start,), bodies, expr.span, name=expr.name.name, bound=bound
        )

    def _state(self, stmts: Sequence[nodes.Stmt], type: Type) -> str:
        self.result = type
        return _value(self, stmts)

    def _call(self, expr: nodes.Call, type: Type) -> str:
        target = self.program.referents[id(expr.target)]
        bound = self.program.bindings[id(expr)]
        match target:
            case Builtin():
                return self._builtin(target.name, bound, expr, type)
            case RecordType():
                return self._record(target, bound, expr)
            case ToolDef() | MetricDef(target=str()):
                ids = self._arguments(target.signature.params, bound, expr.span)
                return self.add("tool", type, ids, {"target": target.name}, span=expr.span)
            case ModuleDef() | PipelineDef() | MetricDef():
                ids = self._arguments(target.signature.params, bound, expr.span)
                return self.add("call", type, ids, {"target": target.name}, span=expr.span)
        raise AssertionError(f"no lowering for a call of {target}")

    def _arguments(
        self, params: Sequence[Param], bound: Sequence[nodes.Expr | None], span: Span
    ) -> list[str]:
        return [
            self.constant(p.default, p.type, span) if expr is None else self.expression(expr)
            for p, expr in zip(params, bound)
        ]

    def _record(
        self, record: RecordType, bound: Sequence[nodes.Expr | None], expr: nodes.Call
    ) -> str:
        ids = [
            self.constant(field.default, field.type, expr.span)
            if value is None
            else self.expression(value)
            for field, value in zip(record.fields, bound)
        ]
        names = tuple(field.name for field in record.fields)
        return self.operation("record", record, ids, expr.span, names=names)

    def _builtin(
        self, name: str, bound: Sequence[nodes.Expr | None], expr: nodes.Call, type: Type
    ) -> str:
        given = [e for e in bound if e is not None]
        by = next((e.name.name for e in given if isinstance(e, nodes.Selector)), None)
        ids = [self.expression(e) for e in given if not isinstance(e, nodes.Selector)]
        attrs = {} if by is None else {"by": by}
        return self.operation(name, type, ids, expr.span, **attrs)


def leaves(stmt: nodes.Stmt) -> bool:
    """Whether a statement may return or yield."""
    match stmt:
        case nodes.Return() | nodes.Yield():
            return True
        case nodes.If():
            return any(map(leaves, (*stmt.then.stmts, *_otherwise(stmt))))
    return False


def always_leaves(stmts: Sequence[nodes.Stmt]) -> bool:
    """Whether statements return or yield on every path."""
    for stmt in stmts:
        if isinstance(stmt, nodes.Return | nodes.Yield):
            return True
        if isinstance(stmt, nodes.If) and all(
            map(always_leaves, (stmt.then.stmts, _otherwise(stmt)))
        ):
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
    value = body.statements(stmts)
    return body.constant(None, NONE, None) if value is None else value


def _item(type: Type) -> Type:
    return type.item if isinstance(type, ListType) else ERROR


def _pattern_values(
    pattern: nodes.NamePattern | nodes.StringPattern | nodes.Wildcard,
) -> Sequence[str]:
    match pattern:
        case nodes.NamePattern():
            return [ident.name for ident in pattern.names]
        case nodes.StringPattern():
            return pattern.values
    return ()


def _constant_of(expr: nodes.Expr) -> int:
    assert isinstance(expr, nodes.Number)
    return int(expr.value)
