"""Dead code: removes nodes whose value is not used, and graphs that nothing calls.

The language is pure, so an unread call can go like any unread value. Asserts stay, and so does what
calls a tool that is not declared `pure`: it may do something in the world. So does what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.ir.ops import STEPS
from lmc.ir.reach import acting, acts, pure_tools
from lmc.ir.tool_graphs import own_tools
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph, with_nodes


def dead_code(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Remove nodes and graphs that do not reach a result."""
    effects = acting(program, pure_tools(program))
    slim = every_graph(program, lambda graph: _slim(graph, effects, context))
    live = _reachable(slim, context)
    return replace(
        slim,
        graphs={name: graph for name, graph in slim.graphs.items() if name in live},
        tools={
            name: tool for name, tool in slim.tools.items() if name in live or name in slim.metrics
        },
    )


def _slim(graph: Graph, effects: frozenset[str], context: PassContext) -> Graph:
    """A graph without unused nodes. Bodies come first, because they decide what a region uses."""
    graph = every_body(graph, lambda body: _slim(body, effects, context))
    nodes = [_without_unread(node) for node in graph.nodes]
    live: set[str] = set()
    for node in reversed(nodes):
        if node.id in live or node.op == "return" or _asserts(node) or acts(node, effects):
            live |= {node.id, *node.inputs}
    for node in nodes:
        if node.id not in live and node.op in STEPS:
            words = f"removed `{node.attrs.get('target', node.op)}`, whose result is not used here"
            context.remark(graph.name, words, "running it", node.span)
    return with_nodes(graph, [node for node in nodes if node.id in live])


def _without_unread(node: Node) -> Node:
    """A region without the outer values that its bodies no longer use."""
    free = node.attrs.get("free")
    if not free:
        return node
    read = {n.attrs["name"] for body in node.bodies.values() for n in body.nodes if n.op == "input"}
    kept = tuple(name for name in free if name in read)
    if kept == free:
        return node
    own = len(node.inputs) - len(free)
    ids = [id for name, id in zip(free, node.inputs[own:]) if name in read]
    gone = set(free) - read
    bodies = {
        key: replace(body, inputs=tuple(p for p in body.inputs if p.name not in gone))
        for key, body in node.bodies.items()
    }
    inputs = (*node.inputs[:own], *ids)
    return replace(node, inputs=inputs, attrs={**node.attrs, "free": kept}, bodies=bodies)


def _asserts(node: Node) -> bool:
    return node.op == "assert" or any(_asserts(n) for b in node.bodies.values() for n in b.nodes)


def _reachable(program: ProgramGraph, context: PassContext) -> set[str]:
    """Names of the graphs and tools that a caller, a test or a metric can reach."""
    tests = [g for test in program.tests for g in (test.graph, *test.stubs.values())]
    todo = [*program.exports, *program.metrics, *own_tools(program), *context.keep]
    todo += [name for graph in tests for name in _targets(graph)]
    todo += [name for test in program.tests for name in test.stubs]
    live: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in live:
            live.add(name)
            if name in program.graphs:
                todo += _targets(program.graphs[name])
    return live


def _targets(graph: Graph) -> Iterator[str]:
    return (node.attrs["target"] for node in all_nodes(graph) if node.op in ("call", "tool"))
