"""Inline: replaces a call of a small pipeline by the nodes of that pipeline.

Then the other passes can work across the call: they share equal calls and fold constants. Calls of
modules stay, because an optimizer sets the parameters of a whole module. Calls of pipelines that a
test stubs also stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.ir.reach import in_order_of_calls
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph, reading, splice

MOST_NODES = 200  # of a pipeline that is inlined, those of its bodies included


def inline(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Replace calls of pipelines. The innermost come first."""
    stubbed = {name for test in program.tests for name in test.stubs}
    small: dict[str, Graph] = {}
    done: dict[str, Graph] = {}
    for name in in_order_of_calls(program):
        graph = done[name] = _inline(program.graphs[name], small, context)
        if graph.kind == "pipeline" and name not in stubbed and _is_small(graph):
            small[name] = graph

    def rewrite(graph: Graph) -> Graph:
        own = program.graphs.get(graph.name) is graph
        return done[graph.name] if own else _inline(graph, small, context)

    return every_graph(program, rewrite)


def _is_small(graph: Graph) -> bool:
    return sum(1 for _ in islice(all_nodes(graph), MOST_NODES + 1)) <= MOST_NODES


def _inline(graph: Graph, pipelines: Mapping[str, Graph], context: PassContext) -> Graph:
    graph = every_body(graph, lambda body: _inline(body, pipelines, context))
    if not any(_inlined(node, pipelines) for node in graph.nodes):
        return graph
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = reading(node, renamed)
        target = _inlined(node, pipelines)
        if target is None:
            nodes.append(node)
        else:
            given = {port.name: id for port, id in zip(target.inputs, node.inputs)}
            renamed[node.id] = splice(target, given, node.id, nodes.append)
            context.remark(graph.name, f"inlined `{target.name}`", "a step", node.span)
    return replace(graph, nodes=tuple(nodes))


def _inlined(node: Node, pipelines: Mapping[str, Graph]) -> Graph | None:
    target = pipelines.get(node.attrs["target"]) if node.op == "call" else None
    return target if target and len(target.inputs) == len(node.inputs) else None
