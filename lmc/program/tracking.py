"""An evaluation as a run of a tracking tool: its parameters, its figures, the results by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lmc.measure.evaluate import Evaluation, Figures
from lmc.telemetry.tracking import CallersRun, TrackedRun, open_tracking

if TYPE_CHECKING:
    from lmc.measure.rows import Rows
    from lmc.program.options import EvaluateOptions
    from lmc.program.task import Task

RESULTS = "results.jsonl"


class TrackedEvaluation:
    """Tells of an evaluation while its `with` runs. Without a tracking tool it does nothing.

    Raises: LmcError, as `open_tracking`.
    """

    def __init__(
        self,
        task: Task,
        rows: Rows,
        options: EvaluateOptions,
        parent: CallersRun | None = None,
    ) -> None:
        self._about = (task, rows, options)
        self._run = open_tracking(options.track, parent)

    def __enter__(self) -> Self:
        if self._run is not None:
            task = self._about[0]
            self._run.start(f"eval {task.graph.name}", _parameters(*self._about))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._run is not None:
            self._run.end(failed=kind is not None)
            self._run.settle()

    def found(self, figures: Figures, results: Path | None = None) -> None:
        """Take the figures, and the file of the results where there is one."""
        if self._run is None:
            return
        self._run.metrics(figure_metrics(figures, self._about[0].metric.name))
        if results is not None:
            self._run.file(results)
        elif isinstance(figures, Evaluation):
            self._keep(self._run, figures)

    def _keep(self, run: TrackedRun, figures: Evaluation) -> None:
        lines = b"".join(result.line() for result in figures.results)
        run.text(lines.decode("utf-8", "replace"), RESULTS)


def figure_metrics(figures: Figures, metric: str) -> dict[str, float | None]:
    """The figures of an evaluation as numbers with names. `score` has that of the metric too."""
    low, high = figures.interval or (None, None)
    used = figures.usage
    return {
        "score": figures.mean,
        plain_name(metric): figures.mean,
        "score.low": low,
        "score.high": high,
        "rows": figures.rows,
        "rows.failed": figures.failed,
        "calls": used.calls,
        "calls.cached": used.cached_calls,
        "tokens": used.tokens,
        "cost_usd": used.cost_usd,
        "call_seconds": used.seconds,
        "retries": used.retries,
    }


def plain_name(name: str) -> str:
    """A name with only the characters that tracking tools take."""
    return "".join(c if c.isalnum() or c in "_-. /" else "." for c in name)


def _parameters(task: Task, rows: Rows, options: EvaluateOptions) -> dict[str, Any]:
    program = task.program
    asked = program.executor.models(task.graph.name)
    names = [program.pool.full_name(program.pool.bind(name).name) for name in asked]
    artifact, checked = program.artifact, program.checked
    name = Path(checked.source.name).name if checked else None
    return {
        "program": artifact.manifest.entry if artifact else name,
        "compiled": artifact is not None,
        "target": task.graph.name,
        "metric": task.metric.name,
        "models": ", ".join(dict.fromkeys(names)),
        "rows": len(rows),
        "part": options.part,
        "seed": options.seed,
        "budget": ", ".join(f"{k}={v:g}" for k, v in (options.budget or {}).items()) or None,
    }
