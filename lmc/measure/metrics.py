"""Metrics score rows. They are built in, declared in the program, or Python functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lmc.check.width import project
from lmc.consent import OWN, Consent
from lmc.diagnostics import LmcError, error, suggestion
from lmc.frozen import frozen
from lmc.ir.graph import DeclaredMetric, Graph, ProgramGraph
from lmc.measure.comparisons import COMPARISONS, Compare
from lmc.measure.metric_functions import (
    FunctionMetric,
    Rewards,
    Score,
    fit_row,
    function_metric,
    to_score,
)
from lmc.types import RecordType, Type

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

GOLD_NAMES = ("answer", "label", "result", "target")
_TERM = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)\s*\*)?\s*([A-Za-z_][^+*]*?)\s*")
_WEIGHTED = re.compile(rf"{_TERM.pattern}(?:\+{_TERM.pattern})+|\s*[\d.]+\s*\*[^+*]+")
_SPEC = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(\s*([^()]*?)\s*\))?\s*")


class Metric(Protocol):
    """Scores predictions."""

    @property
    def name(self) -> str:
        """The metric as the user wrote it."""
        ...

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score one row. Raises: LmcError[metric-failed] if the metric itself fails."""
        ...


def resolve_metric(
    spec: str,
    program: ProgramGraph,
    target: Graph,
    columns: Sequence[str],
    *,
    row_type: RecordType | None = None,
    base_dir: Path | None = None,
    executor: Executor | None = None,
    consent: Consent = OWN,
) -> Metric:
    """Find a metric, before the first model call.

    `spec` is a metric of the program, `accuracy`, `f1`, `contains` or `numeric` (with the field
    that counts: `accuracy(answer)`), a Python function `pkg.mod:fn`, or several with weights:
    `2 * accuracy(answer) + f1(reason)`, which gives their weighted mean. `columns` are the fields
    of the rows; with `row_type` a Python function is given typed rows, else dicts. One that the
    program declares runs where `consent` says so; `spec` itself is the user's word.
    Raises: LmcError[unknown-metric, metric-field, tool-not-found, bad-metric, tool-not-allowed].
    """
    if _WEIGHTED.fullmatch(spec):
        options: Any = {
            "row_type": row_type, "base_dir": base_dir, "executor": executor, "consent": consent,
        }  # fmt: skip
        terms = (_TERM.fullmatch(term) for term in spec.split("+"))
        parts = ((term[1], term[2]) for term in terms if term)
        return WeightedMetric(
            spec,
            tuple(
                (float(w or 1), resolve_metric(name.strip(), program, target, columns, **options))
                for w, name in parts
            ),
        )
    if declared := program.metrics.get(spec):
        return _declared(declared, base_dir, executor, consent)
    if ":" in spec:
        return function_metric(spec, spec, row_type, target.result, base_dir)
    found = _SPEC.fullmatch(spec)
    if not found or found[1] not in COMPARISONS:
        raise LmcError(_unknown(spec, program))
    gold = [name for name in columns if name not in {p.name for p in target.inputs}]
    pairs = _fields(spec, found[2], target.result, gold)
    return FieldMetric(spec, COMPARISONS[found[1]], pairs)


@frozen
class WeightedMetric:
    """The weighted mean of several metrics. The feedback contains the score of each."""

    name: str
    parts: tuple[tuple[float, Metric], ...]

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score one row by all of them. Raises: LmcError[metric-failed]."""
        total, told, parts = 0.0, [], []
        for weight, metric in self.parts:
            found = await metric.score(gold, pred, executor)
            parts.append((weight, found))
            total += weight * found.value
            words = f"{metric.name} {found.value:g}"
            told.append(f"{words} ({found.feedback})" if found.feedback else words)
        weights = sum(weight for weight, _ in self.parts)
        value = total / weights if weights else 0.0
        return Score(value, "; ".join(told), _weighted_rewards(parts, weights))


def _weighted_rewards(parts: Sequence[tuple[float, Score]], weights: float) -> Rewards:
    """The weighted means of the rewards; a part without one gives its whole score."""
    modules = dict.fromkeys(name for _, score in parts for name in score.rewards)
    found: dict[str, float | None] = {}
    for name in modules:
        given = [(weight, score.rewards.get(name, score.value)) for weight, score in parts]
        if any(reward is None for _, reward in given) or not weights:
            found[name] = None
        else:
            found[name] = sum(weight * (reward or 0.0) for weight, reward in given) / weights
    return found


@frozen
class FieldPair:
    """A field of the gold row, and the field of the result to compare it with."""

    gold: str
    pred: str | None  # None: the whole result
    type: Type


@frozen
class FieldMetric:
    """Compares fields of the result with fields of the row. The score is the mean."""

    name: str
    comparison: Compare
    fields: tuple[FieldPair, ...]

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score one row. Raises: LmcError[metric-failed] if the row lacks the gold field."""
        values, remarks = [], []
        for pair in self.fields:
            if pair.gold not in gold:
                raise LmcError.of("metric-failed", f"the row has no field `{pair.gold}`")
            wanted, got = (
                gold[pair.gold],
                pred if pair.pred is None else (pred or {}).get(pair.pred),
            )
            values.append(self.comparison(wanted, got, pair.type))
            if values[-1] < 1:
                place = f"{pair.pred}: " if pair.pred else ""
                remarks.append(f"{place}expected {_shown(wanted)}, got {_shown(got)}")
        return Score(sum(values) / len(values), "; ".join(remarks))


