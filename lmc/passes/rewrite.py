"""Applying a rewrite to every graph of a program, and to the bodies within graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lmc.ir.graph import Graph, ProgramGraph

Rewrite = Callable[[Graph], Graph]


def every_graph(program: ProgramGraph, rewrite: Rewrite) -> ProgramGraph:
    """A program with each of its graphs rewritten; metrics share the graphs of the program."""
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
    nodes = tuple(
        replace(node, bodies={name: rewrite(body) for name, body in node.bodies.items()})
        if node.bodies
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)
