"""`lmc eval`: scores a program on rows and writes the result of every row to a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.batch_api_options import batch_api_options
from lmc.cli.data_options import (
    data_options,
    limit_option,
    parse_budget,
    rows_path,
    track_option,
)
from lmc.cli.terminal import (
    FILE,
    Finite,
    cache_option,
    consent_options,
    console,
    count,
    model_option,
    on_option,
    paint,
    program_argument,
    say,
    speculate_option,
    used,
)

if TYPE_CHECKING:
    from rich.console import Console

    from lmc.measure.evaluate import Figures, RowResult
    from lmc.measure.requirements import Requirement
    from lmc.measure.results import ResultsFile
    from lmc.measure.rows import Rows
    from lmc.program.datasets import FolderFigures
    from lmc.program.program import Program
    from lmc.program.task import Task


@click.command("eval")
@program_argument
@data_options
@click.option(
    "--split", "part", type=click.Choice(["train", "dev", "test", "all"]),
    help="Rows to use.  [default: test if the dataset has a split, else all]",
)  # fmt: skip
@limit_option
@click.option(
    "-o", "--out", type=FILE,
    help="File for the result of each row.  [default: PROGRAM with .results.jsonl]",
)  # fmt: skip
@click.option(
    "--fail-under", type=Finite(), metavar="SCORE", help="Fail if the score is below SCORE."
)
@click.option(
    "--against",
    type=FILE,
    metavar="BASE",
    help="Fail if the score is significantly worse than that of BASE on the same rows: a program, "
    "an artifact, or a file of results.",
)
@click.option(
    "--margin",
    type=Finite(0),
    metavar="M",
    help="With --against: fail too if the score is lower by more than M.",
)
@track_option
@click.option("--junit", type=FILE, metavar="FILE", help="Write what passed and failed as JUnit.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@on_option
@batch_api_options
@model_option
@cache_option
@speculate_option
@consent_options
def command(
    program: Path,
    budget: str | None,
    out: Path | None,
    fail_under: float | None,
    against: Path | None,
    margin: float | None,
    junit: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure PROGRAM (.lmp or .lmpc) on rows against a metric.

    Options that are not given come from the `optimize` block of the program. The exit code is 0 if
    all is well, 1 if no row gets a score or a requirement does not hold, 2 for wrong usage.
    """
    from lmc.program.measuring import evaluate_against
    from lmc.program.options import EvaluateOptions, LoadOptions
    from lmc.program.program import load

    if margin is not None and against is None:
        raise click.UsageError("--margin needs --against BASE")
    loading = [field.name for field in fields(LoadOptions) if field.name in options]
    opened = load(program, **{name: options.pop(name) for name in loading})
    with opened as loaded, EvalView() as view:
        options["metric"] = _metric(loaded, options["metric"], options["target"])
        target = out or rows_path(program)
        asked = EvaluateOptions(budget=parse_budget(budget), progress=view.row, **options)
        found, base = evaluate_against(target, loaded, against, view.start, asked)
        view.compare(target)
    required = [*_requirements(found, base, target, fail_under, against, margin)]
    if as_json:
        told = {"requirements": [_as_json(one) for one in required]} if required else {}
        say(json.dumps(figures(found) | told, indent=2, ensure_ascii=False))
    else:
        _print(found, view, target)
        _print_requirements(required)
    if junit is not None:
        _write_junit(junit, f"lmc eval {program}", found, required)
    if not found.values or not all(one.holds for one in required):
        sys.exit(1)


def _requirements(
    found: ResultsFile,
    base: dict[str, float],
    results: Path,
    floor: float | None,
    against: Path | None,
    margin: float | None,
) -> Iterator[Requirement]:
    """What was asked of the measurement, and whether it holds."""
    from lmc.measure.requirements import at_least, no_loss
    from lmc.measure.results import read_results

    if floor is not None:
        yield at_least(found, floor)
    if against is not None:
        scored = ((line["id"], line["score"]) for line in read_results(results))
        yield no_loss(base, scored, str(against), margin)


def _as_json(required: Requirement) -> dict[str, Any]:
    return {"name": required.name, "holds": required.holds, "words": required.words}


def _print_requirements(required: Sequence[Requirement]) -> None:
    for one in required:
        mark = paint("pass", "green") if one.holds else paint("FAIL", "red", "bold")
        say(f"{mark}  {one.name}: {one.words}")
        for loss in one.losses:
            say(f"      {loss}")


