"""`lmc compare`: improves programs by several optimizers and compares the results in a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.data_options import data_options, parse_budget
from lmc.cli.terminal import FILE, cache_option, consent_options, console, model_option, say

if TYPE_CHECKING:
    from rich.table import Table

    from lmc.optimizers.compilation.compare import Way

WAYS = ("bootstrap", "lora", "bootstrap >> lora", "lora >> distill")


@click.command("compare")
@click.argument("programs", type=FILE, nargs=-1, required=True)
@click.option(
    "--optimizer", "optimizers", metavar="STEPS", multiple=True,
    help='Optimizer to compare, such as "bootstrap(demos=4)". Write `>>` between steps. '
    f"Repeatable.  [default: {', '.join(WAYS)}]",
)  # fmt: skip
@click.option(
    "--out-dir", "folder", type=FILE,
    help="Folder to write the artifacts to.  [default: keep no artifacts]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@data_options
@model_option
@cache_option
@consent_options
def command(
    programs: tuple[Path, ...],
    optimizers: tuple[str, ...],
    budget: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Improve PROGRAMS by several optimizers and compare the results on the same test rows."""
    from lmc.cli.live import CompileView
    from lmc.optimizers.compilation.compare import compare

    screen, found = console(stderr=as_json), {}
    for program in programs:
        with CompileView(screen, brief=True) as view:
            found[program.name] = compare(
                program,
                optimizers or WAYS,
                budget=parse_budget(budget) or None,
                progress=view,
                **options,
            )
    if as_json:
        figures = {name: [_figures(way, ways) for way in ways] for name, ways in found.items()}
        say(json.dumps(figures, indent=2, ensure_ascii=False))
    else:
        screen.print(_table(found))


def _table(found: dict[str, list[Way]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("program and way", overflow="fold")
    for name, width in (("test score [95 %]", 20), ("gain", 11), ("calls/row", 9), ("took", 13)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for program, ways in found.items():
        table.add_row(f"[bold]{escape(program)}[/]")
        best = max((way.figure.mean for way in ways), default=0.0)
        for way in ways:
            figure, colour = way.figure, "green" if 0 < way.figure.mean == best else "default"
            table.add_row(
                f"  {escape(way.name.replace('()', ''))}",
                f"[{colour}]{figure.mean:.3f}[/] \\[{figure.low:.3f}, {figure.high:.3f}]",
                _signed(way.against(ways[0])) if way.result else "",
                f"{figure.calls:.3g}",
                f"{way.calls:,} / {way.seconds:.0f} s" if way.result else "",
            )
    table.caption = (
        "gain: difference from the program as written; n.s. (not significant) if the 95 % interval"
        " includes zero. took: calls and time of the improvement, without what an earlier way paid"
    )
    table.caption_justify = "left"
    return table


def _signed(gain: Any) -> str:
    if gain is None:
        return ""
    return f"{gain.mean:+.3f}" + ("" if gain.significant or not gain.mean else " n.s.")


def _figures(way: Way, ways: list[Way]) -> dict[str, Any]:
    gains = {other.name: way.against(other) for other in ways if other is not way}
    return {
        "way": way.name,
        **way.figure.model_dump(mode="json"),
        "improve_calls": way.calls,
        "improve_tokens": way.tokens,
        "improve_seconds": round(way.seconds, 1),
        "against": {name: d.model_dump(mode="json") for name, d in gains.items() if d},
    }
