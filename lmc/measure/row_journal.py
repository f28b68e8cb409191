"""Rows that are finished, kept beside the results until these are complete.

Tools of a program may have effects on the world. An evaluation that was killed and is given again
takes its finished rows from here, so that their effects are not had twice. A row that was under
way when the process ended is run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError
from lmc.files import cannot_write, hold
from lmc.measure.evaluate import RowResult
from lmc.models.base import TokenDetails
from lmc.redaction import logger
from lmc.requests.usage import Usage

_log = logger(__name__)
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # a line that is


class RowJournal:
    """The finished rows of one measurement, by their ids."""

    def __init__(self, file: IO[bytes], found: dict[str, RowResult]) -> None:
        self._file, self._found = file, found

    def finished(self, id: str) -> RowResult | None:
        """The result of a row that an earlier run finished."""
        return self._found.get(id)

    def keep(self, result: RowResult) -> None:
        """Keep a result, unless no model answered. Raises: LmcError[cannot-write]."""
        if result.failed == "infrastructure":
            return
        try:
            self._file.write(_line(result))
            self._file.flush()
        except OSError as problem:
            raise cannot_write(self._file.name, problem) from None


@contextmanager
def row_journal(results: Path, measured: Sequence[str]) -> Iterator[RowJournal]:
    """The journal beside a file of results. It is removed if the block ends without an exception.

    `measured` says what is measured: a journal of something else is not used.
    Raises: LmcError[cannot-write].
    """
    path = results.with_name(f".{results.name}.rows")
    key = hashlib.sha256("\0".join(measured).encode()).hexdigest().encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as problem:
        raise cannot_write(path, problem) from None
    with file:
        if not hold(file):
            message = f"another process measures into {results}"
            raise LmcError.of("cannot-write", message, help="give this one another file: `-o FILE`")
        yield RowJournal(file, _read(file, key))
    path.unlink(missing_ok=True)


def _read(file: IO[bytes], key: bytes) -> dict[str, RowResult]:
    """The results in a journal with this key. One with another key is begun anew."""
    file.seek(0)
    begins, *lines = file.read().split(b"\n")
    if begins != key:
        file.truncate(0)
        file.write(key + b"\n")
        file.flush()
        return {}
    found: dict[str, RowResult] = {}
    for line in lines:
        with contextlib.suppress(*_BROKEN):  # the last one may be cut
            result = _result(json.loads(line))
            found[result.id] = result
    if not lines or lines[-1]:
        file.write(b"\n")
    if found:
        _log.warning("%d rows were finished by an earlier run and are not run again", len(found))
    return found


def _line(result: RowResult) -> bytes:
    told = {
        "id": result.id, "value": result.value, "pred": result.pred,
        "feedback": result.feedback, "error": result.error, "failed": result.failed,
        "usage": asdict(result.usage), "rewards": dict(result.rewards),
    }  # fmt: skip
    return json.dumps(told).encode() + b"\n"


def _result(told: dict[str, Any]) -> RowResult:
    used = {**told.pop("usage")}
    usage = Usage(**{**used, "details": TokenDetails(**used["details"])})
    return RowResult(**told, usage=usage)
