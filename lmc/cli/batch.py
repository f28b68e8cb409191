"""`lmc batch`: runs a program on many rows and writes the results to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.data_options import (
    data_option,
    effects_option,
    limit_option,
    parse_budget,
)
from lmc.cli.terminal import (
    FILE,
    cache_option,
    consent_options,
    console,
    count,
    model_option,
    on_option,
    program_argument,
    retries,
    speculate_option,
    target_option,
)

if TYPE_CHECKING:
    from lmc.measure.results import ResultsFile


@click.command("batch")
@program_argument
@target_option
@data_option
@click.option(
    "-o", "--out", type=FILE, required=True,
    help="File for the results: .jsonl, or .parquet.",
)  # fmt: skip
@limit_option
@click.option(
    "--budget", metavar="LIMITS",
    help="Hard limits, such as calls=4000,tokens=1e6,usd=2,minutes=30.",
)  # fmt: skip
@effects_option
@on_option
@model_option
@cache_option
@speculate_option
@consent_options
def command(
    program: Path,
    target: str | None,
    data: str | None,
    out: Path,
    limit: int | None,
    budget: str | None,
    effects: bool,
    **loading: Any,
) -> None:
    """Run PROGRAM (.lmp or .lmpc) on rows, and write one result for each, in their order.

    If a batch was stopped or killed, give the same command again: answers that were paid for come
    from the cache. The exit code is 1 if no row has a result.
    """
    from lmc.cli.eval import EvalView
    from lmc.program.measuring import batch_into
    from lmc.program.options import EvaluateOptions
    from lmc.program.program import load

    with load(program, **loading) as loaded, EvalView() as view:
        asked = EvaluateOptions(
            target=target,
            data=data,
            limit=limit,
            budget=parse_budget(budget),
            effects=effects,
            progress=view.row,
        )
        found = batch_into(out, loaded, view.start, asked)
    _print_results(found, out)
    if found.failed == found.rows:
        sys.exit(1)


def _print_results(found: ResultsFile, out: Path) -> None:
    from rich.markup import escape

    screen, used = console(), found.usage
    failed = f", {found.failed:,} of them without a result" if found.failed else ""
    cached = f", {used.cached_calls:,} of them from the cache" if used.cached_calls else ""
    money = f", ${used.cost_usd:.4f}" if used.cost_usd else ""
    screen.print(f"{count(found.rows, 'row')}{failed}")
    calls, tokens = count(used.calls, "call"), count(used.tokens, "token")
    screen.print(f"{calls}{cached}, {tokens}{money}{retries(used.retries)}")
    for row in found.first_failures:
        told = escape(str(row.error))  # may contain what the model wrote
        screen.print(f"[yellow]row {escape(row.id)}[/] ({row.failed}): {told}")
    screen.print(f"wrote {out}")
