"""Evaluation: runs a program on many rows at once and scores the results, in order."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lmc.check.width import project
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.graph import Graph
from lmc.measure.metric_functions import Rewards, Score
from lmc.measure.statistics import mean_interval
from lmc.requests.budget import BudgetExceeded
from lmc.requests.usage import Usage
from lmc.runtime.failures import is_infrastructure, is_own
from lmc.runtime.traces import Trace
from lmc.runtime.votes.difficulty import Seat, seats
from lmc.tasks.garbage import fewer_collections
from lmc.tasks.together import for_each

if TYPE_CHECKING:
    from pathlib import Path

    from lmc.measure.metrics import Metric
    from lmc.measure.rows import Row, Rows
    from lmc.runtime.executor import Executor

IN_FLIGHT = 512  # rows at a time; each model has its own limit of requests
SHOWN_ROWS = 20  # in a notebook
Failed = Literal["", "model", "infrastructure", "metric", "row"]


@frozen
class RowResult:
    """The score of one row, or the reason why it has none.

    `failed` is the kind of failure. "model": the answer was unusable, or a tool or an expression
    failed on it; the row scores 0. "infrastructure": no model answered. "metric": the metric
    failed. "row": the row does not have the type of the inputs. In the last three cases `value` is
    None and the row does not count. `rewards` are by module, where the metric tells modules apart.
    """

    id: str
    value: float | None
    pred: Any = None
    feedback: str = ""
    error: str | None = None
    failed: Failed = ""
    usage: Usage = field(default_factory=Usage)
    trace: Trace | None = None
    kept: tuple[tuple[str, Any], ...] = ()  # what the run would keep in which store
    rewards: Rewards = field(default_factory=dict)

    def line(self, *, scored: bool = True) -> bytes:
        """One line of a results file, as JSON."""
        text = json.dumps(self.as_json(scored=scored), ensure_ascii=False) + "\n"
        return text.encode("utf-8", "backslashreplace")  # half a surrogate pair of a row

    def as_json(self, *, scored: bool = True) -> dict[str, Any]:
        """The contents of a line of a results file."""
        return {
            "id": self.id,
            **({"score": self.value} if scored else {}),
            "pred": self.pred,
            **({"feedback": self.feedback} if scored else {}),
            "failed": self.failed or None,
            "error": self.error,
            "calls": self.usage.calls,
            "tokens": self.usage.tokens,
            "cost_usd": self.usage.cost_usd,
            "seconds": round(self.usage.seconds, 3),
            **({"retries": self.usage.retries} if self.usage.retries else {}),
            **({"rewards": dict(self.rewards)} if self.rewards else {}),
        }


class Figures(ABC):
    """The figures of an evaluation."""

    rows: int

    @property
    @abstractmethod
    def values(self) -> Sequence[float]:
        """Scores of the rows that have one."""

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """Calls, tokens and cost of all rows."""

    @abstractmethod
    def failures(self, kind: Failed) -> int:
        """The number of rows with this kind of failure."""

    @property
    def mean(self) -> float | None:
        """The mean score; None if no row has a score."""
        return sum(self.values) / len(self.values) if self.values else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean."""
        return mean_interval(self.values) if self.values else None

    @property
    def failed_model(self) -> int:
        """The number of rows that score 0 because the model gave no usable result."""
        return self.failures("model")

    @property
    def failed_infrastructure(self) -> int:
        """The number of rows without a score because no model answered."""
        return self.failures("infrastructure")

    @property
    def failed_metric(self) -> int:
        """The number of rows without a score because the metric failed."""
        return self.failures("metric")

    @property
    def failed(self) -> int:
        """The number of all failed rows."""
        return self.failed_model + self.failed_infrastructure + self.failed_metric


