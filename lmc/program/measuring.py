"""Measures a program on rows, for Python and for the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.measure.evaluate import Evaluation
from lmc.measure.evaluate import evaluate as evaluate_rows
from lmc.measure.results import ResultsFile, write_results
from lmc.measure.rows import RowFile, Rows
from lmc.options import takes
from lmc.program.options import EvaluateOptions
from lmc.program.program import Program, open_program
from lmc.program.task import Task, find_task
from lmc.redaction import logger
from lmc.requests.budget import Budget
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_async, run_sync

T = TypeVar("T")
_log = logger(__name__)


@takes(EvaluateOptions)
def evaluate(program: Program | str | Path, options: EvaluateOptions) -> Evaluation:
    """Measure a program on rows and return the scores, with statistics and usage.

    Options that are not given come from the program's `optimize` block. Raises: LmcError.
    """
    measurement = _prepare(program, options)
    return run_sync(_within_budget(measurement, measurement.evaluation))


@takes(EvaluateOptions)
async def aevaluate(program: Program | str | Path, options: EvaluateOptions) -> Evaluation:
    """Like `evaluate`, for coroutines on any event loop."""
    measurement = _prepare(program, options)
    return await run_async(_within_budget(measurement, measurement.evaluation))


def evaluate_into(
    path: Path, program: Program, started: Callable[[Task, Rows], None], options: EvaluateOptions
) -> ResultsFile:
    """Like `evaluate`, but write the results to a file.

    A whole file is measured without holding its rows in memory. `started` is called with the task
    and its rows after all checks. Raises: LmcError[cannot-write], and the errors of `evaluate`.
    """
    measurement = _prepare(program, options)
    started(measurement.task, measurement.rows)
    return run_sync(_within_budget(measurement, lambda runner: measurement.results(runner, path)))


@frozen
class _Measurement:
    """A task, its rows to measure, and the options."""

    task: Task
    rows: Rows
    options: EvaluateOptions

    def evaluation(self, executor: Executor) -> Awaitable[Evaluation]:
        """Evaluate with all results in memory."""
        task, progress = self.task, self.options.progress
        return evaluate_rows(executor, task.graph.name, self.rows, task.metric, progress=progress)

    def results(self, executor: Executor, path: Path) -> Awaitable[ResultsFile]:
        """Evaluate with all results in a file."""
        task, progress = self.task, self.options.progress
        return write_results(path, executor, task.graph.name, self.rows, task.metric, progress)


def _prepare(program: Program | str | Path, options: EvaluateOptions) -> _Measurement:
    """Find the task and its rows. Raises: LmcError[too-few-rows], and those of `find_task`."""
    task = find_task(open_program(program, options, options.speculate), options)
    rows, limit = task.data.part(options.part), options.limit
    rows = rows.head(limit) if isinstance(rows, RowFile) else tuple(rows)[:limit]
    if not len(rows):
        message = f"the data has no rows to measure `{task.graph.name}` on"
        raise LmcError.of("too-few-rows", message)
    return _Measurement(task, rows, options)


async def _within_budget(
    measurement: _Measurement, measure: Callable[[Executor], Awaitable[T]]
) -> T:
    """Measure. With a budget, use a separate pool."""
    program, budget = measurement.task.program, measurement.options.budget
    pool = program.open_pool(budget=Budget.within(budget)) if budget else program.pool
    try:
        executor = program.open_executor(pool, program.frozen_stores)
        for told in executor.preflight(measurement.task.graph.name):
            _log.warning("%s (%s)", told.message, told.help)
        return await measure(executor)
    finally:
        if pool is not program.pool:
            await pool.close()
