"""Finds what a run can reach from the graph, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lmc.check.servers import is_server
from lmc.ir.graph import Graph, Node, ProgramGraph, Slots, Tool, all_nodes


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


def pure_tools(program: ProgramGraph) -> frozenset[str]:
    """The tools whose calls only give a value: `pure: true`, and episodes."""
    tools = program.tools.items()
    return frozenset(n for n, t in tools if t.settings.get("pure") or t.settings.get("episode"))


def is_method(tool: Tool) -> bool:
    """Whether a tool is a method, `pkg.mod:Class.method`: each run makes an object of its own."""
    return not is_server(tool.target) and "." in tool.target.partition(":")[2]


def sequenced(program: ProgramGraph) -> frozenset[str]:
    """The tools whose calls follow one another, and the graphs whose run may call one of them.

    These are tools with `effect: true`, and methods: calls of one object change its state.
    """
    tools = {n for n, t in program.tools.items() if t.settings.get("effect") or is_method(t)}
    if not tools:
        return frozenset()
    graphs = (n for n, g in program.graphs.items() if tools.intersection(reached_tools(program, g)))
    return frozenset(tools.union(graphs))


def acting(program: ProgramGraph, harmless: Collection[str]) -> frozenset[str]:
    """The tools that are not in `harmless`, and the graphs that may call one, or keep something."""
    graphs = {
        name
        for name, graph in program.graphs.items()
        if set(reached_tools(program, graph)) - set(harmless) or keeps(program, graph)
    }
    return frozenset(graphs | set(program.tools) - set(harmless))


def keeps(program: ProgramGraph, graph: Graph) -> bool:
    """Whether a run of a graph may keep something in a store."""
    return any(node.op == "keep" for node in reached_nodes(program, graph))


def reached_stores(program: ProgramGraph, graph: Graph) -> tuple[str, ...]:
    """The stores that a run of a graph may read or write."""
    nodes = reached_nodes(program, graph) if program.stores else ()
    return tuple(sorted({n.attrs["store"] for n in nodes if n.op in ("store", "find", "keep")}))


def lasting(program: ProgramGraph) -> frozenset[str]:
    """The tools with an effect, and the graphs whose run may have one, or keep something."""
    acting_tools = {n for n, tool in program.tools.items() if tool.settings.get("effect")}
    if not acting_tools and not program.stores:
        return frozenset()
    return acting(program, program.tools.keys() - acting_tools)


def acts(node: Node, acting: Collection[str]) -> bool:
    """Whether a node may keep something, or call a tool or graph in `acting`, at any depth."""
    if node.op == "keep":
        return True
    if node.op in ("tool", "call") and node.attrs["target"] in acting:
        return True
    return any(acts(inner, acting) for body in node.bodies.values() for inner in body.nodes)


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


def in_order_of_calls(program: ProgramGraph, *starts: str) -> Iterator[str]:
    """Names of the graphs that some of them call, of all where none is named; callees first."""
    done: set[str] = set()
    for start in starts or program.graphs:
        todo = [(start, _called(program, start))] if start not in done else []
        while todo:
            name, targets = todo[-1]
            target = next((t for t in targets if t not in done), None)
            if target is not None:
                todo.append((target, _called(program, target)))
                continue
            todo.pop()
            if name not in done:
                done.add(name)
                yield name


def _called(program: ProgramGraph, name: str) -> Iterator[str]:
    for node in all_nodes(program.graphs[name]):
        if node.op == "call" and node.attrs["target"] in program.graphs:
            yield node.attrs["target"]
