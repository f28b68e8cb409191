"""Measures a program on rows, for Python and for the command line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.graph import Graph
from lmc.ir.serialize import graph_to_json
from lmc.measure.evaluate import (
    UNSCORED,
    Evaluation,
    RowResult,
    evaluate_each,
    require_columns,
)
from lmc.measure.evaluate import evaluate as evaluate_rows
from lmc.measure.metric_functions import Score
from lmc.measure.metrics import Metric
from lmc.measure.results import ResultsFile, read_results, write_results
from lmc.measure.rows import Rows, SourceRows
from lmc.measure.sources import FileRows, parts
from lmc.measure.text_rows import NoRows
from lmc.options import takes
from lmc.program.options import EvaluateOptions
from lmc.program.program import Program, load, open_program
from lmc.program.task import Task, acting_tools, find_task
from lmc.program.tracking import TrackedEvaluation
from lmc.redaction import logger
from lmc.requests.budget import Budget
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_async, run_sync
from lmc.telemetry.tracking import CallersRun, callers_run

T = TypeVar("T")
_log = logger(__name__)


@takes(EvaluateOptions)
def evaluate(program: Program | str | Path, options: EvaluateOptions) -> Evaluation:
    """Measure a program on rows and return the scores, with statistics and usage.

    Options that are not given come from the program's `optimize` block. Raises: LmcError.
    """
    measurement = _prepare(program, options)
    with measurement.tracked(callers_run()) as tracked:
        found = run_sync(_within_budget(measurement, measurement.evaluation))
        tracked.found(found)
    return found


@takes(EvaluateOptions)
async def aevaluate(program: Program | str | Path, options: EvaluateOptions) -> Evaluation:
    """Like `evaluate`, for coroutines on any event loop."""
    measurement, parent = _prepare(program, options), callers_run()
    if options.track is None:
        return await run_async(_within_budget(measurement, measurement.evaluation))

    def measure() -> Evaluation:  # in a thread: a server of runs may be slow
        with measurement.tracked(parent) as tracked:
            found = run_sync(_within_budget(measurement, measurement.evaluation))
            tracked.found(found)
        return found

    return await asyncio.to_thread(measure)


def evaluate_into(
    path: Path, program: Program, started: Callable[[Task, Rows], None], options: EvaluateOptions
) -> ResultsFile:
    """Like `evaluate`, but write the results to a file.

    A whole file is measured without holding its rows in memory. `started` is called with the task
    and its rows after all checks. Raises: LmcError[cannot-write], and the errors of `evaluate`.
    """
    return evaluate_against(path, program, None, started, options)[0]


def batch_into(
    path: Path, program: Program, started: Callable[[Task, Rows], None], options: EvaluateOptions
) -> ResultsFile:
    """Run a program on rows and write the results to a file. Nothing is scored.

    Raises: LmcError, as `evaluate_into`.
    """
    unscored = replace(options, metric=UNSCORED, part=options.part or "all")
    measurement = _prepare(program, unscored)
    task, rows, progress = measurement.task, measurement.rows, options.progress
    _require_other(path, task)

    async def run(executor: Executor) -> ResultsFile:
        name = task.graph.name
        return await write_results(
            path, executor, name, rows, UNSCORED, progress,
            scored=False, journaled=measurement.journaled,
        )  # fmt: skip

    started(task, rows)
    return run_sync(_within_budget(measurement, run))


def evaluate_against(
    path: Path,
    program: Program,
    base: Path | None,
    started: Callable[[Task, Rows], None],
    options: EvaluateOptions,
) -> tuple[ResultsFile, dict[str, float]]:
    """Like `evaluate_into`, and measure a `base` on the same rows: its scores by the rows' ids.

    The base is a program or an artifact, with the same options and within the same budget; the
    metric of the program judges both. It can also be a file of results, which calls no model.
    Raises: LmcError, before the first call if the base cannot be measured.
    """
    measurement = _prepare(program, options)
    _require_other(path, measurement.task)
    earlier = _earlier(base, measurement) if base is not None else None

    async def measure() -> tuple[ResultsFile, dict[str, float]]:
        budget = measurement.budget()
        async with running(program, measurement.task.graph.name, budget) as executor:
            found = await measurement.results(executor, path)
            return found, await earlier(executor, budget) if earlier is not None else {}

    with measurement.tracked(callers_run()) as tracked:
        started(measurement.task, measurement.rows)
        found, scores = run_sync(measure())
        tracked.found(found, path)
    return found, scores


Earlier = Callable[[Executor, Budget | None], Awaitable[dict[str, float]]]


def _earlier(base: Path, measurement: _Measurement) -> Earlier:
    """How to get the scores of a base."""
    if base.suffix not in (".lmp", ".lmpc"):
        scores = _read_scores(base)

        async def read(executor: Executor, budget: Budget | None) -> dict[str, float]:
            return scores

        return read
    task, rows = measurement.task, measurement.rows
    opened = load(base, **vars(task.program.options))
    graph = opened.target(task.graph.name).graph
    require_columns(graph, rows)

    async def run(executor: Executor, budget: Budget | None) -> dict[str, float]:
        kept: dict[str, float] = {}

        def keep(number: int, result: RowResult) -> None:
            if result.value is not None:
                kept[result.id] = result.value

        judge = _JudgedBy(task.metric, executor)
        async with running(opened, graph.name, budget) as own:
            await evaluate_each(own, graph.name, rows, judge, keep)
        return kept

    return run


def _read_scores(path: Path) -> dict[str, float]:
    """The scores in a file of results, by the ids of the rows. Raises: LmcError[bad-results]."""
    try:
        lines = list(read_results(path))
        return {line["id"]: float(line["score"]) for line in lines if line["score"] is not None}
    except OSError as problem:
        message = f"cannot read {path}: {problem.strerror or problem}"
        raise LmcError.of("cannot-read", message) from None
    except (ValueError, KeyError, TypeError, NoRows):
        message = f"{path} is not a file of results"
        help = "give a program (.lmp), an artifact (.lmpc), or what `lmc eval -o FILE` wrote"
        raise LmcError.of("bad-results", message, help=help) from None


@frozen
class _JudgedBy:
    """A metric of one program that judges another one: its modules run in its own program."""

    metric: Metric
    executor: Executor

    @property
    def name(self) -> str:
        return self.metric.name

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        return await self.metric.score(gold, pred, self.executor)


@frozen
class _Measurement:
    """A task, its rows to measure, and the options."""

    task: Task
    rows: Rows
    options: EvaluateOptions

    def tracked(self, parent: CallersRun | None) -> TrackedEvaluation:
        """What tells a tracking tool. It may wait for a server. Raises: LmcError."""
        return TrackedEvaluation(self.task, self.rows, self.options, parent)

    def budget(self) -> Budget | None:
        """The budget of the whole measurement."""
        return Budget.within(self.options.budget) if self.options.budget else None

    def evaluation(self, executor: Executor) -> Awaitable[Evaluation]:
        """Evaluate with all results in memory."""
        task, progress = self.task, self.options.progress
        return evaluate_rows(executor, task.graph.name, self.rows, task.metric, progress=progress)

    def results(self, executor: Executor, path: Path) -> Awaitable[ResultsFile]:
        """Evaluate with all results in a file."""
        task, progress = self.task, self.options.progress
        return write_results(
            path, executor, task.graph.name, self.rows, task.metric, progress,
            journaled=self.journaled,
        )  # fmt: skip

    @property
    def journaled(self) -> tuple[str, ...]:
        """What is measured, if its rows are journalled: those that have effects."""
        program, graph, metric = self.task.program, self.task.graph, self.task.metric
        if not acting_tools(program.graph, graph, [metric.name]):
            return ()
        return (*what_runs(program, graph), metric.name)


def what_runs(program: Program, graph: Graph) -> tuple[str, ...]:
    """What makes the results of a target what they are, but for the rows."""
    text = json.dumps(graph_to_json(program.graph), sort_keys=True, default=str)
    models = repr((program.options.model, program.options.base_url))
    return text, repr(program.parameters), models, graph.name


def _prepare(program: Program | str | Path, options: EvaluateOptions) -> _Measurement:
    """Find the task and its rows. Raises: LmcError[too-few-rows], and those of `find_task`."""
    task = find_task(open_program(program, options, options.speculate), options)
    rows, limit = task.data.part(options.part), options.limit
    rows = rows.head(limit) if isinstance(rows, SourceRows) else tuple(rows)[:limit]
    if not len(rows):
        message = f"the data has no rows to measure `{task.graph.name}` on"
        raise LmcError.of("too-few-rows", message)
    return _Measurement(task, rows, options)


def _require_other(path: Path, task: Task) -> None:
    """See that results do not replace the rows or the program. Raises: LmcError[cannot-write]."""
    rows, program = task.data.rows, task.graph.span and task.graph.span.source.path
    sources = parts(rows.source) if isinstance(rows, SourceRows) else ()
    read = [source.path for source in sources if isinstance(source, FileRows)]
    for other in [*read, *([program] if program else [])]:
        with suppress(OSError):  # there is no such file yet
            if os.path.samefile(path, other):
                message = f"the results would replace `{path}`, which is read"
                raise LmcError.of("cannot-write", message, help="name another file")


async def _within_budget(
    measurement: _Measurement, measure: Callable[[Executor], Awaitable[T]]
) -> T:
    """Measure. With a budget, use a separate pool."""
    task, budget = measurement.task, measurement.budget()
    async with running(task.program, task.graph.name, budget) as executor:
        return await measure(executor)


@asynccontextmanager
async def running(program: Program, target: str, budget: Budget | None) -> AsyncIterator[Executor]:
    """An executor of a program, which keeps nothing. With a budget it has a pool of its own."""
    pool = program.open_pool(budget=budget) if budget else program.pool
    try:
        executor = program.open_executor(pool, program.frozen_stores)
        for told in executor.preflight(target):
            _log.warning("%s (%s)", told.message, told.help)
        yield executor
    finally:
        if pool is not program.pool:
            await pool.close()
