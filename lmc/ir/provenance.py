"""Finds the modules that a target reaches, and those that give its result, from the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmc.check.program import Choice
from lmc.frozen import frozen
from lmc.ir.graph import Graph, Node, ProgramGraph, Role, Slots, all_nodes
from lmc.ir.ops import ATTEMPTS
from lmc.ir.weighed import is_weighed_value
from lmc.types import Type

Origins = Mapping[str, str | None]  # input of a graph: the unchanged input of the target


@frozen
class Module:
    """One model call of the program, as an optimizer sees it."""

    name: str
    role: Role
    slots: Slots
    inputs: tuple[str, ...]
    result: Type


@frozen
class Provenance:
    """A module that gives the target's result, or one field of it, and the origin of its inputs.

    `inputs` maps each input of the module to the target's input, or to None if it is computed.
    `field` is the field of the target's result that the module gives; None if it gives all of it.
    """

    module: Module
    inputs: Origins
    field: str | None = None


def reached_modules(program: ProgramGraph, target: str) -> dict[str, Module]:
    """All modules that a run of the target may call, by name, in the order of the graph."""
    found: dict[str, Module] = {}
    for node in reached_nodes(program, target):
        if node.op == "model":
            module = _module(node)
            found.setdefault(module.name, module)
    return found


def result_provenance(program: ProgramGraph, target: str) -> dict[str, Provenance]:
    """Find the modules whose result the target returns unchanged, so that its labels apply to them.

    The search follows calls, branches, the samples of a vote, the draft of a refine, and the fields
    of a returned record.
    """
    graph = program.graphs[target]
    finder = _Finder(program)
    finder.find(graph, {port.name: port.name for port in graph.inputs})
    return finder.provenance


def has_votes(program: ProgramGraph, target: str) -> bool:
    """Whether a run draws several samples of one prompt.

    Samples that are drawn at the same moment share a request and its prompt tokens. The number of
    tokens then depends on timing, so it must not be part of an artifact, whose bytes are
    reproducible.
    """
    return any(node.op == "vote" for node in reached_nodes(program, target))


def reached_nodes(program: ProgramGraph, target: str) -> Iterator[Node]:
    """The nodes that a run of the target can reach. Callees come at their first call."""
    seen = {target}
    todo = [all_nodes(program.graphs[target])]
    while todo:
        node = next(todo[-1], None)
        if node is None:
            todo.pop()
            continue
        yield node
        if node.op == "call" and (callee := node.attrs["target"]) not in seen:
            seen.add(callee)
            todo.append(all_nodes(program.graphs[callee]))


def reached_choices(program: ProgramGraph, target: str) -> dict[str, Choice]:
    """Every `tune[…]` that a run of the target can reach, by id."""
    found: dict[str, Choice] = {}
    for node in reached_nodes(program, target):
        slots = node.attrs.get("slots")
        settings = slots.settings.values() if isinstance(slots, Slots) else ()
        for value in (*node.attrs.values(), *settings):
            if isinstance(value, Choice):
                found.setdefault(value.id, value)
    return found


def _module(node: Node) -> Module:
    slots: Slots = node.attrs["slots"]
    names = tuple(node.attrs["names"])
    return Module(slots.module, node.attrs["role"], slots, names, node.type)


@dataclass(slots=True)
class _Finder:
    """Walks back from the returned value. The first path to a module counts."""

    program: ProgramGraph
    provenance: dict[str, Provenance] = field(default_factory=dict)
    todo: list[tuple[Graph, Origins, str | None]] = field(default_factory=list)  # the last is next
    called: set[tuple[Any, ...]] = field(default_factory=set)

    def find(self, graph: Graph, origins: Origins) -> None:
        """Follow the value of a graph, and of all that it may come from."""
        self.todo = [(graph, origins, None)]
        while self.todo:
            graph, origins, name = self.todo.pop()
            if graph.nodes[-1].op == "return":
                nodes = {node.id: node for node in graph.nodes}
                later, self.todo = self.todo, []
                self._node(nodes, graph.nodes[-1].inputs[0], origins, name)
                self.todo = later + self.todo[::-1]

    def follow(self, graph: Graph, origins: Origins, name: str | None) -> None:
        """Follow a graph later; `name` is the field of the target's result that its value is."""
        self.todo.append((graph, origins, name))

    def _call(self, graph: Graph, origins: Origins, name: str | None) -> None:
        key = (graph.name, *sorted(origins.items(), key=str), name)
        if key not in self.called:
            self.called.add(key)
            self.follow(graph, origins, name)

    def _node(self, nodes: Mapping[str, Node], id: str, origins: Origins, name: str | None) -> None:
        node = nodes[id]
        sources = [_origin(nodes[source], origins) for source in node.inputs]
        match node.op:
            case "model" if node.attrs["role"] == "generate":
                module = _module(node)
                inputs = dict(zip(module.inputs, sources))
                self.provenance.setdefault(module.name, Provenance(module, inputs, name))
            case "call":
                callee = self.program.graphs[node.attrs["target"]]
                ports = [port.name for port in callee.inputs]
                self._call(callee, dict(zip(ports, sources)), name)
            case op if op in ATTEMPTS:
                body = node.bodies[ATTEMPTS[op]]
                self.follow(body, dict(zip(node.attrs["names"], sources)), name)
            case "cond":
                free = dict(zip(node.attrs.get("free", ()), sources[1:]))
                for body in node.bodies.values():
                    self.follow(body, free, name)
            case "op" if is_weighed_value(node, nodes):
                weighed = nodes[node.inputs[0]]
                given = [_origin(nodes[source], origins) for source in weighed.inputs]
                self.follow(weighed.bodies["value"], dict(zip(weighed.attrs["free"], given)), name)
            case "op" if node.attrs["fn"] == "record" and name is None:
                for field_name, source in zip(node.attrs["names"], node.inputs):
                    self._node(nodes, source, origins, field_name)


def _origin(node: Node, origins: Origins) -> str | None:
    return origins.get(node.attrs["name"]) if node.op == "input" else None
