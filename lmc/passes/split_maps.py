"""Split maps: a map over many items keeps no more of them under way than its models answer at once.

Each item under way holds its own state; more of them than the model answers only wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph

ROOM = 2  # items under way for each request that the model takes: one waits while one is answered


def split_maps(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark each map whose models declare their concurrency."""

    def rewrite(graph: Graph) -> Graph:
        graph = every_body(graph, rewrite)
        nodes = tuple(_split(program, graph, node, context) for node in graph.nodes)
        return replace(graph, nodes=nodes)

    return every_graph(program, rewrite)


def _split(program: ProgramGraph, graph: Graph, node: Node, context: PassContext) -> Node:
    if node.op != "map" or "in_flight" in node.attrs:
        return node
    limits = [_concurrency(program, name) for name in _models(program, node.bodies["item"])]
    if not limits or None in limits:
        return node
    most = ROOM * max(limit for limit in limits if limit is not None)
    context.remark(graph.name, f"at most {most} items under way", "memory", node.span)
    return replace(node, attrs={**node.attrs, "in_flight": most})


def _models(program: ProgramGraph, graph: Graph) -> Iterator[str | None]:
    for node in all_nodes(graph):
        if node.op == "model":
            name = node.attrs["slots"].settings.get("model")
            yield name if isinstance(name, str) else None
        elif node.op == "call":
            yield from _models(program, program.graphs[node.attrs["target"]])


def _concurrency(program: ProgramGraph, name: str | None) -> int | None:
    """What a declared model, or the program's default, says of it."""
    settings = {**program.default, **program.models.get(name or "", {})}
    found = settings.get("concurrency")
    return int(found) if found else None
