"""`lmc compile`: improves a program against a metric and writes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.batch_api_options import batch_api_options
from lmc.cli.data_options import data_options, parse_budget, track_option
from lmc.cli.terminal import (
    FILE,
    cache_option,
    consent_options,
    console,
    model_option,
    on_option,
    program_argument,
    used,
)

if TYPE_CHECKING:
    from lmc.optimizers.compilation.result import CompileResult


@click.command("compile")
@program_argument
@click.option("-o", "--out", type=FILE, help="Artifact to write.  [default: PROGRAM with .lmpc]")
@data_options
@click.option(
    "--optimizer", metavar="STEPS",
    help='Optimizer to use, such as "bootstrap(demos=4)". Write `>>` between steps.',
)  # fmt: skip
@click.option("--objective", help='Score minus cost of a row to maximize: "accuracy - 0.1 * usd".')
@click.option(
    "--guard", "guards", multiple=True,
    help="Metric or dataset on which the score must not get worse. Repeatable.",
)  # fmt: skip
@click.option(
    "--accept", type=click.Choice(["proven", "better"]), default="proven", show_default=True,
    help="Gain to accept: one proven on held-out rows, or any gain on dev rows.",
)  # fmt: skip
@click.option(
    "--confirm-samples", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Runs of each held-out row. More show smaller gains of models that sample.",
)  # fmt: skip
@click.option(
    "--with-stores", is_flag=True,
    help="Put what the stores of PROGRAM hold into the artifact, for stores that hold nothing yet.",
)  # fmt: skip
@track_option
@click.option("--run-dir", type=FILE, help="Folder of the run.  [default: .lmc/runs/…]")
@click.option("--fresh", is_flag=True, help="Start a new run instead of continuing an earlier one.")
@on_option
@batch_api_options
@model_option
@cache_option
@consent_options
def command(
    program: Path,
    out: Path | None,
    budget: str | None,
    fresh: bool,
    **options: Any,
) -> None:
    """Improve PROGRAM against a metric and write an artifact.

    Options that are not given come from the `optimize` block of the program. If a run was stopped
    or killed, give the same command again: the run continues and pays for no call twice.
    """
    improve_and_print(
        program,
        out=out or program.with_suffix(".lmpc"),
        budget=parse_budget(budget) or None,
        resume=not fresh,
        **options,
    )


def improve_and_print(program: Path | str, **options: Any) -> None:
    """Compile with a live view, and print the outcome."""
    from lmc.cli.live import CompileView
    from lmc.optimizers.compilation.compile import compile as improve

    with CompileView(console()) as view:
        result = improve(program, progress=view, **options)
    if result.tracked is not None:
        _track_report(result)
    print_result(result)


def _track_report(result: CompileResult) -> None:
    """Add the page about the run to that of a tracking tool."""
    from lmc.files import write_atomically
    from lmc.optimizers.compilation.run_folder import RunFolder
    from lmc.report.page import report_page

    folder, run = RunFolder(result.run_dir), result.tracked
    assert run is not None
    write_atomically(folder.report, report_page(folder).encode(), private=True)
    run.file(folder.report)
    run.settle()


def print_result(result: CompileResult) -> None:
    """Print the outcome: a table of figures, the verdict, the cost and the files."""
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    head, *rows = result.table()
    table = Table(*head, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(escape, row))
    screen.print()
    if rows:
        screen.print(table)
        screen.print()
    style = "bold green" if result.improved else "bold yellow"
    screen.print(result.verdict(), style=style, markup=False)
    for note in result.notes:
        screen.print(f"note: {note}", style="dim", markup=False)
    screen.print(f"{used(result.used)}, {result.used.elapsed_s:.0f} s")
    screen.print(f"wrote {result.path}; the run is in {result.run_dir}", markup=False)
