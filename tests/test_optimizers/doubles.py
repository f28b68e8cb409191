"""Doubles: rows, and runs whose score is a known function of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from lmc.check import check_program
from lmc.ir.graph import ProgramGraph
from lmc.ir.lower import lower
from lmc.measure.evaluate import RowResult
from lmc.optimizers.candidates.trials import Allowance, Trials
from lmc.optimizers.events import Event
from lmc.prompts.spec import Demo
from lmc.requests.usage import Usage
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.runtime.traces import Trace
from lmc.source import Source
from lmc.traces.store import Run


def graph_of(text: str) -> ProgramGraph:
    program, found = check_program(Source("t.lmp", text))
    assert program is not None, found
    return lower(program)


@dataclass(frozen=True)
class FakeRow:
    id: str
    values: dict[str, Any] = field(default_factory=dict)


def rows(count: int) -> list[Any]:
    return [FakeRow(f"{i}", {"text": f"t{i}", "label": "ab"[i % 2]}) for i in range(count)]


def marked(mark: str, demos: int = 1) -> Parameters:
    """Parameters that a score function can tell apart."""
    shown = tuple(Demo({"text": f"{mark}{i}"}, {"result": mark}) for i in range(demos))
    return Parameters({"m": ModuleParameters(demos=shown)})


def mark_of(parameters: Parameters) -> str:
    demos = parameters.modules["m"].demos if parameters.modules else ()
    return demos[0].outputs["result"] if demos else ""


class FakeTrials(Trials):
    """Trials over a function from mark and row to a score (None: lost); `runs` are those made."""

    def __init__(
        self, score: Callable[[str, Any], float | None], *, calls: float | None = None
    ) -> None:
        self.events: list[Event] = []
        self.runs: list[tuple[str, str]] = []
        self.score = score
        allowance = Allowance(lambda: Usage(calls=len(self.runs)), 1, calls=calls)
        super().__init__(self._score_rows, allowance, self.events.append)

    async def _score_rows(
        self, stage: str, parameters: Parameters, rows: Any, mode: Any, progress: Any
    ) -> Any:
        results = []
        for row in rows:
            self.runs.append((mark_of(parameters), row.id))
            value = self.score(mark_of(parameters), row)
            failed: Any = "infrastructure" if value is None else ""
            results.append(RowResult(row.id, value, failed=failed, usage=Usage(calls=1)))
            progress(results[-1])
        return SimpleNamespace(results=tuple(results))


def stored(
    trace: Trace | None = None, row: str = "1", values: dict[str, Any] | None = None, **more: Any
) -> Run:
    """A run as the trace store gives it."""
    return Run("job", "t.lmp", "main", "s", row, "p", values or {}, trace or Trace(), **more)
