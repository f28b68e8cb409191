"""Writes the results of an evaluation to a file, in the order of the rows, as they arrive."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lmc.files import replacing
from lmc.measure.evaluate import Failed, Figures, Progress, RowResult, evaluate_each
from lmc.requests.usage import Usage

if TYPE_CHECKING:
    from lmc.measure.metrics import Metric
    from lmc.measure.rows import Rows
    from lmc.runtime.executor import Executor

SHOWN_FAILURES = 3


class ResultsFile(Figures):
    """Results in a file. Only the figures and the first failures are kept in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._values, self.rows, self._usage = array("d"), 0, Usage()
        self.first_failures: list[RowResult] = []
        self._file, self._failed = file, Counter[Failed]()
        self._waiting: dict[int, RowResult] = {}  # results whose predecessors are missing

    @property
    def values(self) -> array[float]:
        """Scores of the rows that have one."""
        return self._values

    @property
    def usage(self) -> Usage:
        """Calls, tokens and cost of all rows."""
        return self._usage

    def failures(self, kind: Failed) -> int:
        """The number of rows with this kind of failure."""
        return self._failed[kind]

    def take(self, number: int, result: RowResult) -> None:
        """Write a result after all results before it."""
        self._waiting[number] = result
        while (found := self._waiting.pop(self.rows, None)) is not None:
            self._add(found)

    def _add(self, result: RowResult) -> None:
        self.rows += 1
        self._usage += result.usage
        if result.value is not None:
            self._values.append(result.value)
        if result.failed:
            self._failed[result.failed] += 1
            if len(self.first_failures) < SHOWN_FAILURES:
                self.first_failures.append(result)
        self._file.write(result.line())


async def write_results(
    path: Path,
    executor: Executor,
    target: str,
    rows: Rows,
    metric: Metric,
    progress: Progress | None,
) -> ResultsFile:
    """Evaluate and write one JSON line for each row. The file is written whole or not at all.

    Raises: LmcError[cannot-write], and the errors of `evaluate`.
    """
    with replacing(path) as file:
        results = ResultsFile(file)
        await evaluate_each(executor, target, rows, metric, results.take, progress=progress)
    return results


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a results file, as `RowResult.line` wrote them."""
    with path.open("rb") as lines:
        yield from map(json.loads, lines)
