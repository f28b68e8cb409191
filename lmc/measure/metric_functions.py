"""Metrics that are Python functions: their arguments, results and failures."""

from __future__ import annotations

import hashlib
import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.check.width import project
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.measure.text_rows import line_span
from lmc.runtime.failures import is_infrastructure
from lmc.runtime.loading import load_function
from lmc.source import Span
from lmc.tasks.foreign import TooLong, call_foreign, said
from lmc.types import BoolType, FloatType, RecordType, Type
from lmc.values import InvalidValue, to_python, validate

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

TIMEOUT_S = 600.0  # of one call
MOST_FEEDBACK = 10_000  # characters


Rewards = Mapping[str, float | None]  # by module; None: the result says nothing about it
_OWN_FIELDS = ("value", "feedback")  # of a record of rewards; all others name modules


@frozen
class Score:
    """The score of a result, and feedback for people and optimizers.

    `rewards` are what single modules deserve, where the metric tells them apart. All other modules
    deserve `value`.
    """

    value: float
    feedback: str = ""
    rewards: Rewards = field(default_factory=dict)


@frozen
class FunctionMetric:
    """A Python function `(gold, pred) -> bool | float | Score | dict | tuple`."""

    name: str
    function: Callable[..., Any]
    row: Type | None
    result: Type
    gives: Type | None = None  # where the program declares the metric

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Call the function. Raises: LmcError[metric-failed, bad-score], whatever it does."""
        judged = project(self.result, pred)
        call = partial(self.function, self._row(gold), to_python(self.result, judged))
        place = _defined_at(self.function)
        read = partial(to_score, self.name, place=place, gives=self.gives)
        try:
            return await call_foreign(call, read, TIMEOUT_S)
        except TooLong as problem:
            message = f"the metric `{self.name}` {problem}"
            raise LmcError.of("metric-failed", message, place) from None
        except Exception as problem:
            if isinstance(problem, LmcError) and _says_all(problem):
                raise
            message = f"the metric `{self.name}` raised {said(problem)}"
            raise LmcError.of(
                "metric-failed", message, _raised_at(problem, self.function)
            ) from problem

    def _row(self, gold: Mapping[str, Any]) -> Any:
        if self.row is None:
            return dict(gold)
        return to_python(self.row, fit_row(self.name, self.row, gold))


def _says_all(problem: LmcError) -> bool:
    """Whether a failure is lmc's own about this metric, or one of the surroundings.

    A metric may run other programs, whose budgets are not that of this run.
    """
    return is_infrastructure(problem) or (
        type(problem) is LmcError and bool(problem.diagnostics) and problem.code == "bad-score"
    )


def fit_row(name: str, type: Type, gold: Mapping[str, Any]) -> Any:
    """The fields of a row that a metric declares. Raises: LmcError[metric-failed]."""
    try:
        return validate(type, project(type, gold))
    except InvalidValue as problem:
        message = f"the row does not fit the metric `{name}`: {problem}"
        raise LmcError.of("metric-failed", message) from None


def function_metric(
    name: str,
    target: str,
    row: Type | None,
    result: Type,
    base_dir: Path | None,
    gives: Type | None = None,
    given: Callable[..., Any] | None = None,
) -> FunctionMetric:
    """Import a metric and check that it takes two arguments. `given` replaces the import.

    Raises: LmcError[tool-not-found, bad-metric].
    """
    function = given or load_function(target, base_dir, owner=f"the metric `{name}`")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as problem:
        message = f"`{target}` does not take a gold row and a prediction: {problem}"
        raise LmcError.of("bad-metric", message, _defined_at(function)) from None
    except ValueError:  # a function in C may have no signature
        pass
    return FunctionMetric(name, function, row, result, gives)


def code_digest(metric: Any) -> str | None:
    """The hash of the file with a metric's Python function; None for other metrics."""
    if not isinstance(metric, FunctionMetric):
        return None
    try:
        file = inspect.getsourcefile(inspect.unwrap(metric.function))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
    except (TypeError, OSError):  # written in C, or in a cell of a notebook
        return None


