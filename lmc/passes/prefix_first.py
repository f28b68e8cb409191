"""Prefix first: inputs that all items of a map share stand before those that differ.

So do those that several calls of a module share, one beside the other: three questions about one
text. Providers and engines keep what they have read of a prompt for the next one that begins the
same, so what calls share is read once where it comes first. Only modules that are called this way
wherever they are called for many are changed, and none with a template of its own. A model may
answer another prompt otherwise, so this is done where the program asks for it
(`default { shared_first: true }`), and else only told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.ir.ops import PURE
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_graph

Shared = tuple[bool, ...]  # for each argument of a call, whether it is the same in all


def prefix_first(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Reorder the inputs of modules that are called for many."""
    wanted = bool(program.default.get("shared_first"))
    sites: dict[str, list[Shared]] = {}
    for graph in program.graphs.values():
        for target, shared in (*_over_items(graph), *_side_by_side(graph)):
            sites.setdefault(target, []).append(shared)

    def rewrite(graph: Graph) -> Graph:
        shared = [all(column) for column in zip(*sites.get(graph.name, ()))]
        if not any(shared) or graph.kind not in ("generate", "critique"):
            return graph
        names = {port.name for port, same in zip(graph.inputs, shared) if same}
        nodes = tuple(_reordered(graph, n, names, context, wanted=wanted) for n in graph.nodes)
        return replace(graph, nodes=nodes)

    return every_graph(program, rewrite)


def _reordered(
    graph: Graph, node: Node, shared: set[str], context: PassContext, *, wanted: bool
) -> Node:
    if node.op != "model" or "template" in node.attrs["slots"].settings:
        return node
    pairs = list(zip(node.attrs["names"], node.inputs))
    ordered = sorted(pairs, key=lambda pair: pair[0] not in shared)
    if ordered == pairs:
        return node
    first = ", ".join(f"`{name}`" for name, _ in ordered if name in shared)
    change = f"{first} first in the prompt"
    if not wanted:
        change = f"could put {change} (`default {{ shared_first: true }}`)"
    context.remark(graph.name, change, "reading it again for each call", graph.span)
    if not wanted:
        return node
    names, inputs = zip(*ordered)
    return replace(node, inputs=inputs, attrs={**node.attrs, "names": names})


def _side_by_side(graph: Graph) -> Iterator[tuple[str, Shared]]:
    """Modules that are called more than once in a body outside of maps, with what calls share."""
    calls: dict[str, list[tuple[str, ...]]] = {}
    for node in graph.nodes:
        if node.op == "call":
            calls.setdefault(node.attrs["target"], []).append(node.inputs)
        if node.op != "map":
            for body in node.bodies.values():
                yield from _side_by_side(body)
    for target, given in calls.items():
        shared = tuple(len(set(column)) == 1 for column in zip(*given))
        if len(given) > 1 and any(shared):
            yield target, shared


def _over_items(graph: Graph) -> Iterator[tuple[str, Shared]]:
    """Calls in the bodies of maps, with what all items share."""
    for node in all_nodes(graph):
        if node.op == "map":
            yield from _calls(node.bodies["item"], set(node.attrs["free"]))


def _calls(body: Graph, free: set[str]) -> Iterator[tuple[str, Shared]]:
    same: set[str] = set()
    for node in body.nodes:
        if node.op == "input" and node.attrs["name"] not in free:
            continue
        if node.op == "call":
            yield node.attrs["target"], tuple(id in same for id in node.inputs)
        elif node.op in PURE and same.issuperset(node.inputs):
            same.add(node.id)