class Evaluation(Figures):
    """The results of all rows, in their order, with their figures."""

    def __init__(self, results: tuple[RowResult, ...]) -> None:
        self.results, self.rows = results, len(results)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Scores of the rows that have one."""
        return tuple(r.value for r in self.results if r.value is not None)

    @cached_property
    def usage(self) -> Usage:
        """Calls, tokens and cost of all rows."""
        return sum((r.usage for r in self.results), Usage())

    def failures(self, kind: Failed) -> int:
        """The number of rows with this kind of failure."""
        return sum(r.failed == kind for r in self.results)

    def _repr_html_(self) -> str:
        """The figures and the first rows, those without a score first, for notebooks."""
        from lmc import html

        head, low = f"{self.mean:.3f}" if self.mean is not None else "no score", self.interval
        words = f"<b>{head}</b>" + (f" (95 % interval {low[0]:.3f} to {low[1]:.3f})" if low else "")
        used = self.usage
        words += f" on {len(self.values)} rows, {self.failed} failed, {used.calls:,} calls"
        ordered = sorted(self.results, key=lambda row: (row.value is not None, row.value or 0.0))
        rows = (
            (
                html.text(row.id),
                "" if row.value is None else f"{row.value:.3f}",
                html.value(row.pred) if row.error is None else html.text(row.error),
                html.text(row.feedback),
            )
            for row in ordered[:SHOWN_ROWS]
        )
        return f"<p>{words}</p>" + html.table(("row", "score", "result", "feedback"), rows)

    def write(self, path: Path) -> None:
        """Write one JSON line for each row. The file is written whole or not at all."""
        from lmc.files import write_atomically

        write_atomically(path, b"".join(result.line() for result in self.results))


Progress = Callable[[RowResult], None]
Take = Callable[[int, RowResult], None]  # a result with the number of its row


async def evaluate(
    executor: Executor,
    target: str,
    rows: Rows,
    metric: Metric,
    *,
    progress: Progress | None = None,
    keep_traces: bool = False,
    sample: int = 0,
    in_flight: int = IN_FLIGHT,
) -> Evaluation:
    """Run a module or pipeline on all rows and score the results.

    `progress` is called when a row is done, in the order of finishing. Traces contain every prompt,
    so they are kept only if `keep_traces` is set. Raises: LmcError[budget-exceeded,
    missing-column], and mistakes in the setting of the program, such as a missing tool.
    """
    results: dict[int, RowResult] = {}
    await evaluate_each(
        executor,
        target,
        rows,
        metric,
        results.__setitem__,
        progress=progress,
        keep_traces=keep_traces,
        sample=sample,
        in_flight=in_flight,
    )
    return Evaluation(tuple(results[number] for number in range(len(results))))


@frozen
class UnscoredRow:
    """The metric of runs that nobody scores."""

    name: str

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """A run that came to its end."""
        return Score(1.0)


UNSCORED = UnscoredRow("nothing")


class Finished(Protocol):
    """Results of rows that an earlier run finished, by their ids."""

    def finished(self, id: str) -> RowResult | None:
        """The result of a row, if there is one."""

    def keep(self, result: RowResult) -> None:
        """Keep a result for the next run."""


async def evaluate_each(
    executor: Executor,
    target: str,
    rows: Rows,
    metric: Metric,
    take: Take,
    *,
    progress: Progress | None = None,
    keep_traces: bool = False,
    sample: int = 0,
    in_flight: int = IN_FLIGHT,
    journal: Finished | None = None,
) -> None:
    """Like `evaluate`, but pass each result to `take` when it is done, and keep none.

    Rows that a `journal` has are not run.
    """
    graph, count = executor.graph(target), len(rows)
    in_flight = max(in_flight, executor.in_flight)
    require_columns(graph, rows)
    in_batch = seats(executor.program, graph, count, in_flight)

    async def one(number: int, row: Row) -> None:
        result, seat = journal.finished(row.id) if journal else None, in_batch(number)
        if result is not None and seat is not None:
            seat.leave()  # or the others would wait for it
        if result is None:
            trace = Trace(brief=not keep_traces)
            result = await _run_row(executor, graph, row, metric, trace, sample, seat)
            held = trace if keep_traces else None
            result = replace(result, usage=trace.usage, trace=held, kept=tuple(trace.kept))
            if journal is not None:
                journal.keep(result)
        take(number, result)
        if progress is not None:
            progress(result)

    with fewer_collections():
        await for_each(rows, one, in_flight=min(count, in_flight))


def row_inputs(graph: Graph, values: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
    """What of a row the target may see: its parameters, the `train` ones while training only.

    A record of the row has the fields of the parameter's type: others may tell the label.
    """
    ports = (p for p in graph.inputs if p.name in values and (training or not p.train))
    return {p.name: project(p.type, values[p.name]) for p in ports}


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
    rewards = getattr(score, "rewards", {})  # which metrics of an application may lack
    return RowResult(row.id, float(score.value), pred, score.feedback, rewards=rewards)


def require_columns(graph: Graph, rows: Rows) -> None:
    """See that the rows have what a target takes. Raises: LmcError[missing-column]."""
    first = next(iter(rows), None)
    needed = [p for p in graph.inputs if not p.has_default and not p.train]
    missing = [p.name for p in needed if first and p.name not in first.values]
    if first and missing:
        names = ", ".join(f"`{name}`" for name in missing)
        columns = ", ".join(first.values)
        message = (
            f"the rows have no column {names}, which `{graph.name}` takes; they have {columns}"
        )
        raise LmcError.of("missing-column", message, graph.span)
