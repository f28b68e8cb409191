"""Constant folding: computes operations on constants and removes branches that are never taken.

An operation that would fail is not folded, so that it fails where the reader expects it. The
operands of an assertion are not folded either, because a failed assertion shows both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lmc.canonical import canonical
from lmc.ir.functions import function_of
from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph, reading, splice, with_nodes

MOST_CHARS = 10_000  # of a folded constant


def constant_folding(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Fold within each graph."""
    return every_graph(program, lambda graph: _fold(graph, context))


def _fold(graph: Graph, context: PassContext) -> Graph:
    graph = every_body(graph, lambda body: _fold(body, context))
    known: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    asserted = {id for node in graph.nodes if node.op == "assert" for id in node.inputs}
    for node in graph.nodes:
        node = reading(node, renamed)
        if node.op == "cond" and node.inputs[0] in known:
            renamed[node.id] = _take_branch(node, known[node.inputs[0]], nodes, known)
            words = "removed a branch that is never taken"
            context.remark(graph.name, words, "a decision", node.span)
            continue
        folded = node if node.id in asserted else _computed(node, known)
        if folded is not node:
            words = f"computed `{node.attrs['fn']}` of constants"
            context.remark(graph.name, words, "an operation", node.span)
        if folded.op == "const":
            known[folded.id] = folded.attrs["value"]
        nodes.append(folded)
    return with_nodes(graph, nodes)


def _computed(node: Node, known: Mapping[str, Any]) -> Node:
    if node.op != "op" or not all(id in known for id in node.inputs):
        return node
    try:
        value = function_of(node)(*(known[id] for id in node.inputs))
        short = len(canonical(value)) <= MOST_CHARS
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return node
    return replace(node, op="const", inputs=(), attrs={"value": value}) if short else node


def _take_branch(node: Node, taken: bool, nodes: list[Node], known: dict[str, Any]) -> str:
    """Replace the condition by the branch that is taken. Returns the id of its value."""

    def add(inner: Node) -> None:
        inner = _computed(inner, known)
        if inner.op == "const":
            known[inner.id] = inner.attrs["value"]
        nodes.append(inner)

    given = dict(zip(node.attrs["free"], node.inputs[1:]))
    return splice(node.bodies["then" if taken else "otherwise"], given, node.id, add)
