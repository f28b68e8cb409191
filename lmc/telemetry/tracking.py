"""Measurements and compilations as runs of MLflow.

Where it is, and which experiment, the variables of MLflow say: `MLFLOW_TRACKING_URI`,
`MLFLOW_EXPERIMENT_NAME`, … A run of the caller is the parent. Writing happens in a thread of its
own. A server that goes away costs one warning and no run.
"""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.redaction import logger, redact
from lmc.tasks.foreign import said
from lmc.version import __version__

_log = logger(__name__)
TRACKERS = ("mlflow",)
_EXPERIMENT = "lmc"
_MOST_CHARS = 5000  # of a parameter; MLflow refuses longer ones
_LAST_S = 60.0  # for what is not written when a run has ended
_OF_PARENT = "mlflow.parentRunId"
Work = Callable[[], object]


@frozen
class CallersRun:
    """A run of MLflow that the caller has begun, with its experiment."""

    id: str
    experiment: str


def callers_run() -> CallersRun | None:
    """The run of MLflow that is active in this thread."""
    mlflow = sys.modules.get("mlflow")
    found = mlflow.active_run() if mlflow is not None else None
    return CallersRun(found.info.run_id, found.info.experiment_id) if found is not None else None


def open_tracking(track: str | None, parent: CallersRun | None = None) -> TrackedRun | None:
    """A run that can be started, or None if nothing is tracked. It may wait for a server.

    Without a parent, and another experiment in MLflow's variables, the run is in one called `lmc`.
    Raises: LmcError[unknown-tracker, missing-extra, cannot-track].
    """
    if track is None:
        return None
    if track not in TRACKERS:
        message = f"there is no tracking tool `{track}`"
        raise LmcError.of("unknown-tracker", message, help=suggestion(track, TRACKERS))
    if find_spec("mlflow") is None:
        message = "tracking needs mlflow-skinny or mlflow"
        raise LmcError.of("missing-extra", message, help='pip install "lmc-lang[mlflow]"')
    try:
        return _connected(parent)
    except Exception as problem:
        message = f"MLflow cannot be reached or set up: {said(problem)}"
        help = "look at MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME"
        raise LmcError.of("cannot-track", message, help=help) from None


def _connected(parent: CallersRun | None) -> TrackedRun:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    if parent is not None:
        return TrackedRun(client, client.get_run(parent.id).info.experiment_id, parent.id)
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return TrackedRun(client, client.get_experiment(given).experiment_id)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    known = client.get_experiment_by_name(name)
    return TrackedRun(client, known.experiment_id if known else client.create_experiment(name))


class TrackedRun:
    """A run of MLflow. Its methods return at once and never raise, but `settle` waits."""

    def __init__(self, client: Any, experiment: str, parent: str | None = None) -> None:
        self._client, self._experiment, self._parent = client, experiment, parent
        self._todo: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._broken, self.id = False, ""
        self._thread: threading.Thread | None = None

    def start(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin the run. What is None is no parameter."""
        tags = {"lmc.version": __version__} | ({_OF_PARENT: self._parent} if self._parent else {})

        def begin() -> None:
            made = self._client.create_run(self._experiment, run_name=name, tags=tags)
            self.id = made.info.run_id
            self._log(params=[_parameter(key, v) for key, v in parameters.items() if v is not None])

        self._soon(begin)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Add numbers, at one step of the run."""
        at_ms = int(time.time() * 1000)
        known = {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}

        def add() -> None:
            from mlflow.entities import Metric

            self._log(metrics=[Metric(key, value, at_ms, step) for key, value in known.items()])

        self._soon(add)

    def tags(self, values: Mapping[str, str]) -> None:
        """Add texts about the run."""

        def add() -> None:
            from mlflow.entities import RunTag

            self._log(
                tags=[RunTag(key, redact(text)[:_MOST_CHARS]) for key, text in values.items()]
            )

        self._soon(add)

    def file(self, path: Path) -> None:
        """Keep a file as it is now, if it exists."""
        if path.is_file():
            self._soon(lambda: self._client.log_artifact(self.id, str(path)))

    def text(self, text: str, name: str) -> None:
        """Keep a text as a file of this name."""
        self._soon(lambda: self._client.log_text(self.id, redact(text), name))

    def end(self, *, failed: bool = False) -> None:
        """End the run. One that did not start has no end."""
        if self._thread is not None:
            status = "FAILED" if failed else "FINISHED"
            self._soon(lambda: self._client.set_terminated(self.id, status))

    def settle(self) -> None:
        """Wait until all so far is written."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._todo.put(None)
        thread.join(_LAST_S)
        if thread.is_alive():
            self._broken = True
            _log.warning("MLflow did not take the whole run within %g s", _LAST_S)

    def _soon(self, work: Work) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="lmc-mlflow", daemon=True)
            self._thread.start()
        self._todo.put(work)

    def _log(self, **what: Any) -> None:
        self._client.log_batch(self.id, **what)

    def _write(self) -> None:
        while (work := self._todo.get()) is not None:
            if self._broken:
                continue
            try:
                work()
            except Exception as problem:
                self._broken = True
                _log.warning("MLflow takes nothing more of this run: %s", said(problem))


def _parameter(key: str, value: Any) -> Any:
    from mlflow.entities import Param

    return Param(key, redact(str(value))[:_MOST_CHARS])
