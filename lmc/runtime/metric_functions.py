"""Metrics that are Python functions: what they are given, what they may give back, how they fail."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.check.types import RecordType, Type
from lmc.diagnostics import LmcError, error
from lmc.runtime.concurrency import in_thread
from lmc.runtime.data import line_span
from lmc.runtime.tools import load_function
from lmc.source import Span
from lmc.values import InvalidValue, to_python, validate

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


@dataclass(frozen=True, slots=True)
class Score:
    """How good a result is, and what a person or an optimizer may learn from it."""

    value: float
    feedback: str = ""


@dataclass(frozen=True, slots=True)
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
        typed = self._row(gold), to_python(self.result, pred)
        try:
            if inspect.iscoroutinefunction(self.function):
                value = await self.function(*typed)
            else:
                value = await in_thread(self.function, *typed)
        except Exception as problem:
            message = f"the metric `{self.name}` raised {type(problem).__name__}: {problem}"
            raise LmcError(error("metric-failed", message, _raised_at(problem))) from problem
        return to_score(self.name, value, _defined_at(self.function))

    def _row(self, gold: Mapping[str, Any]) -> Any:
        if self.row is None:
            return dict(gold)
        if isinstance(self.row, RecordType):
            gold = {f.name: gold[f.name] for f in self.row.fields if f.name in gold}
        try:
            return to_python(self.row, validate(self.row, gold))
        except InvalidValue as problem:
            message = f"the row does not fit the metric `{self.name}`: {problem}"
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


def _raised_at(problem: BaseException) -> Span | None:
    """The line of the user's code that raised: the last one that is a file."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [f for f in frames if Path(f.filename).is_file() and "site-packages" not in f.filename]
    return line_span(Path(own[-1].filename), own[-1].lineno or 1) if len(own) > 1 else None


def _defined_at(function: Callable[..., Any]) -> Span | None:
    try:
        file = inspect.getsourcefile(function)
        line = inspect.getsourcelines(function)[1]
    except (TypeError, OSError):
        return None
    return line_span(Path(file), line) if file else None
