"""`lmc runs`: lists, resumes and deletes compilation runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.terminal import FILE, console, say
from lmc.diagnostics import LmcError

if TYPE_CHECKING:
    from lmc.optimizers.compilation.run_folder import RunFolder


@click.group("runs", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, resume and delete the compilation runs in `.lmc/runs`."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_runs)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_runs(*, as_json: bool = False) -> None:
    """List the runs. The latest comes first."""
    from lmc.optimizers.compilation.run_folder import kept_runs

    found = [_summary(folder) for folder in kept_runs()]
    if as_json:
        say(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        say("there are no runs here; `lmc compile` starts one")
        return
    from rich.markup import escape
    from rich.table import Table

    heads = ("run", "state", "score", "calls", "took", "last", "steps")
    rows = [_cells(run) for run in found]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, head in enumerate(heads):
        widest = max(len(head), *(len(row[i]) for row in rows)) if head != "steps" else None
        table.add_column(head, no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)


def _cells(run: Mapping[str, Any]) -> tuple[str, ...]:
    score = "" if run["after"] is None else f"{run['before']:.3f} -> {run['after']:.3f}"
    calls = "" if run["calls"] is None else f"{run['calls']:,}"
    took, last = f"{run['elapsed_s']:.0f} s", run["last"]
    return run["name"], run["state"], score, calls, took, last, run["steps"]


@command.command("resume")
@click.argument("run", type=FILE)
@click.pass_context
def resume(ctx: click.Context, run: Path) -> None:
    """Continue RUN with its original options."""
    from lmc.cli.compile import improve_and_print
    from lmc.optimizers.compilation.run_folder import find_run

    folder = find_run(run)
    call = folder.record().get("call")
    if not call:
        message = f"{folder.path} does not record the options that the run was started with"
        help = "it was started from Python, or with values that are not JSON"
        raise LmcError.of("no-run", message, help=f"{help}; make the same call again")
    improve_and_print(call.pop("program"), **call, run_dir=folder.path)


@command.command("delete")
@click.argument("runs", type=FILE, nargs=-1, required=True)
def delete(runs: tuple[Path, ...]) -> None:
    """Delete RUNS with the answers that they keep. Artifacts are not deleted."""
    from lmc.optimizers.compilation.run_folder import find_run

    for run in runs:
        folder = find_run(run)
        folder.delete()
        say(f"deleted {folder.path}")


def _summary(folder: RunFolder) -> dict[str, Any]:
    record, outcome = folder.whole_record() or {}, folder.outcome()
    identity: Mapping[str, Any] = record.get("identity", {})
    test = outcome.get("manifest", {}).get("test")
    last = time.strftime("%m-%d %H:%M", time.localtime(folder.changed_s))
    return {
        "name": folder.name,
        "state": folder.state,
        "target": identity.get("target"),
        "steps": " >> ".join(identity.get("steps", ())),
        "before": test["before"]["mean"] if test else None,
        "after": test["after"]["mean"] if test else None,
        "calls": record.get("used", {}).get("calls"),
        "elapsed_s": record.get("elapsed_s", 0.0),
        "last": last,
    }
