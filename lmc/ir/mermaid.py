"""A program's graph as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator

from lmc.ir.graph import ProgramGraph
from lmc.ir.palette import COLOURS
from lmc.ir.view import Box, Cluster, view

_SHAPES = {"input": ("([", "])"), "output": ("([", "])"), "if": ("{", "}"), "tool": ("[[", "]]")}


def to_mermaid(program: ProgramGraph, name: str | None = None) -> str:
    """The flowchart of one callable (default: `main`, else the last export)."""
    drawn = view(program, name)
    lines = ["flowchart TD", *_children(drawn.root, "  ")]
    for edge in drawn.edges:
        arrow = "-.->" if edge.dashed else "-->"
        label = f"|{_text(edge.label)}|" if edge.label else ""
        lines.append(f"  {edge.source} {arrow}{label} {edge.target}")
    for kind, (fill, line) in COLOURS.items():
        lines.append(f"  classDef {kind} fill:{fill},stroke:{line},color:#1b1f24")
    return "\n".join(lines) + "\n"


def _children(cluster: Cluster, indent: str) -> Iterator[str]:
    for child in cluster.children:
        if isinstance(child, Box):
            left, right = _SHAPES.get(child.kind, ("[", "]"))
            note = f"<br/><small>{_text(child.note)}</small>" if child.note else ""
            yield f'{indent}{child.id}{left}"{_text(child.label)}{note}"{right}:::{child.kind}'
        else:
            yield f'{indent}subgraph {child.id}["{_text(child.label)}"]'
            yield from _children(child, indent + "  ")
            yield f"{indent}end"


def _text(text: str) -> str:
    return (
        text.replace("&", "&amp;")
        .replace('"', "&quot;")
        .replace("<", "&lt;")
        .replace("|", "&#124;")
    )
