"""`lmc traces`: lists, shows and exports the traces in the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lmc.cli.terminal import FILE, Finite, console, count, paint, say

if TYPE_CHECKING:
    from lmc.runtime.traces import CallTrace
    from lmc.traces.store import Run

F = TypeVar("F", bound=Callable[..., Any])
_TEXT_WIDTH = 160

store_option = click.option(
    "--store", metavar="URL",
    help="File or SQLAlchemy URL of the store.  [default: LMC_TRACES, else .lmc/traces.db]",
)  # fmt: skip


def filters(command: F) -> F:
    """Add the options that choose runs."""
    options = (
        click.option("--job", help="Job (compilation or evaluation) of the runs."),
        click.option("--target", help="Module or pipeline that was run."),
        click.option("--module", help="Only runs that call this module, and only its calls."),
        click.option("--row", help="Id of the row."),
        click.option("--stage", help="Stage of the job, such as `final test`."),
        click.option("--min-score", type=Finite(), help="Lowest score to include."),
        click.option("--max-score", type=Finite(), help="Highest score to include."),
        click.option(
            "--failed/--not-failed",
            default=None,
            help="Only runs that failed, or only runs with a result.",
        ),
        click.option(
            "--limit", type=click.IntRange(1), metavar="N", help="Use only the first N runs."
        ),
        store_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("traces")
def command() -> None:
    """List, show and export the traces of compilations: every call of every run."""


@command.command("list")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_jobs(store: str | None, as_json: bool) -> None:
    """List the jobs in the store."""
    from dataclasses import asdict
    from datetime import datetime

    from rich.markup import escape
    from rich.table import Table

    from lmc.traces.store import TraceStore

    with closing(TraceStore(store)) as opened:
        jobs = opened.jobs()
    if as_json:
        say(json.dumps([asdict(job) for job in jobs], indent=2, ensure_ascii=False))
        return
    if not jobs:
        say("there are no traces yet; `lmc compile` writes them")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", no_wrap=True)
    table.add_column("target")
    for name in ("runs", "rows", "score", "calls", "tokens", "last"):
        table.add_column(name, justify="right")
    for job in jobs:
        score = "" if job.mean_score is None else f"{job.mean_score:.3f}"
        figures = (job.runs, job.rows, score, job.calls, job.tokens)
        last = datetime.fromtimestamp(job.created).strftime("%m-%d %H:%M")
        shown = (f"{x:,}" if isinstance(x, int) else x for x in figures)
        table.add_row(escape(job.job), job.target, *shown, last)
    console().print(table)


@command.command()
@filters
def show(module: str | None, **where: Any) -> None:
    """Show runs with their calls: inputs, outputs, scores and feedback.

    Without --limit, show 10 runs.
    """
    found = 0
    for run in _runs(module=module, **({"limit": 10} | _given(where))):
        found += 1
        _print_run(run, module)
    if not found:
        say("no run matches")


@command.command()
@filters
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "chat", "pairs"]), default="jsonl",
    show_default=True,
    help="jsonl: whole runs; chat: chats for fine-tuning; pairs: preference pairs.",
)  # fmt: skip
@click.option(
    "--select", type=click.Choice(["threshold", "best", "majority", "votes"]),
    help="Runs to write. threshold: those that score at least --min-score, or else 1; best: the "
    "best run of each row; majority: runs that agree with the majority of their row; votes (for "
    "pairs): majority against minority of each vote.  [default: all runs]",
)  # fmt: skip
@click.option("-o", "--out", type=FILE, help="File to write.  [default: standard output]")
def export(
    module: str | None, form: str, select: str | None, out: Path | None, **where: Any
) -> None:
    """Write runs as JSON lines, to study or to train on elsewhere."""
    from lmc.files import write_atomically

    where = _given(where)
    at_least = where.pop("min_score", None) if form == "pairs" else where.get("min_score")
    runs = list(_runs(module=module, **where))
    lines = _lines(runs, module, form, select, 1.0 if at_least is None else at_least)
    text = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    if out is None or str(out) == "-":
        say("".join(text), nl=False, raw=True)
    else:
        write_atomically(out, "".join(text).encode())
        say(f"wrote {count(len(text), 'line')} from {count(len(runs), 'run')} to {out}")


@command.command()
@click.argument("job")
@store_option
def remove(job: str, store: str | None) -> None:
    """Delete all runs of JOB and the calls that its optimizers made."""
    from lmc.optimizers.compilation.recording import forget
    from lmc.traces.store import TraceStore

    with closing(TraceStore(store)) as opened:
        say(f"{count(forget(opened, job), 'run')} removed")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _runs(*, store: str | None = None, **where: Any) -> Iterator[Run]:
    from lmc.traces.store import Filter, TraceStore

    with closing(TraceStore(store)) as opened:
        yield from opened.runs(Filter(**where))


def _lines(
    runs: list[Run], module: str | None, form: str, select: str | None, at_least: float
) -> Iterable[dict[str, Any]]:
    from lmc.traces import export as lines
    from lmc.traces import selectors

    if form == "pairs":
        by_votes = select == "votes"
        pairs = (
            selectors.vote_pairs(runs) if by_votes else selectors.right_wrong_pairs(runs, at_least)
        )
        return lines.pair_lines(pairs, module)
    match select:
        case "threshold":
            runs = selectors.threshold(runs, at_least)
        case "best":
            runs = selectors.best(runs, 1)
        case "majority":
            runs = selectors.majority(runs)
        case "votes":
            raise click.UsageError("--select votes writes pairs: add --format pairs")
    return lines.chat_lines(runs, module) if form == "chat" else map(lines.run_line, runs)


def _print_run(run: Run, module: str | None) -> None:
    score = "failed" if run.failed else "no score" if run.score is None else f"{run.score:g}"
    colour = "green" if run.score == 1 else "yellow" if run.score else "red"
    say(paint(f"row {run.row}", "bold"), nl=False)
    sample = f", sample {run.sample}" if run.sample else ""
    say(f"  {run.target}, {run.stage}{sample}  " + paint(score, colour))
    say(f"  result  {_short(run.pred)}")
    if run.feedback or run.error:
        say(f"  said    {_short(run.error or run.feedback)}")
    for call in run.trace.calls:
        if module in (None, call.module):
            _print_call(call)
    say()


def _print_call(call: CallTrace) -> None:
    depth = "  " * len(call.place)
    weights = f" + {call.adapter}" if call.adapter else ""
    tokens = count(call.usage.tokens, "token")
    say(f"{depth}{paint(call.module, 'cyan')} {call.id}  {call.model}{weights}, {tokens}")
    for field, value in call.inputs.items():
        say(f"{depth}  {field} = {_short(value)}")
    for field, value in (call.outputs or {}).items():
        say(f"{depth}  -> {field} = {_short(value)}")
    if call.error:
        say(paint(f"{depth}  {call.error}", "red"))


def _short(value: Any) -> str:
    text = " ".join(json.dumps(value, ensure_ascii=False).split())
    return text if len(text) <= _TEXT_WIDTH else text[: _TEXT_WIDTH - 1] + "…"
