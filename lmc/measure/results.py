"""Writes the results of an evaluation to a file, in the order of the rows, as they arrive."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lmc.files import replacing
from lmc.measure.evaluate import Failed, Figures, Progress, RowResult, evaluate_each
from lmc.measure.results_tables import SUFFIXES, ParquetResults, read_parquet_results
from lmc.measure.row_journal import row_journal
from lmc.requests.usage import Usage

if TYPE_CHECKING:
    from lmc.measure.metrics import Metric
    from lmc.measure.rows import Rows
    from lmc.runtime.executor import Executor

SHOWN_FAILURES = 3


class ResultsFile(Figures):
    """Results in a file. Only the figures and the first failures are kept in memory.

    What is not `scored` has no scores, so nothing is kept of a row.
    """

    def __init__(self, write: Callable[[RowResult], object], *, scored: bool = True) -> None:
        self._scored = scored
        self._values, self.rows, self._usage = array("d"), 0, Usage()
        self.first_failures: list[RowResult] = []
        self._write, self._failed = write, Counter[Failed]()
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
        if result.value is not None and self._scored:
            self._values.append(result.value)
        if result.failed:
            self._failed[result.failed] += 1
            if len(self.first_failures) < SHOWN_FAILURES:
                self.first_failures.append(result)
        self._write(result)


async def write_results(
    path: Path,
    executor: Executor,
    target: str,
    rows: Rows,
    metric: Metric,
    progress: Progress | None,
    *,
    scored: bool = True,
    journaled: Sequence[str] = (),
) -> ResultsFile:
    """Evaluate and write a JSON line for each row, or a row of a Parquet file.

    If they are not `scored`, the results have no scores. The file is written whole or not at all.
    With `journaled`, which says what is measured, finished rows are kept until then.
    Raises: LmcError[cannot-write, missing-extra], and the errors of `evaluate`.
    """
    keeping = row_journal(path, journaled) if journaled else nullcontext()
    with (
        keeping as journal,
        replacing(path, tidy=True) as file,
        _writing(path, file, scored) as write,
    ):
        results = ResultsFile(write, scored=scored)
        await evaluate_each(
            executor, target, rows, metric, results.take, progress=progress, journal=journal
        )
    return results


@contextmanager
def _writing(path: Path, file: IO[bytes], scored: bool) -> Iterator[Callable[[RowResult], object]]:
    """What writes a result, by the suffix of the file."""
    if path.suffix.lower() not in SUFFIXES:
        yield lambda result: file.write(result.line(scored=scored))
        return
    table = ParquetResults(file, scored=scored)
    yield table.write
    table.close()


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """The contents of a results file, as `write_results` wrote them."""
    if path.suffix.lower() in SUFFIXES:
        yield from read_parquet_results(path)
        return
    with path.open("rb") as lines:
        yield from map(json.loads, lines)
