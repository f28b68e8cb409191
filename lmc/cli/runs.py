"""`lmc runs`: the runs of compilations that are kept here."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from lmc.cli.terminal import FILE, console, say
from lmc.diagnostics import LmcError, did_you_mean, error


@click.group("runs", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, resume and delete the runs of compilations (`.lmc/runs`)."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_runs)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_runs(*, as_json: bool = False) -> None:
    """List the runs, the latest first."""
    found = [_summary(folder) for folder in _folders()]
    if as_json:
        say(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        say("no runs are kept here; `lmc compile` makes one")
        return
    from rich.table import Table

    heads = ("run", "state", "score", "calls", "took", "last", "steps")
    rows = [_cells(run) for run in found]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, head in enumerate(heads):
        widest = max(len(head), *(len(row[i]) for row in rows)) if head != "steps" else None
        table.add_column(head, no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*row)
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
    """Go on with a run that was stopped or killed, with the options it was begun with."""
    from lmc.cli.compile import improve_and_print
    from lmc.optimizers.compilation.history import read_record

    folder = find_run(run)
    call = read_record(folder).get("call")
    if not call:
        message = f"{folder} does not say how it was begun"
        help = "it was begun from Python, or with values that cannot be written down"
        raise LmcError(error("no-run", message, help=f"{help}; make the same call again"))
    improve_and_print(**call, run_dir=folder)


@command.command("delete")
@click.argument("runs", type=FILE, nargs=-1, required=True)
def delete(runs: tuple[Path, ...]) -> None:
    """Delete runs with the answers they keep; artifacts stay."""
    from lmc.optimizers.compilation.journal import Journal

    for run in runs:
        folder = find_run(run)
        Journal.require_free(folder)
        shutil.rmtree(folder)
        say(f"deleted {folder}")


def find_run(run: Path) -> Path:
    """The folder of a run: itself, or by its name or the beginning of it. Raises: LmcError."""
    if (run / "run.json").exists():
        return run
    names = [folder.name for folder in _folders()]
    fitting = [name for name in names if name.startswith(str(run))]
    if len(fitting) == 1:
        return _home() / fitting[0]
    if fitting:
        message = f"`{run}` is the beginning of {len(fitting)} runs: {', '.join(fitting)}"
        raise LmcError(error("no-run", message, help="write more of the name"))
    near = did_you_mean(str(run), names)
    help = f"did you mean `{near}`?" if near else "`lmc runs` lists them"
    raise LmcError(error("no-run", f"there is no run `{run}`", help=help))


def _home() -> Path:
    from lmc.optimizers.compilation.journal import RUNS_DIR

    return RUNS_DIR


def _folders() -> Iterator[Path]:
    """The folders of the runs, the latest first."""
    found = [record.parent for record in _home().glob("*/run.json")]
    yield from sorted(found, key=lambda f: -(f / "run.json").stat().st_mtime)


def _summary(folder: Path) -> dict[str, Any]:
    from lmc.optimizers.compilation.history import read_outcome, read_record
    from lmc.optimizers.compilation.journal import Journal

    record, outcome = read_record(folder), read_outcome(folder)
    identity: Mapping[str, Any] = record.get("identity", {})
    test = outcome.get("manifest", {}).get("test")
    state = record.get("state", "?")
    if state == "running" and Journal.is_free(folder):
        state = "killed"
    last = time.strftime("%m-%d %H:%M", time.localtime((folder / "run.json").stat().st_mtime))
    return {
        "name": folder.name,
        "state": state,
        "target": identity.get("target"),
        "steps": " >> ".join(identity.get("steps", ())),
        "before": test["before"]["mean"] if test else None,
        "after": test["after"]["mean"] if test else None,
        "calls": record.get("used", {}).get("calls"),
        "elapsed_s": record.get("elapsed_s", 0.0),
        "last": last,
    }