@frozen
class GraphMetric:
    """A metric written in the program."""

    name: str
    declared: DeclaredMetric
    executor: Executor | None = field(default=None, repr=False)

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Run the metric's graph. Raises: LmcError."""
        runs = executor or self.executor
        if runs is None:
            raise LmcError.of("metric-failed", f"nothing runs the metric `{self.name}`")
        row, result = self.declared.inputs
        given = fit_row(self.name, row.type, gold)
        judged = project(result.type, pred)
        value = await runs.run(self.name, {row.name: given, result.name: judged})
        return to_score(self.name, value, gives=self.declared.result)


def _declared(
    metric: DeclaredMetric, base_dir: Path | None, executor: Executor | None, consent: Consent
) -> GraphMetric | FunctionMetric:
    if metric.target is None:
        return GraphMetric(metric.name, metric, executor)
    consent.require_functions({metric.name: metric.target})
    row, result = (port.type for port in metric.inputs)
    given = consent.functions.get(metric.name)
    if isinstance(given, Sequence):
        message = f"the metric `{metric.name}` is one function, not a list of them"
        raise LmcError.of("bad-metric", message)
    gives = metric.result
    return function_metric(metric.name, metric.target, row, result, base_dir, gives, given)


# --- which fields are compared ---


def _fields(
    spec: str, named: str | None, result: Type, gold: Sequence[str]
) -> tuple[FieldPair, ...]:
    names = [n.strip() for n in (named or "").split(",") if n.strip()]
    if names:
        return tuple(_named_field(spec, name, result, gold) for name in names)
    if not isinstance(result, RecordType):
        return (FieldPair(_gold_field(spec, gold), None, result),)
    shared = tuple(FieldPair(f.name, f.name, f.type) for f in result.fields if f.name in gold)
    if shared:
        return shared
    have = f"`{result}` and the rows ({', '.join(gold) or 'inputs only'})"
    help = f"name the field to compare, such as `{spec}(answer)`"
    message = f"`{spec}` finds no common field of {have}"
    raise LmcError.of("metric-field", message, help=help)


def _named_field(spec: str, name: str, result: Type, gold: Sequence[str]) -> FieldPair:
    if name not in gold:
        raise _no_field(f"`{spec}`: the rows have no label `{name}`", name, gold)
    if not isinstance(result, RecordType):
        return FieldPair(name, None, result)
    own = result.get(name)
    if own is None:
        known = [f.name for f in result.fields]
        raise _no_field(f"`{spec}`: `{result}` has no field `{name}`", name, known)
    return FieldPair(name, name, own.type)


def _gold_field(spec: str, gold: Sequence[str]) -> str:
    known = [name for name in GOLD_NAMES if name in gold]
    if known or len(gold) == 1:
        return (known or gold)[0]
    have = f"besides inputs they have {', '.join(gold)}" if gold else "they have only inputs"
    help = f"name the field, such as `{spec}({gold[0]})`" if gold else None
    message = f"`{spec}` cannot decide which field of the rows is the answer: {have}"
    raise LmcError.of("metric-field", message, help=help)


def _no_field(message: str, name: str, known: Sequence[str]) -> LmcError:
    help = suggestion(name, known, f"the fields are {', '.join(known)}" if known else None)
    return LmcError.of("metric-field", message, help=help)


def _unknown(spec: str, program: ProgramGraph) -> Any:
    known = [*program.metrics, *COMPARISONS]
    otherwise = f"the metrics are {', '.join(known)}, and Python functions `pkg.mod:fn`"
    help = suggestion(spec.partition("(")[0], known, otherwise)
    return error("unknown-metric", f"there is no metric `{spec}`", help=help)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:199] + "…"
