"""A graph under construction: nodes, names, and the bodies of regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc.check.program import CheckedProgram
from lmc.check.width import narrowed, narrows
from lmc.ir.graph import Graph, Node, Op, Port
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import BOOL, ERROR, NONE, OptionalType, RecordType, Type

Lowering = Callable[["Body"], str]


class Body:
    """A graph under construction: its nodes, what names are bound to, what it takes from outside.

    A body of a region asks the body around it for names it does not know; each becomes an input of
    the body and is listed in `free`. `result` is the type of what its statements return. With
    `eager`, all ports become inputs, used or not.
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
        """Append a node; its id."""
        id = f"%{len(self.nodes)}"
        self.nodes.append(Node(id, op, type, tuple(inputs), attrs or {}, bodies or {}, span))
        self.types[id] = type
        return id

    def graph(self, name: str, result: Type, value: str | None, kind: str = "body") -> Graph:
        """The finished graph, returning a value; without one it returns none."""
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

    def hide(self, value: str) -> str:
        """A name for a value that no name of the language hides, so that regions can take it."""
        name = f"%{value}"
        self.bound[name] = value
        return name

    def type_of(self, expr: nodes.Expr) -> Type:
        """The type the checker found."""
        return self.program.types.get(id(expr), ERROR)

    def unless_none(
        self,
        value: str,
        type: Type,
        span: Span,
        present: Callable[[Body, str], str],
        absent: Lowering,
    ) -> str:
        """A condition on a `T?`: what to do with the value, and what without one."""
        hidden = self.hide(value)
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
