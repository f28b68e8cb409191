"""Metrics that are Python functions: what they are given, may give back, and how they fail."""

from __future__ import annotations

import hashlib
import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.check.width import project
from lmc.diagnostics import LmcError, error
from lmc.frozen import frozen
from lmc.measure.rows import line_span
from lmc.runtime.tools import load_function
from lmc.source import Span
from lmc.tasks.together import in_thread
from lmc.types import Type
from lmc.values import InvalidValue, to_python, validate

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


@frozen
class Score:
    """How good a result is, and what a person or an optimizer may learn from it."""

    value: float
    feedback: str = ""


@frozen
class FunctionMetric:
    """A Python function `(gold, pred) -> bool | float | Score | dict | tuple`."""

    name: str
    function: Callable[..., Any]
    row: Type | None
    result: Type

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Call the function in a thread. Raises: LmcError[metric-failed, bad-score]."""
        typed = self._row(gold), to_python(self.result, project(self.result, pred))
        try:
            if inspect.iscoroutinefunction(self.function):
                value = await self.function(*typed)
            else:
                value = await in_thread(self.function, *typed)
        except Exception as problem:
            message = f"the metric `{self.name}` raised {type(problem).__name__}: {problem}"
            raise LmcError(
                error("metric-failed", message, _raised_at(problem, self.function))
            ) from problem
        return to_score(self.name, value, _defined_at(self.function))

    def _row(self, gold: Mapping[str, Any]) -> Any:
        if self.row is None:
            return dict(gold)
        return to_python(self.row, fit_row(self.name, self.row, gold))


def fit_row(name: str, type: Type, gold: Mapping[str, Any]) -> Any:
    """The fields of a row that a metric declares. Raises: LmcError[metric-failed]."""
    try:
        return validate(type, project(type, gold))
    except InvalidValue as problem:
        message = f"the row does not fit the metric `{name}`: {problem}"
        raise LmcError(error("metric-failed", message)) from None


def function_metric(
    name: str, target: str, row: Type | None, result: Type, base_dir: Path | None
) -> FunctionMetric:
    """Import a metric and see that it takes two arguments.

    Raises: LmcError[tool-not-found, bad-metric].
    """
    function = load_function(target, base_dir)
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as problem:
        message = f"`{target}` cannot be called with a gold row and a prediction: {problem}"
        raise LmcError(error("bad-metric", message, _defined_at(function))) from None
    except ValueError:  # a function in C tells no signature
        pass
    return FunctionMetric(name, function, row, result)


def code_digest(metric: Any) -> str | None:
    """Hash the file in which a metric's Python function stands; None for all other metrics."""
    if not isinstance(metric, FunctionMetric):
        return None
    try:
        file = inspect.getsourcefile(inspect.unwrap(metric.function))
    except TypeError:  # written in C
        return None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def to_score(name: str, value: Any, place: Span | None = None) -> Score:
    """What a metric gave as a score: a truth value, a number, or either with a feedback.

    Raises: LmcError[bad-score] for anything else, and for numbers that are not finite.
    """
    given, feedback = _parts(value)
    number = float(given) if isinstance(given, bool | int | float) else None
    if number is None and hasattr(given, "__float__") and not isinstance(given, str):
        number = float(given)  # numpy and its like
    if number is None or not math.isfinite(number):
        wanted = "a finite number, a truth value, or `Score(value, feedback)`"
        message = f"the metric `{name}` gave {str(value)[:80]!r}, which is not {wanted}"
        raise LmcError(error("bad-score", message, place))
    return Score(number, feedback)


def _parts(value: Any) -> tuple[Any, str]:
    match value:
        case Mapping():
            return value.get("value", value.get("score")), str(value.get("feedback") or "")
        case (given, feedback):
            return given, str(feedback or "")
        case _ if hasattr(value, "value"):
            return value.value, str(getattr(value, "feedback", "") or "")
        case _:
            return value, ""


def _raised_at(problem: BaseException, function: Callable[..., Any]) -> Span | None:
    """The line of the user's file that was running."""
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
