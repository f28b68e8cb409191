"""Finds what a run can reach from the graph, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lmc.ir.graph import Graph, Node, ProgramGraph, Slots, all_nodes


def reached_slots(
    program: ProgramGraph, graph: Graph, without: Collection[str] = ()
) -> dict[str, Slots]:
    """The model calls that a run of a graph may make, by module, except through `without`."""
    nodes = reached_nodes(program, graph, without=without)
    slots = (node.attrs["slots"] for node in nodes if node.op == "model")
    return {slot.module: slot for slot in slots}


def reached_tools(program: ProgramGraph, graph: Graph) -> list[str]:
    """The Python tools that a run of a graph may call."""
    nodes = reached_nodes(program, graph)
    return list(dict.fromkeys(node.attrs["target"] for node in nodes if node.op == "tool"))


def reached_nodes(
    program: ProgramGraph, *graphs: Graph, without: Collection[str] = ()
) -> Iterator[Node]:
    """The nodes of graphs, of the bodies inside them, and of the graphs they call, each once."""
    seen = set(without)
    todo = list(graphs)
    while todo:
        for node in all_nodes(todo.pop()):
            yield node
            if node.op == "call" and node.attrs["target"] not in seen:
                seen.add(node.attrs["target"])
                todo.append(program.graphs[node.attrs["target"]])
