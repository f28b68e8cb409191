"""Early exit: stops a vote of long answers once no further sample can change its winner.

The winner is the same as with all samples. Three kinds of votes are not changed:
- votes of short answers, because one request for all samples costs less than two requests;
- votes whose source sets `stop_early`;
- votes that weigh their samples. Low scores decide nothing before the last samples, and asking for
  these one by one took half as long again (`bench/passes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lmc.check.program import options_of
from lmc.ir.graph import Graph, Node, ProgramGraph, Slots, all_nodes
from lmc.ir.reach import in_order_of_calls, reached_slots
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_node

SHORT_TOKENS = 64  # shorter answers are requested all at once


def early_exit(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark the votes that can end early."""
    calls: dict[str, int] = {}
    for name in in_order_of_calls(program):
        calls[name] = _model_calls(program.graphs[name], calls)

    def rewrite(graph: Graph, node: Node) -> Node:
        return _ending_early(program, graph, node, calls, context)

    return every_node(program, rewrite)


def _ending_early(
    program: ProgramGraph,
    graph: Graph,
    node: Node,
    calls: Mapping[str, int],
    context: PassContext,
) -> Node:
    if node.op != "vote" or not _counts(node) or not _is_long(program, node, calls):
        return node
    context.remark(
        graph.name,
        "the vote ends when no further sample can change the winner",
        f"up to {_savable(node)} samples a vote",
        node.span,
    )
    return replace(node, attrs={**node.attrs, "stop_early": "settled"})


def _counts(node: Node) -> bool:
    """Whether the vote counts equal values and its source does not set `stop_early`."""
    by = node.attrs["by"]
    counted = by == "value" or not isinstance(by, str)
    return counted and "weight" not in node.attrs and node.attrs.get("stop_early") is None


def _is_long(program: ProgramGraph, node: Node, calls: Mapping[str, int]) -> bool:
    """Whether a sample makes several calls, or one call that reasons or may write much."""
    sample = node.bodies["sample"]
    if _model_calls(sample, calls) > 1:
        return True
    return any(map(_writes_much, reached_slots(program, sample).values()))


def _model_calls(graph: Graph, known: Mapping[str, int]) -> int:
    """The model calls in a graph and in the graphs that it calls, each graph once."""
    return sum(
        known[node.attrs["target"]] if node.op == "call" else node.op == "model"
        for node in all_nodes(graph)
    )


def _writes_much(slots: Slots) -> bool:
    tokens = slots.settings.get("max_tokens")
    return bool(slots.settings.get("reason")) or max(options_of(tokens or 0)) > SHORT_TOKENS


def _savable(node: Node) -> str:
    most = max(options_of(node.attrs["n"]))
    return str(most - most // 2 - 1)
