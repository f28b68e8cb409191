"""Graphs built by hand, for tests of the executor that do without parser and checker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.ir.graph import Graph, Node, Op, Port, ProgramGraph, Slots, Tool
from lmc.models.base import Backend
from lmc.models.scripted import Scripted
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.types import JSON, STR, Type


class Build:
    """Nodes in order; every method gives the id of the node it added."""

    def __init__(self, name: str = "body", /, **inputs: Type) -> None:
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

    def region(
        self, op: Op, result: Type = JSON, *, bodies: Mapping[str, Graph], **attrs: Any
    ) -> str:
        """A node that takes all inputs of the graph by name."""
        names = tuple(self.ids)
        return self.add(op, result, *self.ids.values(), names=names, bodies=bodies, **attrs)

    def done(self, value: str, kind: str = "body", result: Type = JSON) -> Graph:
        self.add("return", result, value)
        return Graph(self.name, self.ports, result, tuple(self.nodes), kind)


def slots(module: str, **more: Any) -> Slots:
    """Slots of a module; what is no slot is a setting."""
    settings = {k: more.pop(k) for k in list(more) if k not in Slots.__dataclass_fields__}
    return Slots(
        **{"module": module, "instruction": "Do it.", "frozen": False, "settings": settings} | more
    )


def generate(
    name: str,
    result: Type = STR,
    *,
    role: str = "generate",
    bodies: Mapping[str, Graph] | None = None,
    settings: Mapping[str, Any] | None = None,
    **inputs: Type,
) -> Graph:
    """A module of one model call."""
    build = Build(name, **(inputs or {"x": STR}))
    node = build.region(
        "model", result, bodies=bodies or {}, slots=slots(name, **(settings or {})), role=role
    )
    return build.done(node, role, result)


def vote(
    name: str,
    sample: Graph,
    *,
    result: Type = STR,
    more: Mapping[str, Graph] | None = None,
    **attrs: Any,
) -> Graph:
    """A vote over one input `x`."""
    build = Build(name, x=STR)
    attrs.setdefault("fused", tuple(n.attrs["target"] for n in sample.nodes if n.op == "call"))
    return build.done(
        build.region("vote", result, bodies={"sample": sample, **(more or {})}, **attrs),
        "vote",
        result,
    )


def applying(fn: str, /, *, attrs: Mapping[str, Any] | None = None, **inputs: Type) -> Graph:
    """A body that applies one function to its inputs."""
    build = Build(**inputs)
    return build.done(build.op(fn, *build.ids.values(), **(attrs or {})))


def calling(target: str, **inputs: Type) -> Graph:
    """A body that calls a module with its inputs."""
    build = Build(**(inputs or {"x": STR}))
    return build.done(build.call(target, *build.ids.values()))


def program(
    *graphs: Graph,
    tools: Mapping[str, Tool] | None = None,
    default: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
) -> ProgramGraph:
    by_name = {g.name: g for g in graphs}
    return ProgramGraph(
        by_name, tools or {}, models or {}, {}, (), default or {}, graphs[-1].name, tuple(by_name)
    )


def executor(
    script: Any,
    *graphs: Graph,
    parameters: Parameters | None = None,
    tools: Mapping[str, Tool] | None = None,
    default: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
    **more: Any,
) -> Executor:
    """An executor whose models all answer from one script."""
    backend: Backend = script if hasattr(script, "generate") else Scripted(script)
    made = program(*graphs, tools=tools, default=default, models=models)
    return Executor(
        made, ModelPool(made.models, made.default, backends={"*": backend}), parameters, **more
    )


def requests(executor: Executor) -> list[Any]:
    """The requests that the script saw."""
    seen: list[Any] = executor.pool.bind(None).backend.requests  # type: ignore[attr-defined]
    return seen
