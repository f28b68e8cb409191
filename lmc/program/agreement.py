"""Measure how well a judging model agrees with the labels of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.measure.metrics import resolve_metric
from lmc.measure.results import read_results
from lmc.tasks.loop import run_sync

if TYPE_CHECKING:
    from pathlib import Path

    from lmc.measure.rows import Rows
    from lmc.program.task import Task

PASSING = 0.5  # from this score on, a judge or a label counts as a yes


@frozen
class Agreement:
    """The share of rows on which judge and label agree, and Cohen's kappa.

    Kappa (Cohen 1960, "A coefficient of agreement for nominal scales") is 1 for full agreement and
    0 for agreement by chance. It is None if judge or label always says the same.
    """

    rows: int
    share: float
    kappa: float | None

    def __str__(self) -> str:
        kappa = "" if self.kappa is None else f" (kappa {self.kappa:.2f})"
        return f"agrees with the labels on {100 * self.share:.0f} % of {self.rows} rows{kappa}"


def judge_agreement(task: Task, rows: Rows, results: Path) -> Agreement | None:
    """Compare a metric that asks a model with exact labels; None if there is nothing to compare.

    `results` is the file with one line per row, in row order. Results without a score are left
    out.
    """
    program, judge = task.program, task.metric.name
    if judge not in program.graph.graphs or not program.executor.models(judge):
        return None
    try:
        columns = tuple(next(iter(rows)).values)
        labels = resolve_metric("accuracy", program.graph, task.graph, columns)
    except LmcError:
        return None

    async def compare() -> Agreement | None:
        said, right = [], []
        for row, result in zip(rows, read_results(results)):
            if result["score"] is not None and not result["failed"]:
                said.append(result["score"] >= PASSING)
                right.append((await labels.score(row.values, result["pred"])).value >= PASSING)
        return agreement(said, right)

    return run_sync(compare())


def agreement(said: Sequence[bool], right: Sequence[bool]) -> Agreement | None:
    """The agreement of two series of yes and no; None if they are empty."""
    count = len(said)
    if not count:
        return None
    share = sum(a == b for a, b in zip(said, right)) / count
    yes = sum(said) / count, sum(right) / count
    chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return Agreement(count, share, (share - chance) / (1 - chance) if chance < 1 else None)
