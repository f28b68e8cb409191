"""Early exit: a vote of long answers stops once no further sample can change its winner.

The winner is the same as with all samples. Where an answer is short, asking for all of them in one
request costs less than asking twice, so such a vote is left as it is; so is one whose source says
`stop_early`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lmc.check.program import Choice
from lmc.ir.graph import Graph, Node, ProgramGraph, Slots, all_nodes
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph

SHORT_TOKENS = 64  # answers of at most so many are asked for all at once


def early_exit(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark the votes that can end early."""

    def rewrite(graph: Graph) -> Graph:
        graph = every_body(graph, rewrite)
        nodes = tuple(_ending_early(program, graph, node, context) for node in graph.nodes)
        return replace(graph, nodes=nodes)

    return every_graph(program, rewrite)


def _ending_early(program: ProgramGraph, graph: Graph, node: Node, context: PassContext) -> Node:
    if node.op != "vote" or not _counts(node) or not _is_long(program, node):
        return node
    context.remark(
        graph.name,
        "ends once no sample can change the winner",
        f"up to {_savable(node)} samples a vote",
        node.span,
    )
    return replace(node, attrs={**node.attrs, "stop_early": "settled"})


def _counts(node: Node) -> bool:
    """Whether equal values are counted, and the source does not say when to stop."""
    by = node.attrs["by"]
    counted = by == "value" or not isinstance(by, str)
    return counted and "weight" not in node.attrs and node.attrs.get("stop_early") is None


def _is_long(program: ProgramGraph, node: Node) -> bool:
    """Whether a sample takes several calls, or one that reasons or may write much."""
    calls = list(_models(program, node.bodies["sample"]))
    return len(calls) > 1 or any(map(_writes_much, calls))


def _writes_much(slots: Slots) -> bool:
    tokens = slots.settings.get("max_tokens")
    return bool(slots.settings.get("reason")) or _most(tokens or 0) > SHORT_TOKENS


def _most(value: Any) -> int:
    """A number, or the greatest that a choice offers."""
    return int(max(value.options) if isinstance(value, Choice) else value)


def _models(program: ProgramGraph, graph: Graph) -> Iterator[Slots]:
    for node in all_nodes(graph):
        if node.op == "model":
            yield node.attrs["slots"]
        elif node.op == "call":
            yield from _models(program, program.graphs[node.attrs["target"]])


def _savable(node: Node) -> str:
    most = _most(node.attrs["n"])
    return str(most - most // 2 - 1)
