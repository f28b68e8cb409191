"""Split maps: limits the items of a map that run at once to what its models answer at once.

Each running item holds its own state. More items than the model answers would only wait.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.ir.reach import reached_slots
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_node

ROOM = 2  # running items for each concurrent request: one waits while one is answered


def split_maps(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark each map whose models declare their concurrency."""
    return every_node(program, lambda graph, node: _split(program, graph, node, context))


def _split(program: ProgramGraph, graph: Graph, node: Node, context: PassContext) -> Node:
    if node.op != "map" or "in_flight" in node.attrs:
        return node
    slots = reached_slots(program, node.bodies["item"]).values()
    limits = [_concurrency(program, slot.settings.get("model")) for slot in slots]
    if not limits or None in limits:
        return node
    most = ROOM * max(limit for limit in limits if limit is not None)
    context.remark(graph.name, f"at most {most} items run at once", "memory", node.span)
    return replace(node, attrs={**node.attrs, "in_flight": most})


def _concurrency(program: ProgramGraph, name: Any) -> int | None:
    """The concurrency that a declared model or the program's default sets."""
    settings = {**program.default, **program.models.get(name if isinstance(name, str) else "", {})}
    found = settings.get("concurrency")
    return int(found) if found else None
