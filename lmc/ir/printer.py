"""Graphs as text for people and golden tests: one node per line, bodies indented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lmc.check.program import Choice
from lmc.ir.graph import Graph, Node, Offer, ProgramGraph, Slots

# Attributes that are not printed if they have these values.
_PLAIN = {
    "free": (), "min_agree": None, "normalize": False, "stop_early": None, "message": None,
}  # fmt: skip


def print_program(program: ProgramGraph) -> str:
    """All graphs of a program, including those of its tests and metrics, and its tools."""
    tools = [f"tool {t.name} from {json.dumps(t.target)}" for t in program.tools.values()]
    tests = [t.graph for t in program.tests]
    return "\n\n".join([*tools, *map(print_graph, (*program.graphs.values(), *tests))]) + "\n"


def print_graph(graph: Graph) -> str:
    """One graph: its signature, then its nodes."""
    return "\n".join([f"{graph.kind} {_signature(graph)}", *_lines(graph, "  ")])


def _signature(graph: Graph) -> str:
    inputs = ", ".join(f"{'train ' if p.train else ''}{p.name}: {p.type}" for p in graph.inputs)
    name = json.dumps(graph.name) if graph.kind == "test" else graph.name
    return f"{name}({inputs}) -> {graph.result}"


def _lines(graph: Graph, indent: str) -> Iterator[str]:
    for node in graph.nodes:
        yield f"{indent}{_line(node)}"
        for name, body in node.bodies.items():
            inputs = ", ".join(p.name for p in body.inputs)
            yield f"{indent}  {name}({inputs}):"
            yield from _lines(body, indent + "    ")


def _line(node: Node) -> str:
    if node.op == "return":
        return f"return {node.inputs[0]}"
    words = [node.op if node.op != "op" else node.attrs["fn"], *_attributes(node)]
    if node.inputs:
        words.append(f"({', '.join(node.inputs)})")
    return f"{node.id} = {' '.join(words)} : {node.type}"


def _attributes(node: Node) -> Iterator[str]:
    for key, value in node.attrs.items():
        if key == "fn" or (key in _PLAIN and value == _PLAIN[key]):
            continue
        if key in ("name", "target", "role"):
            yield str(value)
        elif key == "value":
            yield json.dumps(value, ensure_ascii=False)
        elif key == "choice":
            yield _shown(value)
        elif isinstance(value, Slots):
            yield from _slots(value)
        else:
            yield f"{key}={_shown(value)}"


def _slots(slots: Slots) -> Iterator[str]:
    yield f"module={slots.module}"
    for key, value in slots.settings.items():
        if key != "template":
            yield f"{key}={_shown(value)}"
    if slots.demos:
        yield f"examples={len(slots.demos)}"


def _shown(value: Any) -> str:
    match value:
        case Choice():
            return f"tune[{', '.join(_shown(option) for option in value.options)}]"
        case tuple() | list():
            return f"[{','.join(_shown(item) for item in value)}]"
        case Offer():
            return value.name
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
