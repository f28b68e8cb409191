"""Applies a rewrite to every graph of a program and to the bodies within graphs.

What a rewrite leaves as it is stays the same object, so that a pass which finds nothing costs
little, and what was verified needs no second look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import is_

from lmc.ir.graph import Graph, Node, ProgramGraph

Rewrite = Callable[[Graph], Graph]


def every_graph(program: ProgramGraph, rewrite: Rewrite) -> ProgramGraph:
    """A program with each of its graphs rewritten. Metrics share the graphs of the program."""
    graphs = {name: rewrite(graph) for name, graph in program.graphs.items()}
    metrics = {
        name: replace(metric, graph=graphs.get(name)) if metric.graph is not None else metric
        for name, metric in program.metrics.items()
    }
    tests = tuple(
        replace(
            test,
            graph=rewrite(test.graph),
            stubs={name: rewrite(stub) for name, stub in test.stubs.items()},
        )
        for test in program.tests
    )
    return replace(program, graphs=graphs, metrics=metrics, tests=tests)


def every_body(graph: Graph, rewrite: Rewrite) -> Graph:
    """A graph with the bodies of its regions rewritten."""
    nodes = [
        with_bodies(node, {name: rewrite(body) for name, body in node.bodies.items()})
        if node.bodies
        else node
        for node in graph.nodes
    ]
    return with_nodes(graph, nodes)


def with_nodes(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """A graph with these nodes: the graph itself, if they are its own."""
    own = len(nodes) == len(graph.nodes) and all(map(is_, nodes, graph.nodes))
    return graph if own else replace(graph, nodes=tuple(nodes))


def with_bodies(node: Node, bodies: Mapping[str, Graph]) -> Node:
    """A node with these bodies by its names: the node itself, if they are its own."""
    own = all(body is node.bodies[name] for name, body in bodies.items())
    return node if own else replace(node, bodies=bodies)


def reading(node: Node, renamed: Mapping[str, str]) -> Node:
    """A node that reads values under their new ids."""
    if not renamed or renamed.keys().isdisjoint(node.inputs):
        return node
    return replace(node, inputs=tuple(renamed.get(id, id) for id in node.inputs))


def every_node(program: ProgramGraph, change: Callable[[Graph, Node], Node]) -> ProgramGraph:
    """A program with each node of each graph and body rewritten. Bodies come first."""

    def rewrite(graph: Graph) -> Graph:
        graph = every_body(graph, rewrite)
        return with_nodes(graph, [change(graph, node) for node in graph.nodes])

    return every_graph(program, rewrite)


def splice(graph: Graph, given: Mapping[str, str], prefix: str, add: Callable[[Node], None]) -> str:
    """Add a graph's nodes to another graph under new ids. Returns the id of the result.

    `given` maps the names of its inputs to the ids of their values.
    """
    ids: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "input":
            ids[node.id] = given[node.attrs["name"]]
        elif node.op == "return":
            return ids[node.inputs[0]]
        else:
            ids[node.id] = f"{prefix}.{node.id.lstrip('%')}"
            add(replace(node, id=ids[node.id], inputs=tuple(ids[id] for id in node.inputs)))
    raise AssertionError(f"`{graph.name}` returns nothing")
