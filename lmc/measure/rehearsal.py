"""Trying a metric on the rows' own answers, before a model is asked for any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph
from lmc.measure.metric_functions import FunctionMetric
from lmc.measure.metrics import GOLD_NAMES, Metric, WeightedMetric
from lmc.types import RecordType
from lmc.values import InvalidValue, validate

if TYPE_CHECKING:
    from lmc.measure.rows import Row


async def rehearse(metric: Metric, target: Graph, rows: Sequence[Row]) -> None:
    """Call the Python functions of a metric with the right answers of a few rows.

    Rows that hold no answer of the target's type are left out. A function that fails on all the
    others would fail on all that a model says, too.
    Raises: LmcError[no-scores].
    """
    for function in _functions(metric):
        problems: list[LmcError] = []
        tried = 0
        for row in rows:
            answer = _answer(target, row.values)
            if answer is None:
                continue
            tried += 1
            try:
                await function.score(row.values, answer)
            except LmcError as problem:
                problems.append(problem)
        if problems and len(problems) == tried:
            first = problems[0].diagnostics[0]
            message = f"the metric fails on the rows' own answers: {first.message}"
            raise LmcError.of("no-scores", message, *first.labels)


def _functions(metric: Metric) -> Iterator[FunctionMetric]:
    if isinstance(metric, FunctionMetric):
        yield metric
    elif isinstance(metric, WeightedMetric):
        for _, part in metric.parts:
            yield from _functions(part)


def _answer(target: Graph, values: Mapping[str, Any]) -> Any:
    """The right answer to a row as the target would give it; None where the row tells none."""
    if isinstance(target.result, RecordType):
        given: Any = {f.name: values[f.name] for f in target.result.fields if f.name in values}
    else:
        given = next((values[name] for name in GOLD_NAMES if name in values), None)
    try:
        return validate(target.result, given) if given else None
    except InvalidValue:
        return None
