"""Steady calls: what is asked at temperature 0 inside what repeats is asked once for equal inputs.

Samples of one prompt at temperature 0 are one sample, and so are calls of several turns of a loop
or items of a map; a run then keeps the answers, with or without a cache. A verifier of five samples
that agree is asked once, a judge of a draft that stayed the same is not asked again. Where
a module is declared `cache: false` it is asked every time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from lmc.check.program import options_of
from lmc.ir.graph import Graph, Node, ProgramGraph, Slots, all_nodes
from lmc.ir.ops import body_spec
from lmc.ir.reach import reached_nodes
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_graph


def steady_calls(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark the model calls that may be made again within a run, and would say the same."""
    repeated = _called_again(program)

    def steady(node: Node) -> bool:
        return node.op == "model" and 0 in _temperatures(program, node.attrs["slots"])

    def rewrite(graph: Graph, *, again: bool) -> Graph:
        nodes = []
        for node in graph.nodes:
            bodies = {
                name: rewrite(body, again=again or _repeats(node, name))
                for name, body in node.bodies.items()
            }
            node = replace(node, bodies=bodies) if bodies else node
            nodes.append(_marked(graph, node, context) if again and steady(node) else node)
        return replace(graph, nodes=tuple(nodes))

    return every_graph(program, lambda graph: rewrite(graph, again=graph.name in repeated))


def _marked(graph: Graph, node: Node, context: PassContext) -> Node:
    if "steady" in node.attrs:
        return node
    words = f"`{node.attrs['slots'].module}` at temperature 0 is asked once for equal inputs"
    context.remark(graph.name, words, "asking it again", node.span)
    return replace(node, attrs={**node.attrs, "steady": True})


def _repeats(node: Node, body: str) -> bool:
    spec = body_spec(node.op, body)
    return spec is not None and spec.repeats


def _temperatures(program: ProgramGraph, slots: Slots) -> Collection[Any]:
    """Those at which a module may be asked; its models say where it does not."""
    own = slots.settings.get("temperature")
    if own is not None:
        return options_of(own)
    names = options_of(slots.settings.get("model", program.default.get("model")))
    return [program.models.get(name, {}).get("temperature") for name in names]


def _called_again(program: ProgramGraph) -> set[str]:
    """Names of the graphs that are called from what repeats."""
    again = (
        body
        for graph in (*program.graphs.values(), *(test.graph for test in program.tests))
        for node in all_nodes(graph)
        for name, body in node.bodies.items()
        if _repeats(node, name)
    )
    return {node.attrs["target"] for node in reached_nodes(program, *again) if node.op == "call"}
