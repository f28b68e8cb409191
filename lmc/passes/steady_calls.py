"""Steady calls: inside votes, loops and maps, a call at temperature 0 is sent once for each input.

At temperature 0 all samples of one prompt are the same, also in several turns of a loop or items of
a map. So a run keeps these answers, with or without a cache. For example, a verifier of five equal
samples is called once, and a judge of an unchanged draft is not called again. A module that
declares `cache: false` is called every time.
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
from lmc.passes.rewrite import every_graph, with_bodies, with_nodes


def steady_calls(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark the model calls that a run may repeat and that would return the same answer."""
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
            node = with_bodies(node, bodies)
            nodes.append(_marked(graph, node, context) if again and steady(node) else node)
        return with_nodes(graph, nodes)

    return every_graph(program, lambda graph: rewrite(graph, again=graph.name in repeated))


def _marked(graph: Graph, node: Node, context: PassContext) -> Node:
    if "steady" in node.attrs:
        return node
    words = f"`{node.attrs['slots'].module}` at temperature 0 is called once for each input"
    context.remark(graph.name, words, "repeated calls", node.span)
    return replace(node, attrs={**node.attrs, "steady": True})


def _repeats(node: Node, body: str) -> bool:
    spec = body_spec(node.op, body)
    return spec is not None and spec.repeats


def _temperatures(program: ProgramGraph, slots: Slots) -> Collection[Any]:
    """The temperatures of a module's calls. If it sets none, those of its models."""
    own = slots.settings.get("temperature")
    if own is not None:
        return options_of(own)
    names = options_of(slots.settings.get("model", program.default.get("model")))
    return [program.models.get(name, {}).get("temperature") for name in names]


def _called_again(program: ProgramGraph) -> set[str]:
    """The names of the graphs that votes, loops and maps call."""
    again = (
        body
        for graph in (*program.graphs.values(), *(test.graph for test in program.tests))
        for node in all_nodes(graph)
        for name, body in node.bodies.items()
        if _repeats(node, name)
    )
    return {node.attrs["target"] for node in reached_nodes(program, *again) if node.op == "call"}
