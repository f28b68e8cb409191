"""Writes the runs of a compilation to the trace store, and reads those to learn from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmc.frozen import frozen
from lmc.optimizers.candidates.trials import Mode, parameters_key
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import Trace
from lmc.traces.store import Filter, Run, TraceStore, parameters_digest

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult
    from lmc.measure.rows import Row
    from lmc.optimizers.assistant.ask import Answered

ASSISTANT = "assistant"  # the stage of the questions that optimizers ask a model


def digest_of(parameters: Parameters) -> str:
    """The name of parameters in the trace store. The origin of demonstrations does not count."""
    return parameters_digest({"key": parameters_key(parameters)})


def forget(store: TraceStore, job: str) -> int:
    """Remove the runs of a job and the questions of its optimizers. Returns how many."""
    return store.remove(job) + store.remove(_assistant_job(job))


def _assistant_job(job: str) -> str:
    return f"{job}/{ASSISTANT}"


@frozen
class Recorder:
    """The runs of one compilation in the trace store."""

    store: TraceStore
    job: str
    program: str
    target: str

    async def keep(
        self,
        stage: str,
        parameters: Parameters,
        rows: Sequence[Row],
        mode: Mode,
        results: Sequence[RowResult],
    ) -> None:
        """Store finished runs. Raises: LmcError[cannot-write]."""
        runs = [self._run(stage, parameters, *pair, mode) for pair in zip(rows, results)]
        await asyncio.to_thread(self.store.add, runs, parameters.to_json())

    async def keep_answers(self, answered: Sequence[Answered]) -> None:
        """Store the questions that optimizers asked a model, as a separate job."""
        nothing = Parameters()
        runs = [
            Run(
                job=_assistant_job(self.job),
                program=f"{ASSISTANT}.lmp",
                target=question.module,
                stage=ASSISTANT,
                row=parameters_digest(question.inputs),
                parameters=digest_of(nothing),
                values=question.inputs,
                trace=trace,
                pred=answer,
                sample=question.sample,
            )
            for question, trace, answer in answered
        ]
        await asyncio.to_thread(self.store.add, runs, nothing.to_json())

    async def runs(self, parameters: Parameters, rows: Sequence[Row], mode: Mode) -> list[Run]:
        """The runs of some parameters on some rows, in the order of the rows.

        Rows without a run are left out.
        """
        wanted = [self._run("", parameters, row, None, mode).id for row in rows]
        found = await asyncio.to_thread(lambda: list(self.store.runs(Filter(ids=wanted))))
        by_id = {run.id: run for run in found}
        return [by_id[id] for id in wanted if id in by_id]

    def _run(
        self, stage: str, parameters: Parameters, row: Row, result: RowResult | None, mode: Mode
    ) -> Run:
        return Run(
            job=self.job,
            program=self.program,
            target=mode.target or self.target,
            stage=stage,
            row=row.id,
            parameters=digest_of(parameters),
            values=row.values,
            trace=(result.trace if result else None) or Trace(),
            score=result.value if result else None,
            pred=result.pred if result else None,
            feedback=result.feedback if result else "",
            failed=result.failed if result else "",
            error=result.error if result else None,
            training=mode.training,
            sample=mode.sample,
            variant=mode.variant,
            rewards=result.rewards if result else {},
        )
