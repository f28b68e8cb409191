"""Guards: other metrics and other data on which a new result must not get worse.

A metric other than the one improved reveals reward hacking. Rows of an old task reveal forgetting.
The gate rejects a result that loses significantly on one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.measure.evaluate import RowResult
from lmc.optimizers.candidates.gate import GATE_LEVEL, compare, signed
from lmc.optimizers.candidates.trials import Trials
from lmc.program.task import Task, find_data, find_metric

if TYPE_CHECKING:
    from lmc.measure.metrics import Metric
    from lmc.measure.rows import Row
    from lmc.runtime.executor import Executor
    from lmc.runtime.parameters import Parameters


@frozen
class Guard:
    """Another metric on the same rows, or other rows under the same metric."""

    name: str
    metric: Metric | None = None
    rows: tuple[Row, ...] = ()


def find_guards(task: Task, names: Sequence[str]) -> tuple[Guard, ...]:
    """The guards with these names. Raises: LmcError[unknown-guard, row-mismatch]."""
    return tuple(_find(task, name) for name in names)


def _find(task: Task, name: str) -> Guard:
    target, data = task.target, task.data
    if name not in target.datasets:
        try:
            return Guard(name, metric=find_metric(target, data, name))
        except LmcError as problem:
            if problem.diagnostics[0].code != "unknown-metric":
                raise
            help = suggestion(name, [*target.datasets, *task.program.graph.metrics])
            message = f"the guard `{name}` is neither a metric nor a dataset"
            raise LmcError.of("unknown-guard", message, help=help) from None
    other = find_data(target, name, task.seed)
    if set(other.columns) != set(data.columns):
        have, need = ", ".join(other.columns), ", ".join(data.columns)
        message = f"the rows of the guard `{name}` have {have}; the metric needs {need}"
        raise LmcError.of("row-mismatch", message)
    return Guard(name, rows=tuple(other.part("dev" if other.declared_parts else "all")))


async def fallen(
    guards: Sequence[Guard],
    trials: Trials,
    judge: Executor,
    before: Parameters,
    after: Parameters,
    rows: Sequence[Row],
) -> list[str]:
    """The guards on which `after` loses significantly against `before`, in words.

    Raises: BudgetExceeded.
    """
    found = []
    for guard in guards:
        used = guard.rows or rows
        pair = await trials.results(f"guard {guard.name}", [before, after], used)
        if guard.metric is not None:
            pair = [await _scored_by(guard.metric, judge, results, used) for results in pair]
        comparison = compare(*pair, level=GATE_LEVEL)
        if comparison is not None and (d := comparison.difference).high < 0:
            found.append(
                f"{guard.name} falls by {-d.mean:.3f} on {d.rows} rows"
                f" (90 % interval of the gate {signed(d.low)} to {signed(d.high)})"
            )
    return found


async def _scored_by(
    metric: Metric, judge: Executor, results: Sequence[RowResult], rows: Sequence[Row]
) -> list[RowResult]:
    """The same results scored by another metric. Failed rows stay unchanged."""
    values = {row.id: row.values for row in rows}
    return [
        result
        if result.failed
        else replace(
            result, value=float((await metric.score(values[result.id], result.pred, judge)).value)
        )
        for result in results
    ]
