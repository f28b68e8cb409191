"""Runs candidates: the journaled pool with its budget, executors, teachers and the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.measure.metrics import Metric, resolve_metric
from lmc.optimizers.assistant.ask import Assistant, Keep
from lmc.optimizers.assistant.preference import NAME as PREFERENCE
from lmc.optimizers.assistant.preference import Preference
from lmc.optimizers.candidates.trials import PLAIN, UNSCORED, Mode, is_artifact
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.optimizers.compilation.job import CompileJob, FixedMetric, Unscored
from lmc.optimizers.compilation.journal import Journal, JournaledPool, RunStore
from lmc.optimizers.compilation.making import require_rows
from lmc.requests.budget import Budget, BudgetExceeded
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.runtime.stores import FilledStores, Stores
from lmc.stores.brought import snapshots_of

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.measure.rows import Row
    from lmc.program.program import Program


class Runner:
    """Opens executors for candidates. Every answer is journaled and counts against the budget.

    `minutes` is the time that is left. `keep` stores the questions to the assistant. Artifacts that
    are teachers run within the same budget.
    """

    def __init__(
        self, job: CompileJob, journal: Journal, minutes: float | None, keep: Keep
    ) -> None:
        self.job, self._keep = job, keep
        self.budget = Budget.within(job.budget, minutes=minutes)
        ordinary = job.program.open_pool()
        self.store = RunStore(journal.folder.responses, ordinary.cache)
        self.pool = JournaledPool.like(ordinary, self.store, self.budget)
        self._teachers: dict[str, tuple[Program, JournaledPool]] = {}
        judge = job.program.open_executor(self.pool, stores=job.stores)
        metric = self._preference(judge) if job.task.metric.name == PREFERENCE else job.task.metric
        self.metric = FixedMetric(metric, judge)

    def open_executor(self, parameters: Parameters, mode: Mode = PLAIN) -> Executor:
        """An executor for the program with these parameters, or for the teacher artifact."""
        program, pool, model = self.job.program, self.pool, mode.model or self.job.model
        own = not is_artifact(mode.model)
        if not own:
            program, pool = self._teacher(str(mode.model))
            parameters, model = program.parameters, None
        return program.open_executor(
            pool,
            self._stores(parameters) if own else program.frozen_stores,
            parameters,
            training=mode.training,
            model=model,
            temperature=mode.temperature,
            vary=mode.vary,
            branch=None if mode.node is None else (mode.node, mode.anew),
            speculate=0,
            watch=None,
        )

    def metric_of(self, mode: Mode, rows: Sequence[Row]) -> Metric:
        """The metric of some runs: that of the task, unless the mode names another one.

        Raises: LmcError[unknown-metric, metric-field].
        """
        if mode.metric is None:
            return self.metric
        if mode.metric == UNSCORED:
            return Unscored(UNSCORED)
        program = self.job.program
        columns = tuple(rows[0].values) if rows else ()
        found = resolve_metric(
            mode.metric,
            program.graph,
            program.graph.graphs[mode.target or self.job.target],
            columns,
            base_dir=program.base_dir,
            executor=self.metric.judge,
            consent=program.consent,
        )
        return FixedMetric(found, self.metric.judge)

    async def score(self, gold: Mapping[str, Any], pred: Any) -> float | None:
        """What the task's metric says of a result that may not be that of a run; None if it fails.

        Raises: BudgetExceeded.
        """
        try:
            return (await self.metric.score(gold, pred)).value
        except BudgetExceeded:
            raise
        except LmcError:
            return None

    def _stores(self, parameters: Parameters) -> Stores:
        """The stores that a candidate reads: as they were at the start, or as a step filled them.

        No run of a compilation commits anything.
        """
        if not parameters.stores:
            return self.job.stores
        return FilledStores(self.job.stores, snapshots_of(parameters.stores))

    def assistant(self) -> Assistant:
        """The assistant that proposes and judges. By default it uses the program's own model."""
        return self._assistant(self.metric.judge)

    def model_names(self) -> tuple[str, ...]:
        """The full names of the models that a run of the target or of a teacher may call."""
        asked = [*self.metric.judge.models(self.job.target), *self._teacher_models()]
        return tuple(self.pool.full_name(self.pool.bind(name).name) for name in asked)

    def preflight(self) -> Iterator[str]:
        """Find missing extras, keys, models and tools. Yields warnings.

        Raises: LmcError with everything that is missing.
        """
        job, judge = self.job, self.metric.judge
        judged_by_model = job.task.metric.name in job.program.graph.graphs
        found = [*judge.preflight(job.target), *self.pool.preflight(self._teacher_models())]
        for teacher in filter(is_artifact, self._named("teacher")):
            executor = self.open_executor(job.program.parameters, Mode(teacher))
            found += executor.preflight(job.target)
        if judged_by_model:
            found += judge.preflight(job.task.metric.name)
        for step in job.steps:
            require_rows(job, step)
            self._check(step)
        yield from dict.fromkeys(warning.message for warning in found)
        if judged_by_model:
            yield from self._own_judge()

    def _check(self, step: Step) -> None:
        """Let an optimizer refuse a program or a teacher that it cannot use. Raises: LmcError."""
        optimizer, start, target = BY_NAME[step.name], self.job.program.parameters, self.job.target
        own = self.open_executor(start)
        if optimizer.check:
            optimizer.check(own, target, step.kwargs)
        if optimizer.check_teacher and (teacher := step.kwargs.get("teacher")):
            asked = self.open_executor(start, Mode(teacher))
            optimizer.check_teacher(own, asked, target, step.kwargs)

    async def close(self) -> None:
        """Close all models, including those of teachers."""
        await self.pool.close()
        for _, pool in self._teachers.values():
            await pool.close()

    def _own_judge(self) -> Iterator[str]:
        """Warn if a model judges its own answers."""
        job, judge = self.job, self.metric.judge
        shared = set(judge.models(job.target)) & set(judge.models(job.task.metric.name))
        if shared:
            name = self.pool.bind(min(shared, key=str)).name
            yield (
                f"`{job.task.metric.name}` judges with `{name}`, which also writes the answers."
                " Models prefer their own answers (Panickssery et al. 2024, arXiv 2404.13076)"
            )

    def _named(self, *keys: str) -> list[str]:
        """The values of these options in all steps."""
        return [name for step in self.job.steps for k in keys if (name := step.kwargs.get(k))]

    def _teacher_models(self) -> list[str]:
        teachers = [teacher for teacher in self._named("teacher") if not is_artifact(teacher)]
        return [*teachers, *self._named("proposer", "judge", "embedder")]

    def _assistant(self, executor: Executor) -> Assistant:
        names = [n for n in executor.models(self.job.target) if n is not None]
        return Assistant(self.pool, self.job.model or (names[0] if names else None), self._keep)

    def _preference(self, executor: Executor) -> Preference:
        """The metric that compares answers with those of the program as written."""
        job, start = self.job, self.job.program.parameters
        graph = job.program.graph.graphs[job.target]

        async def answer(inputs: Mapping[str, Any]) -> Any:
            return await self.open_executor(start).run(graph.name, inputs)

        names = [port.name for port in graph.inputs]
        source = "\n\n".join(job.sources.values())
        return Preference(self._assistant(executor), source, names, answer)

    def _teacher(self, path: str) -> tuple[Program, JournaledPool]:
        """A compiled program that makes the runs instead of this program.

        Its path is seen from the folder of this one. Raises: LmcError[outside-folder, …].
        """
        if path not in self._teachers:
            from lmc.program.program import load

            student = self.job.program
            options, folder = student.options, student.base_dir or Path()
            program = load(
                student.consent.place(folder, path, "a teacher"),
                backend=options.backend,
                tools=options.tools,
                hosts=options.hosts,
                paths=options.paths,
                on=options.on,
                batch_api=options.batch_api,
            )
            pool = JournaledPool.like(program.open_pool(cache=None), self.store, self.budget)
            self._teachers[path] = program, pool
        return self._teachers[path]
