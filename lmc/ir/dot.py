"""A program's graph as Graphviz DOT, and as SVG if the `dot` program is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

from lmc.diagnostics import LmcError
from lmc.ir.graph import ProgramGraph
from lmc.ir.palette import CLUSTERS, COLOURS
from lmc.ir.view import Box, Cluster, view

_SHAPES = {
    "input": "oval",
    "output": "oval",
    "if": "diamond",
    "tool": "component",
    "decide": "hexagon",
}
_FONT = 'fontname="Helvetica,Arial,sans-serif"'
_HEAD = (
    f'  graph [rankdir=TB, nodesep=0.35, ranksep=0.45, {_FONT}, fontcolor="#57606a", pad=0.3]',
    f'  node [shape=box, style="filled,rounded", {_FONT}, fontsize=11, margin="0.16,0.08"]',
    f'  edge [color="#6e7781", {_FONT}, fontsize=9, fontcolor="#57606a", arrowsize=0.7]',
)
TIMEOUT_S = 60


def to_dot(program: ProgramGraph, name: str | None = None) -> str:
    """The DOT text of one callable (default: `main`, else the last export)."""
    drawn = view(program, name)
    lines = ["digraph lmc {", *_HEAD, *_children(drawn.root, "  ")]
    for edge in drawn.edges:
        style = ', style=dashed, constraint=false, color="#afb8c1"' if edge.dashed else ""
        lines.append(f"  {edge.source} -> {edge.target} [label={json.dumps(edge.label)}{style}]")
    return "\n".join([*lines, "}"]) + "\n"


def to_svg(program: ProgramGraph, name: str | None = None) -> str:
    """The picture as SVG. Raises: LmcError[missing-program] without Graphviz."""
    found = shutil.which("dot")
    if found is None:
        help = "install Graphviz, or use --format mermaid"
        raise LmcError.of(
            "missing-program", "an SVG needs the program `dot` of Graphviz", help=help
        )
    done = subprocess.run(  # noqa: S603 - a fixed program, its input is text that lmc made
        [found, "-Tsvg"],
        input=to_dot(program, name),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        raise LmcError.of("missing-program", f"`dot` failed: {done.stderr.strip()[:300]}")
    return done.stdout


def _children(cluster: Cluster, indent: str) -> Iterator[str]:
    for child in cluster.children:
        if isinstance(child, Box):
            yield indent + _box(child)
        else:
            fill, line = CLUSTERS.get(child.kind, CLUSTERS["pipeline"])
            yield f"{indent}subgraph cluster_{child.id} {{"
            yield f"{indent}  label={json.dumps(child.label)}; labeljust=l; fontsize=10"
            yield f'{indent}  style="filled,rounded"; fillcolor="{fill}"; color="{line}"'
            yield from _children(child, indent + "  ")
            yield f"{indent}}}"


def _box(box: Box) -> str:
    fill, line = COLOURS[box.kind]
    label = box.label + (f"\n{box.note}" if box.note else "")
    shape = _SHAPES.get(box.kind, "box")
    style = ', style="filled"' if shape in ("diamond", "component", "hexagon") else ""
    paint = f'fillcolor="{fill}", color="{line}"{style}'
    return f"{box.id} [label={json.dumps(label)}, shape={shape}, {paint}]"
