"""Measuring a program on rows: many at once, failures told apart, results in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmc.diagnostics import LmcError, error
from lmc.ir.graph import Graph
from lmc.runtime.budget import BudgetExceeded
from lmc.runtime.collecting import fewer_collections
from lmc.runtime.concurrency import for_all
from lmc.runtime.difficulty import Seat, seats
from lmc.runtime.failures import is_infrastructure, is_own
from lmc.runtime.statistics import mean_interval
from lmc.runtime.traces import Trace
from lmc.runtime.usage import Usage

if TYPE_CHECKING:
    from lmc.runtime.data import Row
    from lmc.runtime.executor import Executor
    from lmc.runtime.metrics import Metric

IN_FLIGHT = 512  # rows; requests are bounded by each model's own limit
Failed = Literal["", "model", "infrastructure", "metric"]


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row: its score, or why there is none.

    `failed` says what went wrong. "model": no usable answer, or a tool or an expression failed on
    it; the row scores 0. "infrastructure": no answer came; "metric": the metric failed; `value` is
    None then, and the row counts neither for nor against the program.
    """

    id: str
    value: float | None
    pred: Any = None
    feedback: str = ""
    error: str | None = None
    failed: Failed = ""
    usage: Usage = field(default_factory=Usage)
    trace: Trace | None = None

    def to_json(self) -> dict[str, Any]:
        """One line of a results file."""
        return {
            "id": self.id,
            "score": self.value,
            "pred": self.pred,
            "feedback": self.feedback,
            "failed": self.failed or None,
            "error": self.error,
            "calls": self.usage.calls,
            "tokens": self.usage.tokens,
            "cost_usd": self.usage.cost_usd,
            "seconds": round(self.usage.seconds, 3),
        }


@dataclass(frozen=True)
class Evaluation:
    """The results of all rows, in their order, and what they come to."""

    results: tuple[RowResult, ...]

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Scores of the rows that have one."""
        return tuple(r.value for r in self.results if r.value is not None)

    @property
    def mean(self) -> float | None:
        """Mean score; None where no row has one."""
        return sum(self.values) / len(self.values) if self.values else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean."""
        return mean_interval(self.values) if self.values else None

    @property
    def failed_model(self) -> int:
        """Rows that score 0 because the model gave no usable result."""
        return self._count("model")

    @property
    def failed_infrastructure(self) -> int:
        """Rows without a score because no answer came."""
        return self._count("infrastructure")

    @property
    def failed_metric(self) -> int:
        """Rows without a score because the metric failed."""
        return self._count("metric")

    @property
    def failed(self) -> int:
        """All rows that gave no result."""
        return sum(bool(r.failed) for r in self.results)

    @cached_property
    def usage(self) -> Usage:
        """Calls, tokens and cost of all rows."""
        return sum((r.usage for r in self.results), Usage())

    def write(self, path: Path) -> None:
        """Write one JSON line a row; the file appears whole or not at all."""
        from lmc.runtime.artifact import write_atomically

        lines = (json.dumps(r.to_json(), ensure_ascii=False) + "\n" for r in self.results)
        write_atomically(path, "".join(lines).encode())

    def _count(self, kind: Failed) -> int:
        return sum(r.failed == kind for r in self.results)


Progress = Callable[[RowResult], None]


async def evaluate(
    executor: Executor,
    target: str,
    rows: Sequence[Row],
    metric: Metric,
    *,
    progress: Progress | None = None,
    keep_traces: bool = False,
    sample: int = 0,
    in_flight: int = IN_FLIGHT,
) -> Evaluation:
    """Run a module or pipeline on all rows and score the results.

    `progress` is called as each row is done, in order of finishing. Traces are kept on request
    only: they hold every prompt. Raises: LmcError[budget-exceeded, missing-column], and what is
    wrong around the program, such as a tool that cannot be imported.
    """
    graph = executor.graph(target)
    _require_columns(graph, rows)
    in_batch = seats(executor.program, graph, len(rows), in_flight)

    async def one(number: int, row: Row) -> RowResult:
        trace = Trace()
        seat = in_batch(number)
        result = await _run_row(executor, graph, row, metric, trace, sample, seat)
        result = replace(result, usage=trace.usage, trace=trace if keep_traces else None)
        if progress is not None:
            progress(result)
        return result

    with fewer_collections():
        return Evaluation(tuple(await for_all(rows, one, in_flight=in_flight)))


def row_inputs(graph: Graph, values: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
    """What of a row the target may see: its parameters, the `train` ones while training only."""
    ports = (p for p in graph.inputs if p.name in values and (training or not p.train))
    return {p.name: values[p.name] for p in ports}


async def _run_row(
    executor: Executor,
    graph: Graph,
    row: Row,
    metric: Metric,
    trace: Trace,
    sample: int,
    seat: Seat | None,
) -> RowResult:
    inputs = row_inputs(graph, row.values, training=executor.training)
    try:
        pred = await executor.run(graph.name, inputs, trace=trace, sample=sample, seat=seat)
    except LmcError as failure:
        if is_infrastructure(failure):
            return RowResult(row.id, None, error=str(failure), failed="infrastructure")
        if is_own(failure):
            return RowResult(row.id, 0.0, error=str(failure), failed="model")
        raise
    try:
        score = await metric.score(row.values, pred, executor)
    except BudgetExceeded:
        raise
    except LmcError as failure:
        return RowResult(row.id, None, pred, error=str(failure), failed="metric")
    return RowResult(row.id, float(score.value), pred, score.feedback)


def _require_columns(graph: Graph, rows: Sequence[Row]) -> None:
    needed = [p for p in graph.inputs if not p.has_default and not p.train]
    missing = [p.name for p in needed if rows and p.name not in rows[0].values]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        columns = ", ".join(rows[0].values)
        message = (
            f"the rows have no column {names}, which `{graph.name}` takes; they have {columns}"
        )
        raise LmcError(error("missing-column", message, graph.span))
