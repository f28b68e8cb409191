"""Prefix first: moves inputs that several calls share to the front of the prompt.

Calls share inputs if they are items of a map, or stand side by side, such as three questions about
one text. Providers and engines cache the beginning of a prompt for the next prompt that begins the
same. So a shared input is processed once if it comes first.

A module is changed only if all its repeated calls share these inputs, and if it has no template. A
model may answer a changed prompt differently. So the pass only reports the change, unless the
program asks for it (`default { shared_first: true }`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.ir.ops import PURE
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_graph, with_nodes

Shared = tuple[bool, ...]  # for each argument of a call, whether all calls share it


def prefix_first(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Reorder the inputs of modules that are called repeatedly."""
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
        nodes = [_reordered(graph, n, names, context, wanted=wanted) for n in graph.nodes]
        return with_nodes(graph, nodes)

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
    change = f"put {first} first in the prompt"
    if not wanted:
        change = f"could {change} (`default {{ shared_first: true }}`)"
    context.remark(graph.name, change, "processing it again for each call", graph.span)
    if not wanted:
        return node
    names, inputs = zip(*ordered)
    return replace(node, inputs=inputs, attrs={**node.attrs, "names": names})


def _side_by_side(graph: Graph) -> Iterator[tuple[str, Shared]]:
    """Modules that a body outside of maps calls more than once, with their shared arguments."""
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
    """Calls in the bodies of maps, with the arguments that all items share."""
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
