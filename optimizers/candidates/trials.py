"""Runs the program on rows for an optimizer. Each run is made once, within the budget."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.optimizers.events import Report, RowDone, StageStarted, Totals
from lmc.requests.usage import Usage
from lmc.runtime.parameters import Parameters
from lmc.tasks.together import for_all

if TYPE_CHECKING:
    from lmc.measure.evaluate import Evaluation, RowResult
    from lmc.measure.rows import Row

HEADROOM = 1.5  # the next run may cost this much more than the most expensive one so far
CALLS_HEADROOM = 1.25  # the next run may make this many times the average calls so far
FEW_ROWS = 4  # this many rows may fail by chance
SEARCH_SHARE = 0.7  # share of the time after which the search starts nothing new


@frozen
class Mode:
    """How a run differs from normal use.

    `model` is another model for all modules, or an artifact (`.lmpc`) that runs instead of the
    program. With `training`, modules see their `train` parameters. `sample` numbers the runs on the
    same row. `temperature` applies to all modules that generate. With `vary`, it applies to that
    module alone, and samples differ in its answers only. `target` is another graph of the program,
    and `metric` scores its results. With `node`, what stands before that place is as in the run of
    this sample, and what follows is sampled for the time number `anew`.
    """

    model: str | None = None
    training: bool = False
    sample: int = 0
    temperature: float | None = None
    vary: str | None = None
    target: str | None = None
    metric: str | None = None
    node: tuple[int, ...] | None = None
    anew: int = 0

    @property
    def variant(self) -> str:
        """What distinguishes runs besides parameters, training and sample."""
        parts = [self.model] if self.model else []
        parts += [] if self.temperature is None else [f"temperature {self.temperature:g}"]
        parts += [] if self.vary is None else [f"only {self.vary} varied"]
        if self.node is not None:
            parts.append(f"anew from {'/'.join(map(str, self.node))}, number {self.anew}")
        parts += [] if self.metric is None else [f"scored by {self.metric}"]
        return ", ".join(parts)


PLAIN = Mode()
UNSCORED = "nothing"  # the metric of runs that need no score; a run is worth 1 if it ends
Progress = Callable[["RowResult"], None]
# Runs and scores rows with some parameters at a stage, and stores the traces.
RunRows = Callable[[str, Parameters, "Sequence[Row]", Mode, Progress], Awaitable["Evaluation"]]


def is_artifact(teacher: str | None) -> bool:
    """Whether a teacher is a compiled program rather than a model."""
    return teacher is not None and teacher.endswith(".lmpc")


@dataclass(slots=True)
class Allowance:
    """Estimates how many runs of the program the budget still pays for.

    The estimate uses the calls of a run without repairs, the average calls of the runs so far, and
    the tokens and money of the most expensive one. All of these repeat, so a resumed run decides
    the same; only the time does not. `reserved` runs are kept for confirming and testing. `Budget`
    is the hard limit.
    """

    spent: Callable[[], Usage]
    calls_per_run: int
    calls: float | None = None
    tokens: float | None = None
    usd: float | None = None
    minutes: float | None = None
    reserved: int = 0
    dearest: Usage = field(default_factory=Usage)  # the most tokens and money of one run
    made: int = 0  # runs so far; `made_calls` are their calls
    made_calls: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def learn(self, runs: Iterable[Usage]) -> None:
        """Take the usage of some runs into account."""
        for used in runs:
            self.dearest = _dearer(self.dearest, used)
            self.made += 1
            self.made_calls += used.calls

    def runs(self, *, search: bool = True) -> float:
        """The number of whole runs that should fit into the remaining budget."""
        spent, dearest = self.spent(), self.dearest
        average = CALLS_HEADROOM * self.made_calls / max(1, self.made)
        calls = self.calls_per_run if average <= self.calls_per_run * CALLS_HEADROOM else average
        left = min(
            _runs(self.calls, spent.calls, calls),
            _runs(self.tokens, spent.tokens, HEADROOM * dearest.tokens),
            _runs(self.usd, spent.cost_usd, HEADROOM * dearest.cost_usd),
        )
        share = SEARCH_SHARE if search else 1.0
        if self.minutes is not None and self.elapsed_s >= 60 * self.minutes * share:
            return 0
        return max(0, left - self.reserved) if search else left

    @contextmanager
    def holding(self, share: float) -> Iterator[None]:
        """Reserve a share of the remaining runs for later steps while the body runs."""
        before, runs = self.reserved, self.runs()
        self.reserved += 0 if runs == float("inf") else int(runs * share)
        try:
            yield
        finally:
            self.reserved = before

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_s


def _dearer(one: Usage, other: Usage) -> Usage:
    return Usage(
        prompt_tokens=max(one.tokens, other.tokens),
        cost_usd=max(one.cost_usd, other.cost_usd),
    )


def _runs(limit: float | None, spent: float, each: float) -> float:
    """The whole runs in the rest of a limit; infinite without a limit or a known cost."""
    if limit is None or not each:
        return float("inf")
    return max(0.0, limit - round(spent, 9)) // each


class Trials:
    """Runs and scores parameters on rows.

    Each run of the same parameters on the same row is made once in the life of this object. The
    run's store of answers makes sure that no call is paid for twice, even after a restart.
    """

    def __init__(self, run: RunRows, allowance: Allowance, report: Report) -> None:
        self.allowance, self.report = allowance, report
        self._run = run
        self._known: dict[tuple[str, Mode], dict[str, RowResult]] = {}
        self._answered = False  # whether any model has answered yet

    def runs_left(self) -> float:
        """Runs that the search may still make."""
        return self.allowance.runs()

    async def results(
        self,
        stage: str,
        parameters: Sequence[Parameters],
        rows: Sequence[Row],
        mode: Mode = PLAIN,
    ) -> list[list[RowResult]]:
        """The results of several parameters, each in the order of the rows.

        The first rows of the first candidate run alone, so that an unreachable model fails before
        the rest is started. Raises: BudgetExceeded, LmcError[no-answers] if every row failed
        without an answer, LmcError[no-scores] if the metric failed on all of the first rows.
        """
        if not self._answered and (len(parameters) > 1 or len(rows) > FEW_ROWS):
            await self.results(stage, parameters[:1], rows[:FEW_ROWS], mode)
        known = [self._known.setdefault((parameters_key(p), mode), {}) for p in parameters]
        missing = [[row for row in rows if row.id not in k] for k in known]
        watch = _Watch(self, stage, sum(map(len, missing)))

        async def work(place: int, rows: list[Row]) -> None:
            if rows:
                done = await self._run(stage, parameters[place], rows, mode, watch.row_done)
                known[place].update((result.id, result) for result in done.results)

        await for_all(missing, work)
        for place, new in enumerate(missing):
            self.allowance.learn(known[place][row.id].usage for row in new)
        fresh = [known[place][row.id] for place, new in enumerate(missing) for row in new]
        _require_answers(fresh)
        if not self._answered:
            _require_scores(fresh)
        self._answered = True
        return [[k[row.id] for row in rows] for k in known]

    async def scores(
        self, stage: str, parameters: Sequence[Parameters], rows: Sequence[Row]
    ) -> list[dict[str, float]]:
        """Scores by row id, without the rows that have no score."""
        found = await self.results(stage, parameters, rows)
        return [{r.id: r.value for r in results if r.value is not None} for results in found]

    def known(self, parameters: Parameters, rows: Sequence[Row]) -> list[RowResult]:
        """The results that are already known, without running anything."""
        found = self._known.get((parameters_key(parameters), PLAIN), {})
        return [found[row.id] for row in rows if row.id in found]

    def tried(self, rows: Sequence[Row]) -> int:
        """The number of parameters that ran on any of these rows, as in normal use."""
        ids = {row.id for row in rows}
        return sum(mode == PLAIN and not ids.isdisjoint(k) for (_, mode), k in self._known.items())

    def totals(self) -> Totals:
        """The usage so far."""
        used, elapsed_s = self.allowance.spent(), self.allowance.elapsed_s
        return Totals(
            used.calls, used.cached_calls, used.tokens, used.cost_usd, elapsed_s, used.retries
        )


class _Watch:
    """Counts the rows of one stage."""

    def __init__(self, trials: Trials, stage: str, total: int) -> None:
        self.stage, self.total, self.trials = stage, total, trials
        self.done = self.failed = 0
        if total:
            trials.report(StageStarted(stage, total, totals=trials.totals()))

    def row_done(self, result: RowResult) -> None:
        self.done += 1
        self.failed += bool(result.failed)
        totals = self.trials.totals()
        self.trials.report(RowDone(self.stage, self.done, self.total, self.failed, totals=totals))


def _require_answers(results: Sequence[RowResult]) -> None:
    """Stop if the models cannot be reached at all. Raises: LmcError[no-answers]."""
    if len(results) >= FEW_ROWS and all(r.failed == "infrastructure" for r in results):
        message = f"none of {len(results)} rows got an answer; the first error: {results[0].error}"
        raise LmcError.of("no-answers", message, help="give the same command again to continue")


def _require_scores(results: Sequence[RowResult]) -> None:
    """Stop if the metric fails on all rows. Raises: LmcError[no-scores]."""
    if results and all(r.failed == "metric" for r in results):
        message = f"the metric failed on all of the first {len(results)} rows: {results[0].error}"
        raise LmcError.of("no-scores", message)


def parameters_key(parameters: Parameters) -> str:
    """A key that is equal for equal parameters. The origin of demonstrations does not count."""
    data = parameters.to_json()
    for module in data["modules"].values():
        for demo in module.get("demos", ()):
            del demo["origin"]
    return json.dumps(data, sort_keys=True, ensure_ascii=False)
