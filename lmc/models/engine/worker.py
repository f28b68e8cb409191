"""The thread that owns a local engine. It accepts requests at any time and steps all of them."""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.engine.openmp import wait_without_spinning

_GATHER_S = 0.003  # wait for further requests after the first one
_STOP_TIMEOUT_S = 5.0


class SteppedEngine(Protocol):
    """An engine that accepts requests at any time and decodes all of them step by step."""

    @property
    def idle(self) -> bool:
        """Whether no request is in progress."""
        ...

    def admit(self, job: Job) -> None:
        """Accept a request."""
        ...

    def step(self) -> None:
        """Continue all accepted requests by one token."""
        ...

    def fail(self, failure: ModelFailure) -> None:
        """Fail all requests in progress."""
        ...


@dataclass(eq=False, slots=True)
class Errand:
    """What is done with the engine in its thread while no request is in progress."""

    work: Callable[[Any], Any]
    done: Future[Any] = field(default_factory=Future)

    def run(self, engine: SteppedEngine) -> None:
        """Do it, and deliver what it returns or raises."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.work(engine))
        except BaseException as problem:
            self.done.set_exception(problem)

    def fail(self, failure: ModelFailure) -> None:
        """Deliver the failure to the caller."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_exception(failure)


@dataclass(eq=False, slots=True)
class Job:
    """A request in the engine's thread. Cancelling its future stops its rows."""

    request: Request
    done: Future[list[Answer]] = field(default_factory=Future)
    start_s: float = field(default_factory=time.perf_counter)

    @property
    def settled(self) -> bool:
        """Whether it is answered, or nobody waits for the answers."""
        return self.done.done()

    def succeed(self, answers: list[Answer]) -> None:
        """Deliver the answers to the caller."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_result(answers)

    def fail(self, failure: ModelFailure) -> None:
        """Deliver the failure to the caller."""
        if not self.settled and self.done.set_running_or_notify_cancel():
            self.done.set_exception(failure)


class Worker:
    """The thread of one engine. It loads the engine at the first request and keeps it running.

    Pools with the same model share its worker, and so the weights.
    """

    def __init__(self, load: Callable[[], SteppedEngine]) -> None:
        self.users, self._load = 0, load
        self._stopping = False
        self._jobs: queue.SimpleQueue[Job | Errand | None] = queue.SimpleQueue()
        self._errands: deque[Errand] = deque()
        self._thread = threading.Thread(target=self._work, name="lmc-engine", daemon=True)
        self._thread.start()
        # A thread inside torch at the end of the interpreter crashes the process.
        atexit.register(self.stop)

    def submit(self, job: Job | Errand) -> None:
        """Queue a request, which joins the running batch, or an errand, which waits for its end."""
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread after all queued requests are answered. This releases the weights."""
        atexit.unregister(self.stop)
        self._jobs.put(None)
        self._thread.join(_STOP_TIMEOUT_S)

    def _work(self) -> None:
        engine: SteppedEngine | ModelFailure | None = None
        while True:
            busy = engine is not None and not isinstance(engine, ModelFailure) and not engine.idle
            if self._stopping and not busy and not self._errands:
                return
            # While an errand waits, new requests wait too.
            jobs = [] if self._errands else self._new_jobs(wait=not busy)
            if engine is None and (jobs or self._errands):
                engine = _loaded(self._load)
            if isinstance(engine, ModelFailure):
                for job in jobs:
                    job.fail(engine)
                while self._errands:
                    self._errands.popleft().fail(engine)
            elif engine is not None:
                _go_on(engine, jobs)
                while self._errands and engine.idle:
                    self._errands.popleft().run(engine)

    def _new_jobs(self, *, wait: bool) -> list[Job]:
        """The new requests. With `wait`, wait for the first one, then briefly for others."""
        jobs: list[Job] = []
        while not self._stopping:
            try:
                if wait:
                    job = self._jobs.get(timeout=_GATHER_S if jobs else None)
                else:
                    job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._stopping = True
            elif isinstance(job, Errand):
                self._errands.append(job)
                break
            else:
                jobs.append(job)
        return jobs


def _loaded(load: Callable[[], SteppedEngine]) -> SteppedEngine | ModelFailure:
    wait_without_spinning()
    try:
        return load()
    except Exception as e:  # the library raises anything for a broken folder
        hint = "is it there, with config.json, *.safetensors and a tokenizer?"
        message = f"cannot load the model: {type(e).__name__}: {e}"
        return ModelFailure("not_found", message[:600], retryable=False, hint=hint)


def _go_on(engine: SteppedEngine, jobs: list[Job]) -> None:
    try:
        for job in jobs:
            engine.admit(job)
        engine.step()
    except Exception as e:  # such as out of memory: the thread must survive
        failure = ModelFailure("server", f"{type(e).__name__}: {e}", retryable=False)
        engine.fail(failure)
        for job in jobs:
            job.fail(failure)
