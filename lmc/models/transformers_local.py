"""Models run here with transformers: all that is asked at a time is written side by side.

Importing this file is cheap; torch and transformers are imported by the engine's own thread when
the first request comes, so that a run answered from the cache never pays for them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from lmc.diagnostics import LmcError, error
from lmc.models.base import Answer, Capabilities, ModelFailure, Price, Request

_GATHER_S = 0.003  # how long the thread waits for company after the first request
_STOP_TIMEOUT_S = 5.0
_HASHED_IN_FULL_BYTES = 64 << 20


class Engine(Protocol):
    """What writes answers: requests are admitted at any time, and all go on step by step."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        ...

    def admit(self, job: Job) -> None:
        """Take in a request."""
        ...

    def step(self) -> None:
        """Go on with all that was admitted."""
        ...

    def fail(self, failure: ModelFailure) -> None:
        """Give up all that is under way."""
        ...


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way through the engine's thread; a cancelled future stops its rows."""

    request: Request
    done: Future[list[Answer]] = field(default_factory=Future)
    start_s: float = field(default_factory=time.perf_counter)

    @property
    def settled(self) -> bool:
        """Whether it is answered, or nobody waits for the answers any more."""
        return self.done.done()

    def succeed(self, answers: list[Answer]) -> None:
        """Hand over the answers."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_result(answers)

    def fail(self, failure: ModelFailure) -> None:
        """Hand over the failure."""
        if not self.settled and self.done.set_running_or_notify_cancel():
            self.done.set_exception(failure)


class Worker:
    """The thread that owns one engine: it loads it at the first request and keeps it writing.

    Pools that name the same model share its worker, and so the weights.
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self.users, self._load = 0, load
        self._stopping = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="lmc-engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a request; it joins the running batch."""
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread after what was asked is answered, which lets the weights go."""
        self._jobs.put(None)
        self._thread.join(_STOP_TIMEOUT_S)

    def _work(self) -> None:
        engine: Engine | ModelFailure | None = None
        while True:
            busy = engine is not None and not isinstance(engine, ModelFailure) and not engine.idle
            if self._stopping and not busy:
                return
            jobs = self._new_jobs(wait=not busy)
            if jobs and engine is None:
                engine = _loaded(self._load)
            if isinstance(engine, ModelFailure):
                for job in jobs:
                    job.fail(engine)
            elif engine is not None:
                _go_on(engine, jobs)

    def _new_jobs(self, *, wait: bool) -> list[Job]:
        """What was asked since; with `wait` for a first request, and a moment for its company."""
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
            else:
                jobs.append(job)
        return jobs


_workers: dict[str, Worker] = {}  # by endpoint; touched on the event loop only
if hasattr(os, "register_at_fork"):  # a child has none of the threads
    os.register_at_fork(after_in_child=_workers.clear)


class Transformers:
    """A causal language model in a folder (or of a model hub), on the GPU if there is one.

    The text of a sample depends on messages, sampling, seed and sample index only, not on what else
    is in the batch (float32 on a CPU; a GPU computes in bfloat16, where rounding may differ).
    Without a temperature sample 0 is greedy and further ones are drawn at 0.7; no seed is seed 0.
    """

    price: Price | None = Price(0.0, 0.0)

    def __init__(self, source: str) -> None:
        self.source = source
        self.endpoint = f"transformers:{_fingerprint(source)}"
        self.capabilities = Capabilities(
            json_schema=find_spec("llguidance") is not None,
            logprobs=True,
            multiple_samples=True,
            adapters=True,
            seed=True,
            local=True,
        )
        self._worker: Worker | None = None

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Answer together with what else is asked at this moment. Raises: ModelFailure."""
        if self._worker is None:
            self._worker = _workers.get(self.endpoint) or Worker(partial(self.load, self.source))
            _workers[self.endpoint] = self._worker
            self._worker.users += 1
        job = Job(request)
        self._worker.submit(job)
        return await asyncio.wrap_future(job.done)

    @staticmethod
    def load(source: str) -> Engine:
        """Load the engine, in its own thread."""
        from lmc.models.decoding import load_engine

        return load_engine(source)

    async def close(self) -> None:
        """Let the weights go when nobody else uses them."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.users -= 1
        if worker.users == 0:
            _workers.pop(self.endpoint, None)
            await asyncio.to_thread(worker.stop)


def open_transformers(model: str, settings: Mapping[str, Any]) -> Transformers:
    """`hf/<folder or hub name>`; a folder is looked up relative to the program, then as given.

    Raises: LmcError[unknown-model] for a path that is no folder with a model.
    """
    base_dir = Path(settings.get("base_dir") or ".")
    for folder in (base_dir / Path(model).expanduser(), Path(model).expanduser()):
        if (folder / "config.json").is_file():
            return Transformers(str(folder.resolve()))
    if model.startswith(("/", ".", "~")) or model.count("/") != 1:
        message = f"there is no model in the folder {model}"
        help = "a model is a folder with config.json, safetensors and a tokenizer"
        raise LmcError(error("unknown-model", message, help=help))
    return Transformers(model)


def _loaded(load: Callable[[], Engine]) -> Engine | ModelFailure:
    # Read by OpenMP when torch is loaded: waiting threads that spin starve the working ones where
    # other processes share the cores (measured: 20 times slower).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return load()
    except Exception as e:  # a broken folder raises whatever the library meets first
        hint = "is it there, with config.json, *.safetensors and a tokenizer?"
        message = f"cannot load the model: {type(e).__name__}: {e}"
        return ModelFailure("not_found", message[:600], retryable=False, hint=hint)


def _go_on(engine: Engine, jobs: list[Job]) -> None:
    try:
        for job in jobs:
            engine.admit(job)
        engine.step()
    except Exception as e:  # out of memory, say: the thread must live on
        failure = ModelFailure("server", f"{type(e).__name__}: {e}", retryable=False)
        engine.fail(failure)
        for job in jobs:
            job.fail(failure)


def _fingerprint(source: str) -> str:
    """Identify the weights in cache keys: by content of small files, else size and time."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for file in sorted(
        p for p in folder.iterdir() if p.suffix in {".json", ".safetensors", ".jinja"}
    ):
        stat = file.stat()
        digest.update(f"{file.name}\0{stat.st_size}\0".encode())
        small = stat.st_size <= _HASHED_IN_FULL_BYTES
        digest.update(file.read_bytes() if small else str(stat.st_mtime_ns).encode())
    return digest.hexdigest()[:32]
