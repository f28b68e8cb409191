"""Fuse samples: the samples of a vote that start with one prompt ask for it in one request.

An engine reads the prompt once for all of them, and a provider bills it once; the local engine also
writes once what they begin with alike. Where the backend cannot give several samples, or the
sampling differs, each asks by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.ir.ops import ATTEMPTS, PURE
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_node


def fuse_samples(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark each vote with the modules that all of its samples ask the same."""
    return every_node(program, lambda graph, node: _fused(program, graph, node, context))


def _fused(program: ProgramGraph, graph: Graph, node: Node, context: PassContext) -> Node:
    if node.op != "vote" or "fused" in node.attrs:
        return node
    names = tuple(dict.fromkeys(_first_asked(program, node.bodies["sample"], set())))
    if not names:
        return node
    asked = ", ".join(f"`{name}`" for name in names)
    context.remark(
        graph.name,
        f"samples ask {asked} in one request",
        "all but one reading of the prompt",
        node.span,
    )
    return replace(node, attrs={**node.attrs, "fused": names})


def _first_asked(program: ProgramGraph, graph: Graph, seen: set[str]) -> Iterator[str]:
    """Modules whose prompt hangs on the graph's inputs only: before any answer is there.

    What is called more than once asks the same each time, so it is entered once.
    """
    known: set[str] = set()
    for node in graph.nodes:
        if not all(id in known for id in node.inputs):
            continue
        match node.op:
            case op if op in PURE:
                known.add(node.id)
            case "model":
                yield node.attrs["slots"].module
            case "call" if (target := node.attrs["target"]) not in seen:
                seen.add(target)
                yield from _first_asked(program, program.graphs[target], seen)
            case op if op in ATTEMPTS:
                yield from _first_asked(program, node.bodies[ATTEMPTS[op]], seen)
