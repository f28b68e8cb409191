"""Runs for clients: a place, a budget and a time limit for each, and figures on all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.media.content import Media, map_media
from lmc.media.given import Access
from lmc.models.base import Answer
from lmc.program.program import Callee
from lmc.requests.budget import Budget
from lmc.requests.payers import paying
from lmc.requests.usage import Usage
from lmc.runtime.failures import is_infrastructure
from lmc.runtime.scope import Observer
from lmc.runtime.streaming import Listener
from lmc.runtime.traces import Trace
from lmc.serve.admission import Admission
from lmc.serve.hosted import HostedProgram, Programs
from lmc.serve.metrics import Metrics
from lmc.serve.options import ServeOptions
from lmc.serve.tracing import RunLog
from lmc.tasks.loop import run_async
from lmc.traces.store import Run
from lmc.values.taking import holds_media

T = TypeVar("T")
Answers = list[Answer]


@frozen
class RunRequest:
    """One run that a client wants. `inputs` are validated JSON."""

    id: str  # of the request
    hosted: HostedProgram
    callee: Callee
    inputs: Mapping[str, Any]
    sample: int = 0
    owner: str = ""

    @property
    def labels(self) -> tuple[str, str]:
        """The names of its program and target."""
        return self.hosted.name, self.callee.graph.name


@frozen
class RunResult:
    """What a run gave. `value` is JSON in which media are `data:` URLs."""

    value: Any
    usage: Usage

    def as_json(self) -> dict[str, Any]:
        """The body of an answer."""
        return {"result": self.value, "usage": usage_json(self.usage)}


class RequestRunner:
    """Runs what clients ask for. Belongs to the event loop of the server."""

    def __init__(
        self, programs: Programs, options: ServeOptions, metrics: Metrics, log: RunLog | None
    ) -> None:
        self.programs, self.options, self.metrics, self.log = programs, options, metrics, log
        self.admission = Admission(options.runs, options.queue)
        total = options.total_budget
        self.total = Budget.within(total) if total else None
        self._job = time.strftime("serve-%Y%m%d-%H%M%S")

    async def prepare(
        self, id: str, hosted: HostedProgram, target: str, inputs: Any, owner: str = ""
    ) -> RunRequest:
        """Check the inputs of a run. Raises: LmcError, as `Callee.bind` and `HostedProgram`."""
        callee = hosted.callee(target)
        if not isinstance(inputs, dict):
            raise LmcError.of("bad-request", "the inputs must be a JSON object, by their names")
        access = Access(consent=hosted.program.consent, kept=False)
        bound = await callee.bind_aside((), inputs, access)
        return RunRequest(id, hosted, callee, bound, 0, owner)

    async def run(
        self,
        request: RunRequest,
        *,
        listener: Listener | None = None,
        observer: Observer | None = None,
    ) -> RunResult:
        """Wait for a place, and run. Raises: LmcError."""
        with self.programs.using(request.hosted):
            async with self.admission:
                return await self.run_now(request, listener=listener, observer=observer)

    async def run_now(
        self,
        request: RunRequest,
        *,
        listener: Listener | None = None,
        observer: Observer | None = None,
    ) -> RunResult:
        """Run without waiting for a place. Raises: LmcError."""
        trace, start_s, outcome = Trace(), time.perf_counter(), "left"
        failure: LmcError | None = None
        value: Any = None
        try:
            async with asyncio.timeout(self.options.timeout_s) as limit:
                value = await run_async(self._paid(request, trace, listener, observer))
            outcome = "ok"
        except TimeoutError:
            if not limit.expired():
                raise
            failure = self._too_slow()
        except LmcError as failed:
            failure = failed
        finally:
            outcome = failure.code if failure else outcome
            self._tell(request, trace, value, failure, outcome, time.perf_counter() - start_s)
        if failure:
            raise failure
        if holds_media(request.callee.graph.result):
            value = await asyncio.to_thread(map_media, value, _data_url)
        return RunResult(value, trace.usage)

    async def ask(self, engine: str, work: Callable[[], Coroutine[Any, Any, Answers]]) -> Answers:
        """Ask a model that is served by itself, with a place, a budget and a time limit.

        Raises: LmcError.
        """
        async with self.admission:
            start_s, outcome, answers = time.perf_counter(), "left", []
            try:
                async with asyncio.timeout(self.options.timeout_s) as limit:
                    answers = await run_async(self._within_budgets(work))
                outcome = "ok"
            except TimeoutError:
                if not limit.expired():
                    raise
                outcome = "too-slow"
            except LmcError as failure:
                outcome = failure.code
                raise
            finally:
                self.metrics.runs.labels(engine, "", outcome).inc()
                self.metrics.run_seconds.labels(engine, "").observe(time.perf_counter() - start_s)
                self.metrics.used(engine, Usage.of(answers))
        if outcome == "too-slow":
            raise self._too_slow()
        return answers

    def _too_slow(self) -> LmcError:
        message = f"the run was stopped after {self.options.timeout_s:g} seconds"
        return LmcError.of("too-slow", message)

    async def _within_budgets(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with paying(*self.budgets()):
            return await work()

    def budgets(self) -> list[Budget]:
        """A new budget for one request, and the one of all."""
        own = self.options.budget
        return [*([Budget.within(own)] if own else []), *([self.total] if self.total else [])]

    async def _paid(
        self,
        request: RunRequest,
        trace: Trace,
        listener: Listener | None,
        observer: Observer | None,
    ) -> Any:
        executor = request.hosted.program.executor
        return await self._within_budgets(
            lambda: executor.run(
                request.callee.graph.name,
                request.inputs,
                trace=trace,
                sample=request.sample,
                listener=listener,
                observer=observer,
            )
        )

    def _tell(
        self,
        request: RunRequest,
        trace: Trace,
        value: Any,
        failure: LmcError | None,
        outcome: str,
        seconds: float,
    ) -> None:
        metrics, labels = self.metrics, request.labels
        metrics.runs.labels(*labels, outcome).inc()
        metrics.run_seconds.labels(*labels).observe(seconds)
        metrics.used(labels[0], trace.usage)
        if self.log is None:
            return
        parameters = request.hosted.program.parameters
        outside = outcome == "left" or (failure is not None and is_infrastructure(failure))
        run = Run(
            self._job, *labels, "serve", request.id, self.log.digest(parameters), request.inputs,
            trace, pred=value, failed="" if outcome == "ok" else _FAILED[outside],
            error=str(failure) if failure else None if outcome == "ok" else "the client left",
            sample=request.sample,
        )  # fmt: skip
        self.log.add(run, parameters)


_FAILED = {True: "infrastructure", False: "model"}


def usage_json(usage: Usage) -> dict[str, Any]:
    """What a run used."""
    return {
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
    }


def _data_url(value: dict[str, Any]) -> str:
    import base64

    media = Media.from_json(value)
    return f"data:{media.mime};base64,{base64.b64encode(media.data).decode()}"
