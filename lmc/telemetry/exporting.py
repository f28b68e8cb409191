"""Sending spans so that a server that is slow, broken or not there harms no run."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from lmc.redaction import logger
from lmc.tasks.foreign import said

_log = logger(__name__)
_LAST_S = 3.0  # for sending what is left when the process ends


class QuietExporter:
    """An exporter that never raises, and whose first failure alone is logged."""

    def __init__(self, exporter: Any, name: str) -> None:
        self._exporter, self._name, self._told = exporter, name, False
        # Without a handler, Python prints each failure of the exporter on standard error.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())

    def export(self, spans: Any) -> Any:
        """Send some spans."""
        try:
            result = self._exporter.export(spans)
            if result.name != "SUCCESS":
                self._tell("the server did not take them")
        except Exception as problem:
            self._tell(said(problem))
            return None
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits in the exporter itself."""
        return bool(self._exporter.force_flush(timeout_millis))

    def _tell(self, problem: str) -> None:
        if not self._told:
            self._told = True
            _log.warning("spans are not sent by the exporter `%s`: %s", self._name, problem)


def at_end(close: Callable[[], object]) -> None:
    """Call a function when the process ends, and leave it behind if it does not return in time.

    Its thread starts now, since an interpreter that ends starts none.
    """
    ending, ended, process = threading.Event(), threading.Event(), os.getpid()

    def wait() -> None:
        ending.wait()
        try:
            close()
        finally:
            ended.set()

    def end() -> None:
        if os.getpid() != process:  # a fork has no such thread
            return
        ending.set()
        if not ended.wait(_LAST_S):
            _log.warning("some spans were not sent within %g s", _LAST_S)

    threading.Thread(target=wait, name="lmc-otel-end", daemon=True).start()
    atexit.register(end)
