"""`lmc batch`: runs a program on many rows and writes the results to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.batch_api_options import batch_api_options
from lmc.cli.data_options import (
    budget_option,
    data_option,
    effects_option,
    limit_option,
    parse_budget,
)
from lmc.cli.eval import EvalView, print_failures
from lmc.cli.terminal import (
    cache_option,
    consent_options,
    console,
    count,
    model_option,
    on_option,
    program_argument,
    speculate_option,
    target_option,
    used,
)

if TYPE_CHECKING:
    from lmc.measure.results import ResultsFile
    from lmc.program.datasets import FolderFigures


@click.command("batch")
@program_argument
@target_option
@data_option
@click.option(
    "-o", "--out", required=True, metavar="PATH",
    help="File for the results: .jsonl, or .parquet. With --on, a folder FOLDER/ of Parquet files.",
)  # fmt: skip
@limit_option
@budget_option
@effects_option
@on_option
@batch_api_options
@model_option
@cache_option
@speculate_option
@consent_options
def command(
    program: Path,
    target: str | None,
    data: str | None,
    out: str,
    limit: int | None,
    budget: str | None,
    effects: bool,
    **loading: Any,
) -> None:
    """Run PROGRAM (.lmp or .lmpc) on rows, and write one result for each, in their order.

    With --on, a folder (FOLDER/, or an address such as s3://…) takes Parquet files of any size,
    which workers read, run and write.

    If a batch was stopped or killed, give the same command again: answers that were paid for come
    from the cache, and a folder goes on with the rows that are missing. The exit code is 1 if no
    row has a result.
    """
    from lmc.program.datasets import batch_into_folder
    from lmc.program.measuring import batch_into
    from lmc.program.options import EvaluateOptions
    from lmc.program.program import load

    found: ResultsFile | FolderFigures
    with load(program, **loading) as loaded, EvalView() as view:
        asked = EvaluateOptions(
            target=target,
            data=data,
            limit=limit,
            budget=parse_budget(budget),
            effects=effects,
            progress=view.row,
        )
        if _is_folder(out):
            found = batch_into_folder(out, loaded, view.expect, view.advance, asked)
        else:
            found = batch_into(Path(out), loaded, view.start, asked)
    _print_results(found, out)
    if found.failed == found.rows:
        sys.exit(1)


def _is_folder(out: str) -> bool:
    return out.endswith("/") or "://" in out or Path(out).is_dir()


def _print_results(found: ResultsFile | FolderFigures, out: str) -> None:
    screen = console()
    failed = f", {found.failed:,} of them without a result" if found.failed else ""
    screen.print(f"{count(found.rows, 'row')}{failed}")
    screen.print(used(found.usage))
    print_failures(screen, found)
    screen.print(f"wrote {out}", markup=False)
