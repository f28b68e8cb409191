"""`lmc compile`: improve a program against a metric, prove the gain, write the artifact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.provenance import has_votes, reached_modules
from lmc.measure.evaluate import Evaluation, RowResult, evaluate
from lmc.measure.figures import Comparison
from lmc.optimizers import events
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.gate import (
    GATE_LEVEL,
    MIN_CONFIRM_ROWS,
    compare,
    gate_words,
    passes,
    passes_cheaper,
)
from lmc.optimizers.candidates.trials import Allowance, Mode, Progress, Trials
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.optimizers.compilation.guards import fallen
from lmc.optimizers.compilation.history import OUTCOME, ROWS, History, rows_text
from lmc.optimizers.compilation.journal import Journal
from lmc.optimizers.compilation.recording import Recorder, digest_of, forget
from lmc.optimizers.compilation.result import CompileResult
from lmc.optimizers.compilation.runner import Runner
from lmc.optimizers.compilation.steps import step_text, steps_text
from lmc.optimizers.compilation.task import Accept, RowParts, Task, make_task
from lmc.program.artifact import Artifact, Manifest
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.tasks.loop import run_sync
from lmc.traces.store import TraceStore
from lmc.version import __version__

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.measure.rows import Row
    from lmc.program.program import Program

CALIBRATION_ROWS = 4  # rows that tell what a run takes, where tokens or money are limited
TEST_PIECE_ROWS = 64
PROOF_SHARE = 0.5  # of a budget at most for confirming and testing


def compile(program: str | Path | Program, **options: Any) -> CompileResult:
    """Improve a program; the options are those of `acompile`."""
    return run_sync(acompile(program, **options))


async def acompile(
    program: str | Path | Program,
    *,
    target: str | None = None,
    metric: str | None = None,
    data: str | Path | Sequence[Any] | None = None,
    objective: str | None = None,
    guards: Sequence[str] | None = None,
    accept: Accept = "proven",
    optimizer: str | None = None,
    steps: Sequence[Step] | None = None,
    model: str | None = None,
    budget: dict[str, float] | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    run_dir: str | Path | None = None,
    resume: bool = True,
    cache: bool | str | Path = True,
    progress: events.Report | None = None,
    backend: Any = None,
) -> CompileResult:
    """Improve a program against a metric and write the artifact to `out`.

    What is not given is taken from the program's `optimize` block. `optimizer` is text such as
    `bootstrap(demos=4) >> labeled()`. `objective` sets the metric off against what runs cost, such
    as `accuracy - 0.1 * usd` (or calls, tokens) a row. `guards` are other metrics, and datasets,
    that must not get worse. `accept` says what the gate lets pass: a gain that is proven on rows
    that did not choose it, or any that is seen on all of dev ("better"). `budget` limits calls,
    tokens, usd and minutes. The same program, data and options continue the same run, unless
    `resume` is False.
    Raises: LmcError with all that is missing, before the first call of a model.
    """
    options: dict[str, Any] = {
        "target": target,
        "metric": metric,
        "data": data,
        "objective": objective,
        "guards": guards,
        "accept": accept,
        "optimizer": optimizer,
        "model": model,
        "budget": budget,
        "seed": seed,
        "cache": cache,
    }
    task = make_task(program, **options, steps=steps, backend=backend)
    call = _written_call(program, out=out, **options)
    folder = Path(run_dir) if run_dir else task.default_run_dir()
    journal = Journal(folder, task.identity(), None if steps or backend else call)
    journal.open(resume=resume)
    try:
        run = _Compilation(task, journal, progress or events.ignore, Path(out) if out else None)
        return await run.finish()
    finally:
        journal.close()


def _written_call(program: Any, **options: Any) -> dict[str, Any] | None:
    """How a run was begun, for `lmc runs resume`; None where that cannot be written down."""
    written = {"program": program, **options}
    written = {k: str(v) if isinstance(v, Path) else v for k, v in written.items()}
    try:
        json.dumps(written)
    except TypeError:
        return None
    return {key: value for key, value in written.items() if value is not None}


class _Compilation:
    """One run of the driver: preflight, steps, gates, test, artifact."""

    def __init__(
        self, task: Task, journal: Journal, report: events.Report, out: Path | None
    ) -> None:
        self.task, self.journal, self.out = task, journal, out
        self.report = report
        self.notes: list[str] = []
        traces = TraceStore()
        self.recorder = Recorder(traces, task.job, task.name, task.target)
        if not journal.resumed:
            forget(traces, task.job)
        self.history = History(journal.folder)
        limits = task.budget
        minutes = limits.get("minutes")
        left = None if minutes is None else max(0.0, minutes - journal.earlier_s / 60)
        self.runner = Runner(task, journal, left, self.recorder.keep_answers)
        self.budget = self.runner.budget
        self.allowance = Allowance(
            spent=lambda: self.budget.spent,
            calls_per_run=task.calls_per_run,
            calls=limits.get("calls"),
            tokens=limits.get("tokens"),
            usd=limits.get("usd"),
            minutes=left,
        )
        self.metric = self.runner.metric
        self.trials = Trials(self._run, self.allowance, self._heard)
        self.start = task.program.parameters
        self.confirmed = self.start
        self.dev: Comparison | None = None
        self.test: Comparison | None = None

    async def finish(self) -> CompileResult:
        """Do all of it."""
        try:
            self._begin()
            result = await self._work()
        finally:
            await self.runner.close()
            self.recorder.store.close()
            self.history.close()
        return result

    async def _work(self) -> CompileResult:
        """What costs. When it is cut short, what is confirmed so far is written."""
        try:
            await self._improve()
            self.test = await self._final_test()
        except (asyncio.CancelledError, LmcError):
            self._stop()
            raise
        return self._result(self._artifact("complete"))

    def _begin(self) -> None:
        """Find what is missing before the first call. Raises: LmcError with all of it."""
        task = self.task
        for text in self.runner.preflight():
            self._note(text)
        event = events.RunStarted(
            task.name,
            task.target,
            task.metric.name,
            self.runner.model_names(),
            steps_text(task.steps),
            task.rows.counts(),
            {key: float(limit) for key, limit in task.budget.items()},
            self.journal.resumed,
        )
        self._heard(event)

    # --- steps and gates ---

    async def _improve(self) -> None:
        if not await self._set_proof_aside():
            self._note("the budget is too small to improve anything: all of it goes into measuring")
            return
        for number, step in enumerate(self.task.steps):
            context = Context(
                program=self.task.program.graph,
                target=self.task.target,
                train=self.task.rows.train,
                select=self.task.rows.select,
                trials=self.trials,
                seed=self.task.seed + number,
                report=self._heard,
                open_executor=self.runner.open_executor,
                folder=self.journal.folder,
                traces=self.recorder.runs,
                watch=self._fallen,
                assistant=self.runner.assistant(),
                source="\n\n".join(self.task.sources.values()),
                keep=frozenset(self.task.keep),
            )
            optimizer = BY_NAME[step.name]
            try:
                candidate = await optimizer.run(self.confirmed, context, **step.kwargs)
            except BudgetExceeded:
                self._note(f"the budget ended {step_text(step)}")
                return
            await self._gate(step, candidate)
            self.journal.save("running")

    async def _set_proof_aside(self) -> bool:
        """Keep runs for confirming and testing; False where too few are left to search."""
        rows, allowance = self.task.rows, self.allowance
        if (allowance.tokens or allowance.usd) and rows.select:
            try:
                await self.trials.scores(
                    "calibration", [self.start], rows.select[:CALIBRATION_ROWS]
                )
            except BudgetExceeded:
                return False
        runs, wanted = allowance.runs(search=False), self._proof_runs(rows)
        if wanted > runs * PROOF_SHARE:
            rows = rows.shrunk(runs * PROOF_SHARE / wanted)
            if len(rows.confirm) < MIN_CONFIRM_ROWS:
                return False
            confirm, test = len(rows.confirm), len(rows.test)
            self._note(f"the budget allows {confirm} rows to confirm and {test} to test")
            self.task = replace(self.task, rows=rows)
        allowance.reserved = self._proof_runs(rows)
        return allowance.runs() > 0

    def _proof_runs(self, rows: RowParts) -> int:
        guards = sum(len(guard.rows) for guard in self.task.guards)
        confirm = len(rows.confirm) if self.task.accept == "proven" else 0  # else they are run
        return (confirm + guards) * (len(self.task.steps) + 1) + 2 * len(rows.test)

    async def _gate(self, step: Step, candidate: Parameters) -> None:
        """Take a step's result only if it beats what was, on rows that did not choose it."""
        if candidate == self.confirmed:
            words = "nothing better found"
            self._heard(events.GateDecided(step_text(step), False, words, totals=self._totals()))
            return
        if not self.task.rows:
            self.confirmed, words = candidate, "taken as it is: there are no rows to measure it on"
            self._heard(events.GateDecided(step_text(step), True, words, totals=self._totals()))
            return
        rows = self._confirm_rows(candidate)
        pair = [self.confirmed, candidate]
        self.allowance.reserved = 2 * len(self.task.rows.test)
        try:
            before, after = await self.trials.results("confirming", pair, rows)
        except BudgetExceeded:
            self._note(f"the budget ended before {step_text(step)} could be confirmed")
            return
        narrow = compare(before, after, level=GATE_LEVEL)
        known, margin = BY_NAME[step.name], None
        if known.goal == "cheaper":
            margin = known.signature.complete(step.kwargs)["margin"]
            accepted = passes_cheaper(narrow, before, after, margin)
        else:
            seen = self.task.accept == "better" and narrow and narrow.difference.mean > 0
            accepted = passes(narrow) or bool(seen)
        words = gate_words(narrow, accepted, margin)
        if accepted and (lost := await self._fallen(self.confirmed, candidate, rows)):
            accepted, words = False, f"kept as it was: {'; '.join(lost)}"
            self.notes.append(f"{step_text(step)}: {words}")
        self._heard(events.GateDecided(step_text(step), accepted, words, totals=self._totals()))
        if accepted:
            first = self.trials.known(self.start, rows)  # run before
            self.confirmed, self.dev = candidate, compare(first, after)

    def _confirm_rows(self, candidate: Parameters) -> Sequence[Row]:
        """The rows that decide: where nothing is to be proven, those that both were run on.

        Some steps run nothing; all rows decide then.
        """
        rows = self.task.rows.confirm
        if self.task.accept == "proven":
            return rows
        known = [{r.id for r in self.trials.known(p, rows)} for p in (self.confirmed, candidate)]
        both = [row for row in rows if all(row.id in ids for ids in known)]
        return both if len(both) >= MIN_CONFIRM_ROWS else rows

    async def _fallen(
        self, before: Parameters, after: Parameters, rows: Sequence[Row]
    ) -> list[str]:
        """The guards on which new parameters lose; a budget that ends says nothing of them."""
        guards, judge = self.task.guards, self.metric.judge
        try:
            return await fallen(guards, self.trials, judge, before, after, rows)
        except BudgetExceeded:
            return ["the budget ended before the guards could be asked"]

    async def _final_test(self) -> Comparison | None:
        """Before and after on rows that no step saw."""
        rows = self.task.rows.test
        runs = self.allowance.runs(search=False)
        each = 1 if self.confirmed == self.start else 2
        rows = rows[: int(min(len(rows), runs // each))]
        if not rows:
            if self.task.rows:
                self._note("no budget was left for the test")
            return None
        pair = [self.start, self.confirmed][-each:]
        before, after = await self._test_results(pair, rows)
        if len(after) < len(rows):
            self._note(f"the budget ended the test after {len(after)} of {len(rows)} rows")
        self._show_failed(after)
        self.journal.write(ROWS, rows_text(rows, before, after))
        return compare(before, after)

    def _show_failed(self, results: Sequence[RowResult]) -> None:
        if failed := [r for r in results if r.failed]:
            count, first = f"{len(failed)} of {len(results)} test rows failed", failed[0]
            self._note(f"{count}; row {first.id} ({first.failed}): {first.error}")

    async def _test_results(
        self, pair: Sequence[Parameters], rows: Sequence[Row]
    ) -> tuple[list[RowResult], list[RowResult]]:
        """Results of both; under a budget in pieces, so that its end does not lose all of them."""
        size = TEST_PIECE_ROWS if self.task.budget else len(rows)
        before: list[RowResult] = []
        after: list[RowResult] = []
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            try:
                results = await self.trials.results("final test", pair, piece)
            except BudgetExceeded:
                break
            before += results[0]
            after += results[-1]
        return before, after

    # --- the outcome ---

    async def _run(
        self,
        stage: str,
        parameters: Parameters,
        rows: Sequence[Row],
        mode: Mode,
        progress: Progress,
    ) -> Evaluation:
        done = await evaluate(
            self.runner.open_executor(parameters, mode),
            self.task.target,
            rows,
            self.metric,
            progress=progress,
            keep_traces=True,
            sample=mode.sample,
        )
        await self.recorder.keep(stage, parameters, rows, mode, done.results)
        self.history.count(done.results)
        return Evaluation(tuple(self._judged(result) for result in done.results))

    def _judged(self, result: RowResult) -> RowResult:
        """A result as it counts here: by the objective, where there is one."""
        aim, value = self.task.objective, result.value
        if aim is not None and value is not None:
            value = aim.value(value, result.usage)
        return replace(result, value=value, trace=None)

    def _artifact(self, status: Any) -> Artifact:
        task, spent = self.task, self.budget.spent
        timed = has_votes(task.program.graph, task.target)
        manifest = Manifest(
            lmc=__version__,
            entry=task.name,
            target=task.target,
            status=status,
            models=self.runner.model_names(),
            choices=dict(self.confirmed.choices),
            metric=task.objective.text if task.objective else task.metric.name,
            data=task.rows.digest,
            rows=task.rows.counts(),
            steps=steps_text(task.steps),
            seed=task.seed,
            improved=self.confirmed != self.start,
            dev=self.dev,
            test=self.test,
            calls=spent.calls,
            tokens=None if timed else spent.tokens,
            cost_usd=None if timed else round(spent.cost_usd, 9),
        )
        return Artifact(manifest, task.program.graph, self.confirmed, task.sources)

    def _result(self, artifact: Artifact) -> CompileResult:
        if self.out is not None:
            artifact.write(self.out)
        used = self._totals()
        self.journal.save("complete", used=asdict(used))
        result = CompileResult(
            artifact,
            self.out,
            self.journal.folder,
            used,
            tuple(self.notes),
            self.recorder.job,
            (digest_of(self.start), digest_of(self.confirmed)),
        )
        self.journal.write("summary.txt", result.summary() + "\n")
        self.journal.write(OUTCOME, self._outcome(result))
        self._heard(events.RunFinished(result.verdict(), totals=self._totals()))
        return result

    def _outcome(self, result: CompileResult) -> str:
        """What a report needs to know besides the events, as JSON."""
        program, target = self.task.program.graph, self.task.target
        instructions = {
            name: module.slots.instruction
            for name, module in reached_modules(program, target).items()
        }
        data = {
            "manifest": result.artifact.manifest.model_dump(mode="json"),
            "verdict": result.verdict(),
            "notes": list(result.notes),
            "instructions": instructions,
            "start": self.start.to_json(),
            "parameters": self.confirmed.to_json(),
            "by_module": {name: asdict(used) for name, used in self.history.by_module.items()},
            "used": asdict(result.used),
        }
        return json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    def _stop(self) -> None:
        """Leave what is confirmed; an older artifact is only replaced by a better one."""
        self.journal.save("stopped")
        if self.out is not None and (self.confirmed != self.start or not self.out.exists()):
            self._artifact("stopped").write(self.out)

    def _totals(self) -> events.Totals:
        return self.trials.totals()

    def _heard(self, event: events.Event) -> None:
        if isinstance(event, events.Note):
            self.notes.append(event.text)
        self.history.hear(event)
        self.report(event)

    def _note(self, text: str) -> None:
        self._heard(events.Note(text, totals=self._totals()))
