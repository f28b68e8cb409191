"""`lmc graph`: the execution graph, as text or as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import FILE, program_argument

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph

FORMATS = ("text", "json", "mermaid", "dot", "svg")


@click.command("graph")
@program_argument
@click.option(
    "-f", "--format", "style", type=click.Choice(FORMATS), help="text, or by the suffix of OUT."
)
@click.option("-o", "--out", type=FILE, help="Write to a file.")
@click.option(
    "--passes/--no-passes", default=True, help="After the compiler's passes (on), or before."
)
def command(program: Path, style: str | None, out: Path | None, passes: bool) -> None:
    """Show the execution graph of PROGRAM."""
    from lmc.runtime.program import lower_file

    text = render_graph(lower_file(program, passes=passes), style or _style_of(out))
    if out is None:
        click.echo(text)
    else:
        from lmc.runtime.artifact import write_atomically

        write_atomically(out, (text.rstrip("\n") + "\n").encode())


def render_graph(graph: ProgramGraph, style: str) -> str:
    """The graph in one of FORMATS. Raises: LmcError[missing-program] where SVG needs `dot`."""
    from lmc.ir import dot, mermaid, printer, serialize

    views: dict[str, Callable[[ProgramGraph], str]] = {
        "text": printer.print_program,
        "json": lambda g: json.dumps(serialize.graph_to_json(g), indent=2, ensure_ascii=False),
        "mermaid": mermaid.to_mermaid,
        "dot": dot.to_dot,
        "svg": dot.to_svg,
    }
    return views[style](graph)


def _style_of(out: Path | None) -> str:
    suffixes = {".json": "json", ".mmd": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg"}
    return suffixes.get(out.suffix, "text") if out else "text"
