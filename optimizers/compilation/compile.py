"""`lmc compile`: improves a program against a metric, proves the gain, writes the artifact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.provenance import has_votes, reached_modules
from lmc.measure.evaluate import Evaluation, RowResult, evaluate
from lmc.measure.figures import Comparison
from lmc.measure.rehearsal import rehearse
from lmc.optimizers import events
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.gate import MIN_CONFIRM_ROWS, compare
from lmc.optimizers.candidates.trials import Allowance, Mode, Progress, Trials
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.optimizers.compilation.guards import fallen
from lmc.optimizers.compilation.history import History, rows_text
from lmc.optimizers.compilation.job import CompileJob, RowParts, settle
from lmc.optimizers.compilation.journal import Journal
from lmc.optimizers.compilation.making import RowMaker
from lmc.optimizers.compilation.options import CompileOptions
from lmc.optimizers.compilation.proving import Proving, first_words
from lmc.optimizers.compilation.recording import Recorder, digest_of, forget
from lmc.optimizers.compilation.result import CompileResult
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.optimizers.compilation.runner import Runner
from lmc.optimizers.compilation.steps import step_text, steps_text
from lmc.optimizers.compilation.tracking import TrackedCompile
from lmc.options import takes
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import Program
from lmc.program.reached import reached
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.tasks.foreign import said
from lmc.tasks.loop import run_async, run_sync
from lmc.telemetry.tracking import CallersRun, callers_run
from lmc.traces.store import TraceStore
from lmc.version import __version__

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.measure.rows import Row

REHEARSED_ROWS = 3  # rows for trying a metric before the first model call
CALIBRATION_ROWS = 4  # rows that measure the cost of a run if tokens or money are limited
TEST_PIECE_ROWS = 64
PROOF_SHARE = 0.5  # largest share of a budget for confirming and testing


@takes(CompileOptions)
def compile(program: str | Path | Program, options: CompileOptions) -> CompileResult:
    """Improve a program against a metric and write the artifact. Raises: LmcError.

    Its options are the fields of `CompileOptions`. All mistakes are reported before the first call
    of a model.
    """
    return _tracked(program, options, callers_run())


@takes(CompileOptions)
async def acompile(program: str | Path | Program, options: CompileOptions) -> CompileResult:
    """Like `compile`, for coroutines on any event loop."""
    if options.track is None:
        return await run_async(_compile(program, options))
    return await asyncio.to_thread(_tracked, program, options, callers_run())


def _tracked(
    program: str | Path | Program, options: CompileOptions, parent: CallersRun | None
) -> CompileResult:
    """Compile, and tell a tracking tool if the options name one."""
    tracked = TrackedCompile(options, parent)
    result: CompileResult | None = None
    try:
        result = run_sync(_compile(program, tracked.options(options)))
    finally:
        tracked.finish(result)
    return replace(result, tracked=tracked.run)


async def _compile(program: str | Path | Program, options: CompileOptions) -> CompileResult:
    job = settle(program, options)
    folder = RunFolder(options.run_dir or job.default_folder())
    call = None if isinstance(program, Program) else _call(program, options)
    journal = Journal(folder, job.identity(), call, resume=options.resume)
    with journal.taken():
        out = Path(options.out) if options.out else None
        return await _Compilation(job, journal, options.progress or events.ignore, out).finish()


def _call(program: str | Path, options: CompileOptions) -> dict[str, Any] | None:
    """How a run was started, for `lmc runs resume`; None if an option is not JSON."""
    written = options.written()
    return None if written is None else {"program": str(program), **written}


class _Compilation:
    """One run of the driver: preflight, steps, gates, test, artifact."""

    def __init__(
        self, job: CompileJob, journal: Journal, report: events.Report, out: Path | None
    ) -> None:
        self.job, self.journal, self.out = job, journal, out
        self.report = report
        self.notes: list[str] = []
        self.recorder = Recorder(TraceStore(), job.id, job.name, job.target)
        self.history = History()
        limits = job.budget
        minutes = limits.get("minutes")
        left = None if minutes is None else max(0.0, minutes - journal.earlier_s / 60)
        self.runner = Runner(job, journal, left, self.recorder.keep_answers)
        self.budget = self.runner.budget
        self.allowance = Allowance(
            spent=lambda: self.budget.spent,
            calls_per_run=job.calls_per_run,
            calls=limits.get("calls"),
            tokens=limits.get("tokens"),
            usd=limits.get("usd"),
            minutes=left,
        )
        self.metric = self.runner.metric
        self.trials = Trials(self._run, self.allowance, self._heard)
        self.maker = RowMaker(job, self.trials, self.recorder.runs)
        # What an artifact brought is in the stores by now, if it applies at all.
        self.start = replace(job.program.parameters, stores={})
        self.confirmed = self.start
        self.dev: Comparison | None = None
        self.test: Comparison | None = None

    async def finish(self) -> CompileResult:
        """Run the compilation and close what it opened."""
        try:
            job = self.job
            graph = job.program.graph.graphs[job.target]
            await rehearse(job.task.metric, graph, job.rows.select[:REHEARSED_ROWS])
            self._begin()
            result = await self._work()
        finally:
            await self.runner.close()
            self.recorder.store.close()
            self.history.close()
        return result

    async def _work(self) -> CompileResult:
        """The steps that call models. If they are interrupted, write the confirmed result."""
        try:
            await self._improve()
            self.test = await self._final_test()
        except (asyncio.CancelledError, Exception) as cause:
            self._stop(cause)
            raise
        return self._result(self._artifact("complete"))

    def _begin(self) -> None:
        """Check everything, then begin the run. Raises: LmcError with all that is missing."""
        job = self.job
        warnings = list(self.runner.preflight())
        traces = self.recorder.store.open()
        self.journal.begin()
        self.history.begin(self.journal.folder)
        if not self.journal.resumed:
            forget(traces, job.id)
        for text in warnings:
            self._note(text)
        event = events.RunStarted(
            job.name,
            job.target,
            job.task.metric.name,
            self.runner.model_names(),
            steps_text(job.steps),
            job.rows.counts(),
            {key: float(limit) for key, limit in job.budget.items()},
            self.journal.resumed,
            first_words(job),
        )
        self._heard(event)

    # --- steps and gates ---

    async def _improve(self) -> None:
        if not await self._set_proof_aside():
            self._note("the budget is too small to improve anything: it only pays for measuring")
            return
        for number, step in enumerate(self.job.steps):
            context = Context(
                program=self.job.program.graph,
                target=self.job.target,
                train=self.job.rows.train,
                select=self.job.rows.select,
                trials=self.trials,
                seed=self.job.task.seed + number,
                report=self._heard,
                open_executor=self.runner.open_executor,
                folder=self.journal.folder.training,
                traces=self.recorder.runs,
                watch=self._fallen,
                assistant=self.runner.assistant(),
                source="\n\n".join(self.job.sources.values()),
                keep=frozenset(self.job.keep),
                made=self.maker,
                score=self.runner.score,
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
        """Reserve runs for confirming and testing. Returns False if too few are left to search."""
        rows, allowance = self.job.rows, self.allowance
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
            self.job = replace(self.job, rows=rows)
        allowance.reserved = self._proof_runs(rows)
        return allowance.runs() > 0

    def _proof_runs(self, rows: RowParts) -> int:
        guards = sum(len(guard.rows) for guard in self.job.guards)
        # without a proof, the search runs the confirm rows
        each = self.job.confirm_samples
        confirm = each * len(rows.confirm) if self.job.accept == "proven" else 0
        return (confirm + guards) * (len(self.job.steps) + 1) + 2 * len(rows.test)

    async def _gate(self, step: Step, candidate: Parameters) -> None:
        """Accept a step's result only if it beats the previous one on held-out rows."""
        if candidate == self.confirmed:
            words = "nothing better found"
            self._heard(events.GateDecided(step_text(step), False, words, totals=self._totals()))
            return
        if not self.job.rows:
            self.confirmed, words = candidate, "accepted without measuring, as there are no rows"
            self._heard(events.GateDecided(step_text(step), True, words, totals=self._totals()))
            return
        self.allowance.reserved = 2 * len(self.job.rows.test)
        gate = Proving(self.job, self.trials, self.start, self._fallen)
        try:
            found = await gate.decide(step, self.confirmed, candidate)
        except BudgetExceeded:
            self._note(f"the budget ended before {step_text(step)} could be confirmed")
            return
        if found.guarded:
            self.notes.append(f"{step_text(step)}: {found.words}")
        event = events.GateDecided(
            step_text(step), found.accepted, found.words, totals=self._totals()
        )
        self._heard(event)
        if found.sight:
            self._note(found.sight)
        if found.accepted:
            self.confirmed, self.dev = candidate, found.dev

    async def _fallen(
        self, before: Parameters, after: Parameters, rows: Sequence[Row]
    ) -> list[str]:
        """The guards on which the new parameters lose. A spent budget counts as a loss."""
        guards, judge = self.job.guards, self.metric.judge
        try:
            return await fallen(guards, self.trials, judge, before, after, rows)
        except BudgetExceeded:
            return ["the budget ended before the guards were checked"]

    async def _final_test(self) -> Comparison | None:
        """The program before and after, on the test rows."""
        rows = self.job.rows.test
        runs = self.allowance.runs(search=False)
        each = 1 if self.confirmed == self.start else 2
        rows = rows[: int(min(len(rows), runs // each))]
        if not rows:
            if self.job.rows:
                self._note("the budget ended before the test")
            return None
        pair = [self.start, self.confirmed][-each:]
        before, after = await self._test_results(pair, rows)
        if len(after) < len(rows):
            self._note(f"the budget ended the test after {len(after)} of {len(rows)} rows")
        self._show_failed(after)
        self.journal.folder.write_rows(rows_text(rows, before, after))
        return compare(before, after)

    def _show_failed(self, results: Sequence[RowResult]) -> None:
        if failed := [r for r in results if r.failed]:
            count, first = f"{len(failed)} of {len(results)} test rows failed", failed[0]
            self._note(f"{count}; row {first.id} ({first.failed}): {first.error}")

    async def _test_results(
        self, pair: Sequence[Parameters], rows: Sequence[Row]
    ) -> tuple[list[RowResult], list[RowResult]]:
        """The results of both. With a budget, run pieces of rows, so that only one can be lost."""
        size = TEST_PIECE_ROWS if self.job.budget else len(rows)
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
            mode.target or self.job.target,
            rows,
            self.runner.metric_of(mode, rows),
            progress=progress,
            keep_traces=True,
            sample=mode.sample,
        )
        await self.recorder.keep(stage, parameters, rows, mode, done.results)
        self.history.count(done.results)
        if mode.metric is not None:
            return Evaluation(tuple(replace(result, trace=None) for result in done.results))
        return Evaluation(tuple(self._judged(result) for result in done.results))

    def _judged(self, result: RowResult) -> RowResult:
        """A result scored by the objective, if there is one."""
        aim, value = self.job.objective, result.value
        if aim is not None and value is not None:
            value = aim.value(value, result.usage)
        return replace(result, value=value, trace=None)

    def _artifact(self, status: Any) -> Artifact:
        job, spent = self.job, self.budget.spent
        timed = has_votes(job.program.graph, job.target)
        manifest = Manifest(
            lmc=__version__,
            entry=job.name,
            target=job.target,
            status=status,
            models=self.runner.model_names(),
            choices=dict(self.confirmed.choices),
            metric=job.objective.text if job.objective else job.task.metric.name,
            data=job.rows.digest,
            rows=job.rows.counts(),
            steps=steps_text(job.steps),
            seed=job.task.seed,
            improved=self.confirmed != self.start,
            dev=self.dev,
            test=self.test,
            calls=spent.calls,
            tokens=None if timed else spent.tokens,
            cost_usd=None if timed else round(spent.cost_usd, 9),
        )
        parameters = self.confirmed.with_stores({**job.brought, **self.confirmed.stores})
        return Artifact(manifest, job.program.graph, parameters, job.sources)

    def _result(self, artifact: Artifact) -> CompileResult:
        if self.out is not None:
            artifact.write(self.out)
        used = self._totals()
        self.journal.save("complete", used=asdict(used))
        result = CompileResult(
            artifact,
            self.out,
            self.journal.folder.path,
            used,
            tuple(self.notes),
            self.recorder.job,
            (digest_of(self.start), digest_of(self.confirmed)),
        )
        folder = self.journal.folder
        folder.write_outcome(self._outcome(result), result.summary() + "\n")
        self._heard(events.RunFinished(result.verdict(), totals=self._totals()))
        return result

    def _outcome(self, result: CompileResult) -> dict[str, Any]:
        """What a report needs besides the events, ready for JSON."""
        program, target = self.job.program.graph, self.job.target
        instructions = {
            name: module.slots.instruction
            for name, module in reached_modules(program, target).items()
        }
        return {
            "manifest": result.artifact.manifest.model_dump(mode="json"),
            "verdict": result.verdict(),
            "notes": list(result.notes),
            "reached": [str(one) for one in reached(self.job.program.graph, self.confirmed)],
            "instructions": instructions,
            "start": self.start.to_json(),
            "parameters": self.confirmed.to_json(),
            "by_module": {name: asdict(used) for name, used in self.history.by_module.items()},
            "used": asdict(result.used),
        }

    def _stop(self, cause: BaseException) -> None:
        """Write the confirmed result. Replace an older artifact only by a better one.

        Raises: LmcError[cannot-write], with the cause if that is an LmcError.
        """
        try:
            if self.out is not None and (self.confirmed != self.start or not self.out.exists()):
                self._artifact("stopped").write(self.out)
            self.journal.save("stopped", why=_why(cause))
        except LmcError as problem:
            told = cause.diagnostics if isinstance(cause, LmcError) else ()
            raise LmcError(*told, *problem.diagnostics) from None

    def _totals(self) -> events.Totals:
        return self.trials.totals()

    def _heard(self, event: events.Event) -> None:
        if isinstance(event, events.Note):
            self.notes.append(event.text)
        self.history.hear(event)
        self.report(event)

    def _note(self, text: str) -> None:
        self._heard(events.Note(text, totals=self._totals()))


def _why(cause: BaseException) -> str:
    if isinstance(cause, LmcError):
        return "; ".join(found.message for found in cause.diagnostics)
    return "it was interrupted" if isinstance(cause, asyncio.CancelledError) else said(cause)