def to_score(name: str, value: Any, place: Span | None = None, gives: Type | None = None) -> Score:
    """The score from what a metric returned: a bool or a number, with or without feedback.

    A record of rewards that has no `value` of its own is worth their mean.
    Raises: LmcError[bad-score] for anything else, for numbers that are not finite, and for values
    that do not have the type that the metric declares (`gives`).
    """
    rewards = _rewards(value, gives)
    given, feedback = _parts(value, gives)
    if given is None and rewards:
        known = [reward for reward in rewards.values() if reward is not None]
        given = sum(known) / len(known) if known else 0.0
    number = _number(given)
    if number is None or not math.isfinite(number) or not _of_type(value, given, gives):
        wanted = _WANTED[type(gives)] if gives is not None else _WANTED[RecordType]
        message = f"the metric `{name}` returned {_shown(value)}, which is not {wanted}"
        raise LmcError.of("bad-score", message, place)
    if not all(reward is None or math.isfinite(reward) for reward in rewards.values()):
        message = f"the metric `{name}` gave rewards that are not finite numbers: {_shown(value)}"
        raise LmcError.of("bad-score", message, place)
    return Score(number, feedback[:MOST_FEEDBACK], rewards)


def _rewards(value: Any, gives: Type | None) -> dict[str, float | None]:
    """The rewards by module: the fields of a declared record, or what a function calls `rewards`.

    What is no number is not a number here either, so that it is found.
    """
    if isinstance(gives, RecordType):
        names = [f.name for f in gives.fields if f.name not in _OWN_FIELDS]
        found = {name: _field(value, name) for name in names}
    else:
        given = _field(value, "rewards")
        found = dict(given) if isinstance(given, Mapping) else {}
    return {str(name): None if r is None else _reward(r) for name, r in found.items()}


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _reward(given: Any) -> float:
    number = _number(given)
    return math.nan if number is None else number


_WANTED: Mapping[type[Type], str] = {
    BoolType: "a bool",
    FloatType: "a finite number",
    RecordType: "a finite number, a bool, or `Score(value, feedback)`",
}


def _number(given: Any) -> float | None:
    if isinstance(given, bool | int | float):
        return float(given)
    if isinstance(given, str) or not hasattr(given, "__float__"):
        return None
    try:
        return float(given)  # a number of numpy, for example
    except (TypeError, ValueError):  # an array
        return None


def _of_type(value: Any, given: Any, gives: Type | None) -> bool:
    """Whether a value is of the declared type; a `Score` may be any of the forms."""
    plain = given is value  # without a feedback
    truth = isinstance(given, bool) or type(given).__name__ in ("bool_", "bool")
    if isinstance(gives, BoolType):
        return plain and truth
    if isinstance(gives, FloatType):
        return plain and not truth
    return True


def _shown(value: Any) -> str:
    try:
        return repr(str(value)[:80])
    except Exception:
        return f"a Python {type(value).__name__}"


def _parts(value: Any, gives: Type | None = None) -> tuple[Any, str]:
    match value:
        case Mapping():
            # A field `score` of a record of rewards is the reward of a module of that name.
            other = None if isinstance(gives, RecordType) else value.get("score")
            return value.get("value", other), str(value.get("feedback") or "")
        case (given, feedback):
            return given, str(feedback or "")
        case _ if hasattr(value, "value") and not hasattr(value, "__float__"):
            return value.value, str(getattr(value, "feedback", "") or "")
        case _ if isinstance(gives, RecordType) and not hasattr(value, "__float__"):
            return None, str(getattr(value, "feedback", "") or "")
        case _:
            return value, ""


def _raised_at(problem: BaseException, function: Callable[..., Any]) -> Span | None:
    """The line of the metric's own file that raised."""
    place = _defined_at(function)
    path = place.source.path if place else None
    frames = traceback.extract_tb(problem.__traceback__)
    lines = [f.lineno for f in frames if f.filename == str(path) and f.lineno]
    return line_span(path, lines[-1]) if path and lines else place


def _defined_at(function: Callable[..., Any]) -> Span | None:
    try:
        file = inspect.getsourcefile(function)
        line = inspect.getsourcelines(function)[1]
    except (TypeError, OSError):
        return None
    return line_span(Path(file), line) if file else None
