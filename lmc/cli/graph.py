"""`lmc graph`: shows the execution graph as text or as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import FILE, program_argument, say

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph

FORMATS = ("text", "json", "mermaid", "dot", "svg")


@click.command("graph")
@program_argument
@click.option(
    "-f", "--format", "style", type=click.Choice(FORMATS),
    help="Format of the graph.  [default: by the suffix of OUT, else text]",
)  # fmt: skip
@click.option("-o", "--out", type=FILE, help="File to write.  [default: standard output]")
@click.option(
    "--passes/--no-passes", default=None,
    help="Show the graph after each of the compiler's passes; or only before all passes.",
)  # fmt: skip
@click.option("--explain", is_flag=True, help="Print what each pass changed and what it saves.")
@click.option(
    "--verify", is_flag=True,
    help="Check the graph against its specification before and after each pass.",
)  # fmt: skip
def command(
    program: Path,
    style: str | None,
    out: Path | None,
    passes: bool | None,
    explain: bool,
    verify: bool,
) -> None:
    """Show the execution graph of PROGRAM, after the compiler's passes."""
    from lmc.program.program import lower_file

    if verify:
        text = _verified(lower_file(program, passes=False))
    elif passes or explain:
        if program.suffix == ".lmpc":
            raise click.UsageError("an artifact holds only the graph after the passes")
        first = lower_file(program, passes=False)
        text = _explained(first) if explain else _each_pass(first, style or _style_of(out))
    else:
        graph = lower_file(program, passes=passes is None)
        text = render_graph(graph, style or _style_of(out))
    if out is None:
        say(text, raw=True)
    else:
        from lmc.files import write_atomically

        write_atomically(out, (text.rstrip("\n") + "\n").encode())


def render_graph(graph: ProgramGraph, style: str) -> str:
    """The graph in one of FORMATS. Raises: LmcError[missing-program] if SVG lacks `dot`."""
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


def _each_pass(graph: ProgramGraph, style: str) -> str:
    """The graph before the passes, then after each pass that changed it."""
    from lmc.passes.context import PassContext
    from lmc.passes.pipeline import steps

    parts, unchanged = [f"# before\n\n{render_graph(graph, style)}"], []
    for name, after in steps(graph, PassContext()):
        if after == graph:
            unchanged.append(name)
        else:
            parts.append(f"# {name}\n\n{render_graph(after, style)}")
        graph = after
    if unchanged:
        parts.append(f"# passes without effect: {', '.join(unchanged)}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts).rstrip("\n")


def _verified(graph: ProgramGraph) -> str:
    """Verify the graph before and after each pass. Raises: LmcError[broken-graph]."""
    from lmc.diagnostics import LmcError, error
    from lmc.ir.verify import GraphFault, verify
    from lmc.passes.context import PassContext
    from lmc.passes.pipeline import steps

    try:
        verify(graph, "before the passes")
        names = []
        for name, after in steps(graph, PassContext()):
            verify(after, f"after {name}")
            names.append(name)
    except GraphFault as fault:
        message = f"the graph breaks its specification {fault}"
        help = "this is a bug in lmc: please report it together with the program"
        raise LmcError(error("broken-graph", message, help=help)) from None
    return f"the graph keeps its specification before the passes and after {', '.join(names)}"


def _explained(graph: ProgramGraph) -> str:
    """What each pass changed and saves, by line, then the calls before and after."""
    from lmc.ir.cost import costs
    from lmc.passes.context import PassContext
    from lmc.passes.pipeline import steps

    context, lines = PassContext(), []
    after = graph
    for name, program in steps(graph, context):
        after = program
        for remark in context.remarks:
            place = (
                f" (line {remark.span.source.position(remark.span.start)[0]})"
                if remark.span
                else ""
            )
            lines.append(f"{name}: {remark.graph}{place}: {remark.change}; saves {remark.saves}")
        context.remarks.clear()
    before, since = costs(graph, after.exports), costs(after, after.exports)
    for name in after.exports:
        first, last = before[name].calls, since[name].calls
        if first != last:
            lines.append(f"{name}: at most {first:g} model calls before, {last:g} after")
    return "\n".join(lines) or "no pass changed the graph"
