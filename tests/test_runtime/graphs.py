"""Graphs built by hand, for tests of the executor that do without parser and checker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.check.types import BOOL, JSON, STR, Type
from lmc.ir.graph import Graph, Node, Op, Port, ProgramGraph, Slots, Tool
from lmc.models.scripted import Scripted
from lmc.runtime.pool import ModelPool


class Build:
    """Nodes in order; every method gives the id of the node it added."""

    def __init__(self, name: str, **inputs: Type) -> None:
        self.name = name
        self.ports = tuple(Port(n, t) for n, t in inputs.items())
        self.nodes: list[Node] = []
        self.ids = {port.name: self.add("input", port.type, name=port.name) for port in self.ports}

    def add(
        self,
        op: Op,
        type: Type = JSON,
        *inputs: str,
        bodies: Mapping[str, Graph] | None = None,
        **attrs: Any,
    ) -> str:
        node = Node(f"n{len(self.nodes)}", op, type, inputs, attrs, bodies or {})
        self.nodes.append(node)
        return node.id

    def const(self, value: Any) -> str:
        return self.add("const", value=value)

    def op(self, fn: str, *inputs: str, **attrs: Any) -> str:
        return self.add("op", JSON, *inputs, fn=fn, **attrs)

    def call(self, target: str, *inputs: str) -> str:
        return self.add("call", JSON, *inputs, target=target)

    def ask(self, result: Type = STR, **more: Any) -> str:
        """One model call with all inputs of the graph."""
        names = tuple(self.ids)
        attrs = {"slots": more.pop("slots", None) or slots(self.name), "role": "generate"} | more
        bodies = attrs.pop("bodies", {})
        return self.add("model", result, *self.ids.values(), names=names, bodies=bodies, **attrs)

    def done(self, value: str, kind: str = "body", result: Type = JSON) -> Graph:
        self.add("return", result, value)
        return Graph(self.name, self.ports, result, tuple(self.nodes), kind)


def slots(module: str, instruction: str = "Do it.", **more: Any) -> Slots:
    settings = {k: more.pop(k) for k in list(more) if k not in Slots.__dataclass_fields__}
    return Slots(module, instruction, more.pop("frozen", False), settings, **more)


def generate(name: str, result: Type = STR, *, more: Mapping[str, Any] | None = None, **inputs: Type) -> Graph:
    """A module of one model call."""
    build = Build(name, **(inputs or {"x": STR}))
    return build.done(build.ask(result, **(more or {})), "generate", result)


def body(name: str = "body", /, *, fn: str = "", free: Mapping[str, Type] | None = None, const: Any = None, **attrs: Any) -> Graph:
    """A body that applies one function to its inputs, or gives a constant."""
    build = Build(name, **(free or {}))
    value = build.op(fn, *build.ids.values(), **attrs) if fn else build.const(const)
    return build.done(value)


def calling(target: str, **inputs: Type) -> Graph:
    """A body that calls a module with its inputs."""
    build = Build("body", **inputs)
    return build.done(build.call(target, *build.ids.values()))


def program(*graphs: Graph, tools: Mapping[str, Tool] | None = None, default: Mapping[str, Any] | None = None) -> ProgramGraph:
    by_name = {g.name: g for g in graphs}
    return ProgramGraph(by_name, tools or {}, {}, {}, (), default or {}, graphs[-1].name, tuple(by_name))


def pool(script: Any, **more: Any) -> ModelPool:
    """A pool whose only model is scripted; the backend is `pool.backend`."""
    backend = script if isinstance(script, Scripted) else Scripted(script)
    made = ModelPool(backends={"*": backend}, **more)
    made.backend = backend  # type: ignore[attr-defined]
    return made


TRUE = body(const=True)
__all__ = ["BOOL", "JSON", "STR", "TRUE", "Build", "body", "calling", "generate", "pool", "program", "slots"]
