"""Common calls: equal calls, operations and regions on equal inputs are made once.

A call with the same inputs and sample index is the same request, and one request has one answer, so
sharing changes no result. A tool is shared only where it is declared `cache: true`, since only then
it promises the same result for the same inputs.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from lmc.ir.functions import canonical
from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph


def common_calls(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Share equal nodes within each graph."""
    cached = frozenset(name for name, tool in program.tools.items() if tool.settings.get("cache"))
    return every_graph(program, lambda graph: _share(graph, cached, context))


def _share(graph: Graph, cached: frozenset[str], context: PassContext) -> Graph:
    graph = every_body(graph, lambda body: _share(body, cached, context))
    first: dict[Hashable, str] = {}
    renamed: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(id, id) for id in node.inputs))
        key = _key(node, cached)
        if key is not None and key in first:
            renamed[node.id] = first[key]
            if node.op in ("call", "tool", "map", "cond", "loop"):
                what = node.attrs.get("target", node.op)
                words = f"`{what}` runs once for equal inputs"
                context.remark(graph.name, words, "running it again", node.span)
            continue
        if key is not None:
            first[key] = node.id
        kept.append(node)
    return replace(graph, nodes=tuple(kept))


def _repeats_effects(node: Node, cached: frozenset[str]) -> bool:
    """Whether a region calls a tool that may give something else the second time."""
    inner = (n for body in node.bodies.values() for n in all_nodes(body))
    return any(n.op == "tool" and n.attrs["target"] not in cached for n in inner)


def _key(node: Node, cached: frozenset[str]) -> Hashable:
    """Equal for nodes with equal values; None where a node is not to be shared."""
    match node.op:
        case "input" | "call":
            what: Hashable = node.attrs.get("name") or node.attrs["target"]
        case "tool" if node.attrs["target"] in cached:
            what = node.attrs["target"]
        case "const":
            what = (canonical(node.attrs["value"]), type(node.attrs["value"]).__name__)
        case "choice":
            what = node.attrs["choice"].id
        case "op":
            what = canonical(
                {key: list(v) if isinstance(v, tuple) else v for key, v in node.attrs.items()}
            )
        case "map" | "cond" | "loop" if not _repeats_effects(node, cached):
            what = repr((dict(node.attrs), dict(node.bodies)))
        case _:
            return None
    return (node.op, str(node.type), what, node.inputs)
