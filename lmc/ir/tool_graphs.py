"""The graph of a single call of a tool, for callers outside of the program."""

from __future__ import annotations

from lmc.ir.graph import Graph, Node, ProgramGraph, Tool


def own_tools(program: ProgramGraph) -> list[str]:
    """The tools that the program itself declares: neither imported ones nor metrics in Python."""
    return [n for n in program.tools if "." not in n and n not in program.metrics]


def tool_graph(tool: Tool) -> Graph:
    """A graph that calls the tool with its inputs and returns what it gives."""
    given = tuple(
        Node(f"%{place}", "input", port.type, attrs={"name": port.name})
        for place, port in enumerate(tool.inputs)
    )
    call, last = f"%{len(given)}", f"%{len(given) + 1}"
    nodes = (
        *given,
        Node(call, "tool", tool.result, tuple(n.id for n in given), {"target": tool.name}),
        Node(last, "return", tool.result, (call,)),
    )
    return Graph(tool.name, tool.inputs, tool.result, nodes, "tool", tool.doc)
