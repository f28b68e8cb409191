"""Compares several ways to improve a program. Each gets the same rows, seed and budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmc.frozen import frozen
from lmc.measure.figures import Difference, Figure
from lmc.measure.statistics import paired_difference, paired_p_value
from lmc.optimizers.compilation.compile import compile
from lmc.optimizers.compilation.result import CompileResult
from lmc.traces.store import Filter, TraceStore

AS_WRITTEN = "as written"


@frozen
class Way:
    """The result of one way on the test rows, and its cost.

    `scores` maps rows to scores. `calls`, `tokens` and `seconds` are the cost of the improvement.
    """

    name: str
    figure: Figure
    scores: dict[str, float]
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    result: CompileResult | None = None

    def against(self, other: Way) -> Difference | None:
        """The paired difference to another way, over the rows that both have a score for."""
        rows = [row for row in self.scores if row in other.scores]
        if not rows:
            return None
        series = [other.scores[r] for r in rows], [self.scores[r] for r in rows]
        low, high = paired_difference(*series)
        mean = sum(b - a for a, b in zip(*series)) / len(rows)
        p_value = paired_p_value(*series)
        return Difference(mean=mean, low=low, high=high, p_value=p_value, rows=len(rows))


def compare(
    program: str | Path, optimizers: Sequence[str], *, folder: Path | None = None, **options: Any
) -> list[Way]:
    """Improve a program in several ways. The first result is the program as written.

    `optimizers` are texts as `compile` takes them. `folder` receives an artifact for each.
    Raises: LmcError.
    """
    ways: list[Way] = []
    for number, optimizer in enumerate(optimizers, 1):
        out = folder / f"{Path(program).stem}.{number}.lmpc" if folder else None
        start = time.monotonic()
        result = compile(program, optimizer=optimizer, out=out, **options)
        seconds = time.monotonic() - start
        if result.test is None:
            continue
        if not ways:
            scores = _scores(result, improved=False)
            ways.append(Way(AS_WRITTEN, result.test.before, scores))
        scores = _scores(result, improved=result.improved)
        used = result.used
        name = " >> ".join(result.artifact.manifest.steps)
        figure = result.test.after if result.improved else result.test.before
        ways.append(Way(name, figure, scores, used.calls, used.tokens, seconds, result))
    return ways


def _scores(result: CompileResult, *, improved: bool) -> dict[str, float]:
    """The scores of the test rows, by row, from the trace store."""
    store = TraceStore()
    try:
        runs = list(store.runs(Filter(job=result.job, stage="final test")))
    finally:
        store.close()
    wanted = result.digests[1 if improved else 0]
    return {r.row: r.score for r in runs if r.parameters == wanted and r.score is not None}
