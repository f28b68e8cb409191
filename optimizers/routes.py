"""What can be read off the graph: the modules a target reaches, and those that give its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lmc.check.types import Type
from lmc.ir.graph import Graph, Node, ProgramGraph, Role, Slots

Origins = Mapping[str, str | None]  # input of a graph: the input of the target it is, unchanged


@dataclass(frozen=True, slots=True)
class Module:
    """One model call of the program, as an optimizer sees it."""

    name: str
    role: Role
    slots: Slots
    inputs: tuple[str, ...]
    result: Type


@dataclass(frozen=True, slots=True)
class Route:
    """A module whose result is the target's, and the target's input behind each of its own.

    None stands for an input that is computed on the way.
    """

    module: Module
    inputs: Origins


def reached_modules(program: ProgramGraph, target: str) -> dict[str, Module]:
    """All modules whose model a run of the target may call, by name, in the order of the graph."""
    found: dict[str, Module] = {}
    _collect(program, program.graphs[target], found, {target})
    return found


def result_routes(program: ProgramGraph, target: str) -> dict[str, Route]:
    """Find the generating modules whose result the target returns unchanged: its labels are theirs.

    The way leads through calls, branches, the samples of a vote and the draft of a refine.
    """
    graph = program.graphs[target]
    routes: dict[str, Route] = {}
    _follow(program, graph, {port.name: port.name for port in graph.inputs}, routes)
    return routes


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Nodes of a graph and of the bodies inside it."""
    for node in graph.nodes:
        yield node
        for body in node.bodies.values():
            yield from all_nodes(body)


def _collect(program: ProgramGraph, graph: Graph, found: dict[str, Module], seen: set[str]) -> None:
    for node in all_nodes(graph):
        if node.op == "model":
            module = _module(node)
            found.setdefault(module.name, module)
        elif node.op == "call" and node.attrs["target"] not in seen:
            seen.add(node.attrs["target"])
            _collect(program, program.graphs[node.attrs["target"]], found, seen)


def _module(node: Node) -> Module:
    slots: Slots = node.attrs["slots"]
    names = tuple(node.attrs["names"])
    return Module(slots.module, node.attrs["role"], slots, names, node.type)


def _follow(
    program: ProgramGraph, graph: Graph, origins: Origins, routes: dict[str, Route]
) -> None:
    nodes = {node.id: node for node in graph.nodes}

    def origin(id: str) -> str | None:
        node = nodes[id]
        return origins.get(node.attrs["name"]) if node.op == "input" else None

    if graph.nodes[-1].op != "return":
        return
    node = nodes[graph.nodes[-1].inputs[0]]
    sources = [origin(id) for id in node.inputs]
    match node.op:
        case "model" if node.attrs["role"] == "generate":
            module = _module(node)
            routes.setdefault(module.name, Route(module, dict(zip(module.inputs, sources))))
        case "call":
            callee = program.graphs[node.attrs["target"]]
            names = [port.name for port in callee.inputs]
            _follow(program, callee, dict(zip(names, sources)), routes)
        case "vote":
            _follow(program, node.bodies["sample"], dict(zip(node.attrs["names"], sources)), routes)
        case "refine":
            _follow(program, node.bodies["draft"], dict(zip(node.attrs["names"], sources)), routes)
        case "cond":
            free = dict(zip(node.attrs.get("free", ()), sources[1:]))
            for body in node.bodies.values():
                _follow(program, body, free, routes)