def _write_junit(
    path: Path, name: str, found: ResultsFile, required: Sequence[Requirement]
) -> None:
    """One test for the measurement as such, and one for each requirement."""
    from lmc.cli.junit import JunitCase, JunitSuite, write_junit

    nothing = "" if found.values else "nothing was measured: no row has a score"
    failures = [f"row {row.id} ({row.failed}): {row.error}" for row in found.first_failures]
    cases = [JunitCase("rows were measured", nothing, "\n".join(failures), "error")]
    for one in required:
        problem = "" if one.holds else one.words
        cases.append(JunitCase(one.name, problem, "\n".join((one.words, *one.losses))))
    write_junit(path, [JunitSuite(name, cases, figures(found))])


def _metric(program: Program, named: str | None, target: str | None) -> Any:
    """The named metric. `preference` becomes an object, because it needs a model to ask."""
    from lmc.program.task import find_target, metric_name

    chosen = find_target(program, target)
    if metric_name(chosen, named) != "preference":
        return named
    from lmc.optimizers.assistant.preference import against_as_written

    return against_as_written(program, chosen.graph)


class EvalView:
    """A progress bar on standard error while rows are run."""

    def __init__(self) -> None:
        from rich.progress import Progress

        self.progress = Progress(console=console(stderr=True), transient=True)
        self.bar = self.progress.add_task("rows", total=None)
        self.agreement = ""  # how far the judging model agrees with the labels

    def __enter__(self) -> EvalView:
        if self.progress.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.progress.console.is_terminal:  # else it would print an empty line
            self.progress.stop()

    def start(self, task: Task, rows: Rows) -> None:
        """Take the task and its rows. Everything is checked, and the rows are about to run."""
        self.task, self.rows = task, rows
        self.expect(len(rows))

    def expect(self, rows: int) -> None:
        """So many rows are about to run."""
        self.progress.update(self.bar, total=rows)

    def advance(self, rows: int) -> None:
        """Count rows that are done."""
        self.progress.advance(self.bar, rows)

    def compare(self, results: Path) -> None:
        """If a model judged and the rows have labels, compute how far the two agree."""
        from lmc.program.agreement import judge_agreement

        self.agreement = str(judge_agreement(self.task, self.rows, results) or "")

    def row(self, result: RowResult) -> None:
        """Count a row that is done."""
        self.advance(1)


def figures(found: Figures) -> dict[str, Any]:
    """The figures of an evaluation, ready for JSON."""
    low, high = found.interval or (None, None)
    return {
        "score": found.mean,
        "low": low,
        "high": high,
        "rows": found.rows,
        "failed": found.failed,
        "failed_model": found.failed_model,
        "failed_infrastructure": found.failed_infrastructure,
        "failed_metric": found.failed_metric,
        "calls": found.usage.calls,
        "cached_calls": found.usage.cached_calls,
        "tokens": found.usage.tokens,
        "cost_usd": found.usage.cost_usd,
        "seconds": found.usage.seconds,
        "retries": found.usage.retries,
    }


def _print(found: ResultsFile, view: EvalView, path: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    low, high = found.interval or (0.0, 0.0)
    score = "none" if found.mean is None else f"{found.mean:.3f}"
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row(
        escape(view.task.metric.name),
        f"[bold]{score}[/]  (95 % interval {low:.3f} to {high:.3f})",
    )
    if view.agreement:
        table.add_row("judge", view.agreement)
    table.add_row("rows", f"{len(found.values):,} scored" + _failures(found))
    table.add_row("used", used(found.usage))
    screen.print(table)
    print_failures(screen, found)
    screen.print(f"wrote {path}", markup=False)


def print_failures(screen: Console, found: ResultsFile | FolderFigures) -> None:
    """Print the first rows without a result, and how many more there are."""
    from rich.markup import escape

    for row in found.first_failures:
        told = escape(str(row.error))  # may contain what the model wrote
        screen.print(f"[yellow]row {escape(row.id)}[/] ({row.failed}): {told}")
    if more := found.failed - len(found.first_failures):
        screen.print(f"and {count(more, 'more failure')}")


def _failures(found: Figures) -> str:
    parts = [
        (found.failed_model, "without a usable answer (they score 0)"),
        (found.failed_infrastructure, "without any answer (they do not count)"),
        (found.failed_metric, "on which the metric failed (they do not count)"),
    ]
    return "".join(f", {n:,} {words}" for n, words in parts if n)
