"""A compilation as a run of a tracking tool: candidates, steps, the outcome and its files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.optimizers import events
from lmc.telemetry.tracking import CallersRun, TrackedRun, open_tracking

if TYPE_CHECKING:
    from lmc.measure.figures import Comparison
    from lmc.optimizers.compilation.options import CompileOptions
    from lmc.optimizers.compilation.result import CompileResult


class TrackedCompile:
    """Hears the events of a compilation and passes on those that a tracking tool shows.

    Raises: LmcError, as `open_tracking`.
    """

    def __init__(self, options: CompileOptions, parent: CallersRun | None) -> None:
        self.run = open_tracking(options.track, parent)
        self._report = options.progress or events.ignore
        self._scored = self._gates = 0
        self._candidates = ["name\trows\tscore\tdropped"]

    def options(self, options: CompileOptions) -> CompileOptions:
        """The options of the compilation that this hears."""
        return options if self.run is None else replace(options, progress=self)

    def __call__(self, event: events.Event) -> None:
        """Take an event, and pass it to whom the user named."""
        if self.run is not None:
            self._tell(self.run, event)
        self._report(event)

    def _tell(self, run: TrackedRun, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                run.start(f"compile {event.target}", _parameters(event))
            case events.CandidateScored():
                self._scored += 1
                scores = {"candidate.score": event.mean, "candidate.rows": event.rows}
                run.metrics(scores | _used(event), self._scored)
                dropped = event.dropped or ""
                self._candidates.append(f"{event.name}\t{event.rows}\t{event.mean}\t{dropped}")
            case events.LeaderChanged():
                leader = {"leader.score": event.mean, "baseline.score": event.baseline}
                run.metrics(leader, self._scored)
            case events.GateDecided():
                self._gates += 1
                decided = "accepted" if event.accepted else "rejected"
                run.tags({f"step.{self._gates}": f"{event.step}: {decided}: {event.words}"})
                run.metrics({"step.accepted": float(event.accepted)}, self._gates)
            case events.RunFinished():
                run.tags({"verdict": event.words})

    def finish(self, result: CompileResult | None) -> None:
        """Take the result, or none if the compilation failed, and wait until all is written."""
        run = self.run
        if run is None:
            return
        if result is not None:
            for part, comparison in (("confirm", result.dev), ("test", result.test)):
                run.metrics(_figures(part, comparison))
            run.metrics(_used(result), self._scored)
            run.tags({"improved": str(result.improved), "run_dir": str(result.run_dir)})
            run.text("\n".join(self._candidates) + "\n", "candidates.tsv")
            for path in (result.path, *map(result.run_dir.joinpath, ("summary.txt", "rows.jsonl"))):
                if path is not None:
                    run.file(path)
        run.end(failed=result is None)
        run.settle()


def _parameters(event: events.RunStarted) -> dict[str, Any]:
    return {
        "program": event.program,
        "target": event.target,
        "metric": event.metric,
        "models": ", ".join(event.models),
        "steps": " >> ".join(event.steps),
        "budget": ", ".join(f"{name}={limit:g}" for name, limit in event.budget.items()) or None,
        "resumed": event.resumed,
        **{f"rows.{part}": count for part, count in event.rows.items()},
    }


def _used(event: events.Event | CompileResult) -> dict[str, float | None]:
    totals = event.totals if isinstance(event, events.Event) else event.used
    return {"calls": totals.calls, "tokens": totals.tokens, "cost_usd": totals.cost_usd}


def _figures(part: str, comparison: Comparison | None) -> dict[str, float | None]:
    if comparison is None:
        return {}
    before, after, change = comparison.before, comparison.after, comparison.difference
    return {
        f"{part}.before": before.mean,
        f"{part}.after": after.mean,
        f"{part}.difference": change.mean,
        f"{part}.difference.low": change.low,
        f"{part}.difference.high": change.high,
        f"{part}.rows": change.rows,
    }
