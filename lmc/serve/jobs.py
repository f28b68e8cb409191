"""Accepted jobs: rows that run in the background until each has an answer in the journal."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from lmc.diagnostics import LmcError
from lmc.redaction import logger
from lmc.serve.journal import FAILED, OK, WAITING, AcceptedJob, JobJournal, JobRow, RowAnswer
from lmc.serve.problems import internal, of_row, problem_json
from lmc.serve.runner import RequestRunner

T = TypeVar("T")
_log = logger(__name__)
_PURGE_S = 3600.0
_AGAIN_S = 5.0  # after the journal failed
_RECENT = 1000  # cancelled jobs
MOST_KEY = 255  # characters of an Idempotency-Key


class Jobs:
    """Accepts jobs, and runs their rows. Belongs to one event loop."""

    def __init__(self, runner: RequestRunner, path: Path) -> None:
        self._runner, self._options = runner, runner.options
        self._journal = JobJournal(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lmc-jobs")
        self._news = asyncio.Event()  # rows were added
        self._in_hand: set[tuple[str, int]] = set()
        self._running: dict[tuple[str, int], asyncio.Future[RowAnswer]] = {}
        self._cancelled: dict[str, None] = {}  # jobs whose rows may be on their way to a worker
        self._unsaved: dict[int, RowAnswer] = {}
        self._saving = asyncio.Lock()
        self._ends: dict[str, asyncio.Event] = {}

    def open(self) -> None:
        """Open the journal. Raises: LmcError[cannot-open-jobs]."""
        self._journal.open()

    # --- for clients ---

    async def submit(
        self, id: str, owner: str, key: str | None, target: tuple[str, str], rows: Sequence[Any]
    ) -> tuple[AcceptedJob, bool]:
        """Check all rows and accept them. Returns the job, and whether it is new.

        Raises: LmcError[too-many-rows, key-reused, too-busy], and those of `RequestRunner.prepare`.
        """
        if not 0 < len(rows) <= self._options.job_rows:
            message = f"a job has 1 to {self._options.job_rows:,} rows, not {len(rows):,}"
            raise LmcError.of("too-many-rows", message)
        program, name = target
        hosted = self._runner.programs.find(program)
        for number, row in enumerate(rows):
            try:
                await self._runner.prepare(id, hosted, name, row)
            except LmcError as failure:
                raise (of_row(failure, number) if len(rows) > 1 else failure) from None
            if number % 64 == 63:
                await asyncio.sleep(0)
        digest = hashlib.sha256(json.dumps([*target, *rows], sort_keys=True).encode()).hexdigest()
        most = self._options.waiting_rows
        job, new = await self._do(self._journal.accept, owner, key, digest, target, rows, most)
        self._news.set()
        return job, new

    async def job(self, id: str, owner: str) -> AcceptedJob:
        """A job of its owner. Raises: LmcError[unknown-job]."""
        return await self._do(self._journal.job, id, owner)

    async def cancel(self, id: str, owner: str) -> AcceptedJob:
        """Take the waiting rows of a job back, and stop those that run.

        Raises: LmcError[unknown-job].
        """
        job = await self._do(self._journal.cancel, id, owner)
        self._cancelled = {**dict.fromkeys(list(self._cancelled)[-_RECENT:]), id: None}
        if end := self._ends.get(id):
            end.set()
        for (of_job, _), run in list(self._running.items()):
            if of_job == id:
                run.cancel()
        return job

    async def answers(self, id: str, start: int, most: int) -> list[RowAnswer]:
        """The answers of a job's rows, from a number on."""
        return await self._do(self._journal.answers, id, start, most)

    async def finished(self, id: str, owner: str) -> RowAnswer:
        """Wait for a job of one row. Raises: LmcError[unknown-job]."""
        end = self._ends.setdefault(id, asyncio.Event())
        while True:
            await self._do(self._journal.job, id, owner)
            found = await self._do(self._journal.answers, id, 0, 1)
            if found and found[0].state != WAITING:
                self._ends.pop(id, None)
                return found[0]
            await end.wait()

    # --- in the background ---

    async def work(self) -> None:
        """Run what waits, until it is cancelled. Unfinished rows wait in the journal."""
        queue: asyncio.Queue[JobRow] = asyncio.Queue(self._options.job_runs)
        workers = [
            asyncio.ensure_future(self._run_rows(queue)) for _ in range(self._options.job_runs)
        ]
        purging = asyncio.ensure_future(self._purge())
        try:
            await self._feed(queue)
        finally:
            for task in (*workers, purging):
                task.cancel()
            await asyncio.wait((*workers, purging))
            await asyncio.shield(self._do(self._journal.close))
            self._thread.shutdown(wait=False)

    async def _feed(self, queue: asyncio.Queue[JobRow]) -> None:
        while True:
            self._news.clear()
            most = len(self._in_hand) + 4 * self._options.job_runs
            try:
                rows = await self._do(self._journal.waiting, most)
            except LmcError as problem:
                _log.error("%s", problem)
                await asyncio.sleep(_AGAIN_S)
                continue
            fresh = [row for row in rows if (row.job, row.number) not in self._in_hand]
            for row in fresh:
                self._in_hand.add((row.job, row.number))
                await queue.put(row)
            if not fresh:
                await self._news.wait()

    async def _run_rows(self, queue: asyncio.Queue[JobRow]) -> None:
        while True:
            row = await queue.get()
            try:
                if row.job not in self._cancelled:
                    await self._save(await self._one(row))
            except asyncio.CancelledError:
                if (this := asyncio.current_task()) is None or this.cancelling():
                    raise
            except LmcError as problem:  # the journal failed: the row waits, and is run again
                _log.error("%s", problem)
                await asyncio.sleep(_AGAIN_S)
            finally:
                self._in_hand.discard((row.job, row.number))
                if queue.empty():
                    self._news.set()

    async def _one(self, row: JobRow) -> RowAnswer:
        key = row.job, row.number
        self._running[key] = asyncio.ensure_future(self._answer(row))
        try:
            return await self._running[key]
        finally:
            del self._running[key]

    async def _answer(self, row: JobRow) -> RowAnswer:
        id = f"{row.job}.{row.number}"
        runner = self._runner
        try:
            hosted = runner.programs.find(row.program)
            with runner.programs.using(hosted):
                request = await runner.prepare(id, hosted, row.target, row.inputs, row.owner)
                result = await runner.run_now(request)
            answer, state = result.as_json(), OK
        except LmcError as failure:
            answer, state = problem_json(failure, id), FAILED
        except Exception as bug:
            answer, state = problem_json(internal(bug, id), id), FAILED
        runner.metrics.rows.labels(state).inc()
        return RowAnswer(row.job, row.number, state, answer)

    async def _save(self, answer: RowAnswer) -> None:
        """Keep an answer. All that come while one is written are written together."""
        self._unsaved[id(answer)] = answer
        async with self._saving:
            if id(answer) not in self._unsaved:
                return
            some, self._unsaved = self._unsaved, {}
            for job in await self._do(self._journal.finish, list(some.values())):
                if end := self._ends.get(job):
                    end.set()

    async def _purge(self) -> None:
        while True:
            with suppress(LmcError):
                await self._do(self._journal.purge, self._options.keep_jobs_days)
            await asyncio.sleep(_PURGE_S)

    async def _do(self, work: Callable[..., T], *args: Any) -> T:
        """Use the journal in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
