"""Builds a graph: its nodes, names, and the bodies of regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc.check.program import CheckedProgram
from lmc.check.subtyping import forget, is_subtype, narrows, required
from lmc.check.width import narrowed
from lmc.ir.graph import Graph, Node, Op, Port
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import (
    BOOL,
    ERROR,
    NONE,
    NeverType,
    NoneType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
)
from lmc.unions import apart

Lowering = Callable[["Body"], str]


class Body:
    """A graph under construction: its nodes, its names, and the values from outside.

    If a body of a region does not know a name, it asks the body around it. The name then becomes an
    input of the body and is listed in `free`. `result` is the type that its statements return. With
    `eager`, all ports become inputs, even unused ones.
    """

    def __init__(
        self,
        program: CheckedProgram,
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
        """Append a node and return its id."""
        id = f"%{len(self.nodes)}"
        self.nodes.append(Node(id, op, type, tuple(inputs), attrs or {}, bodies or {}, span))
        self.types[id] = type
        return id

    def graph(self, name: str, result: Type, value: str | None, kind: str = "body") -> Graph:
        """The finished graph. It returns `value`, or none if there is no value."""
        last = self.fit(value, result) if value is not None else self.constant(None, NONE, None)
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

    def fit(self, value: str, wanted: Type) -> str:
        """The value where a type is asked for: records lose the fields that it does not have."""
        actual = self.types[value]
        if not narrows(actual, wanted):
            return value
        node = self.nodes[int(value.removeprefix("%"))]
        if isinstance(wanted, RecordType) and node.op == "op" and node.attrs["fn"] == "record":
            given = dict(zip(node.attrs["names"], node.inputs))
            names = tuple(field.name for field in wanted.fields)
            ids = [self.fit(given[field.name], field.type) for field in wanted.fields]
            return self.add("op", wanted, ids, {"fn": "record", "names": names}, span=node.span)
        left = narrowed(actual, wanted)
        return self.add("op", left, (value,), {"fn": "project"}, span=node.span)

    def meet(self, value: str, wanted: Type, name: str, span: Span) -> str:
        """A value for a field: what its type does not tell of the refinements, the run checks."""
        fitted = self.fit(value, forget(wanted))
        if is_subtype(self.types[fitted], wanted):
            return fitted
        return self.operation("within", wanted, (fitted,), span, name=name)

    def name(self, name: str) -> str:
        """The node of a name. If it is not bound here, it is taken from outside."""
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
        """A node with bodies. Each body has bindings, a result type and a lowering function."""
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
        """A condition. Only the taken branch runs."""
        bodies = {"then": ((), type, then), "otherwise": ((), type, otherwise)}
        return self.region("cond", type, (condition,), bodies, span)

    def hide(self, value: str) -> str:
        """A name for a value that no name of the language hides, so that regions can take it."""
        name = f"%{value}"
        self.bound[name] = value
        return name

    def type_of(self, expr: nodes.Expr) -> Type:
        """The type that the checker found."""
        return self.program.types.get(id(expr), ERROR)

    def unless_none(
        self,
        value: str,
        type: Type,
        span: Span,
        present: Callable[[Body, str], str],
        absent: Lowering,
    ) -> str:
        """A condition on a `T?`, with a branch for a value and a branch for none."""
        hidden = self.hide(value)
        none = self.constant(None, NONE, span)
        there = self.operation("ne", BOOL, (value, none), span)
        return self.either(
            type, there, lambda b: present(b, b.present(b.name(hidden), span)), absent, span
        )

    def present(self, value: str, span: Span) -> str:
        """A value that cannot be none here, with its narrower type; of `none`, there is none."""
        type = self.types[value]
        if isinstance(type, NoneType):
            return self.operation("present", NeverType(), (value,), span)
        if not isinstance(type, OptionalType):
            return value
        return self.operation("present", type.item, (value,), span)

    def known(self, value: str, type: Type, span: Span) -> str:
        """A value with the type that it is known to have here: `T` of `T?`, a member of a union."""
        actual = self.types[value]
        if actual is type or isinstance(type, NoneType):
            return value if actual is type else self.constant(None, NONE, span)
        own, wanted = required(actual), required(type)
        member = isinstance(own, UnionType) and not is_subtype(own, wanted)
        if member or (own != wanted and apart(own, wanted)):
            value = self.operation("narrow", OptionalType(wanted), (value,), span)
        return value if isinstance(type, OptionalType) else self.present(value, span)

    def is_of(self, value: str, type: Type, span: Span) -> str:
        """Whether a value is of a member of its union, or of one of several, or none."""
        none = self.constant(None, NONE, span)
        if isinstance(type, NoneType):
            return self.operation("eq", BOOL, (value, none), span)
        narrowed = self.operation("narrow", OptionalType(required(type)), (value,), span)
        found = self.operation("ne", BOOL, (narrowed, none), span)
        if not isinstance(type, OptionalType):
            return found
        absent, name = self.operation("eq", BOOL, (value, none), span), self.hide(found)
        return self.either(
            BOOL, absent, lambda b: b.constant(True, BOOL, span), lambda b: b.name(name), span
        )
