"""Fuse samples: draws the samples of a vote or a list in one request if they share a prompt.

An engine then processes the prompt once for all samples, and a provider bills it once. The local
engine also generates a common beginning of the answers once. If the backend cannot return several
samples, or the sampling differs, each sample is a request of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.ir.ops import ATTEMPTS, PURE
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_node


def fuse_samples(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Mark votes and lists of samples with the modules that all samples ask the same prompt."""
    return every_node(program, lambda graph, node: _fused(program, graph, node, context))


def _fused(program: ProgramGraph, graph: Graph, node: Node, context: PassContext) -> Node:
    if node.op not in ("vote", "samples") or "fused" in node.attrs:
        return node
    names = tuple(dict.fromkeys(_first_asked(program, node.bodies["sample"], set())))
    if not names:
        return node
    asked = ", ".join(f"`{name}`" for name in names)
    context.remark(
        graph.name,
        f"all samples call {asked} in one request",
        "repeating the prompt for each sample",
        node.span,
    )
    return replace(node, attrs={**node.attrs, "fused": names})


def _first_asked(program: ProgramGraph, graph: Graph, seen: set[str]) -> Iterator[str]:
    """Modules whose prompt depends only on the graph's inputs, not on any answer.

    Repeated calls of a graph have the same prompts, so each graph is entered once.
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
            case "samples" | "weigh":
                (body,) = node.bodies.values()
                yield from _first_asked(program, body, seen)
            case op if op in ATTEMPTS:
                yield from _first_asked(program, node.bodies[ATTEMPTS[op]], seen)
