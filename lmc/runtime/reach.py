"""What a run may reach: read off the graph, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lmc.ir.graph import Graph, Node, ProgramGraph, Slots


def reached_slots(
    program: ProgramGraph, graph: Graph, without: Collection[str] = ()
) -> dict[str, Slots]:
    """The model calls that a run of a graph may make, by module; not through those in `without`."""
    found: dict[str, Slots] = {}
    seen = set(without)
    todo = [graph]
    while todo:
        for node in all_nodes(todo.pop()):
            if node.op == "model":
                found.setdefault(node.attrs["slots"].module, node.attrs["slots"])
            elif node.op == "call" and node.attrs["target"] not in seen:
                seen.add(node.attrs["target"])
                todo.append(program.graphs[node.attrs["target"]])
    return found


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Nodes of a graph and of the bodies inside it."""
    for node in graph.nodes:
        yield node
        for body in node.bodies.values():
            yield from all_nodes(body)
