"""Runs of the program on rows for an optimizer: each paid once, remembered, within the budget."""

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

HEADROOM = 1.5  # how much more than the dearest run so far the next one may take
CALLS_HEADROOM = 1.25  # how many more calls than on average so far; one repair is no rule
FEW_ROWS = 4  # so many rows may be lost by chance
SEARCH_SHARE = 0.7  # of the time, after which the search begins nothing new


@frozen
class Mode:
    """How a run differs from use.

    `model` is another model for all modules, or an artifact (`.lmpc`) that runs in the program's
    place; with `training`, `train` parameters are shown; `sample` numbers runs on the same row,
    `temperature` is that of all modules that generate.
    """

    model: str | None = None
    training: bool = False
    sample: int = 0
    temperature: float | None = None

    @property
    def variant(self) -> str:
        """What sets runs apart besides parameters, training and sample."""
        parts = [self.model] if self.model else []
        parts += [] if self.temperature is None else [f"temperature {self.temperature:g}"]
        return ", ".join(parts)


PLAIN = Mode()
Progress = Callable[["RowResult"], None]
# Scores rows with some parameters at a stage; what happened goes into the trace store.
RunRows = Callable[[str, Parameters, "Sequence[Row]", Mode, Progress], Awaitable["Evaluation"]]


def is_artifact(teacher: str | None) -> bool:
    """Whether a teacher is a compiled program, not a model."""
    return teacher is not None and teacher.endswith(".lmpc")


@dataclass(slots=True)
class Allowance:
    """How many runs of the program are affordable.

    It goes by the calls of a run without repairs, and by the runs so far: their calls on average,
    tokens and money of the dearest. All that is the same in a repeated run, so that a resumed run
    decides alike; only the time does not repeat. `reserved` runs are kept for confirming and
    testing the result. The hard limit is `Budget`, below.
    """

    spent: Callable[[], Usage]
    calls_per_run: int
    calls: float | None = None
    tokens: float | None = None
    usd: float | None = None
    minutes: float | None = None
    reserved: int = 0
    dearest: Usage = field(default_factory=Usage)  # most tokens and money of one run
    made: int = 0  # runs so far, and the calls of all of them
    made_calls: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def learn(self, runs: Iterable[Usage]) -> None:
        """Learn what some runs took."""
        for used in runs:
            self.dearest = _dearer(self.dearest, used)
            self.made += 1
            self.made_calls += used.calls

    def runs(self, *, search: bool = True) -> float:
        """Whole runs that should fit into what is left."""
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
        """Keep a share of what is left from the search for a while, for what comes later."""
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
    """Whole runs in what is left; without limit, or before anything is known, as many as wanted."""
    if limit is None or not each:
        return float("inf")
    return max(0.0, limit - round(spent, 9)) // each


class Trials:
    """Scores of parameters on rows.

    A run of the same parameters on the same row is made once in the life of this object; the
    response cache below it makes sure that no answer is paid for twice in the life of the run.
    """

    def __init__(self, run: RunRows, allowance: Allowance, report: Report) -> None:
        self.allowance, self.report = allowance, report
        self._run = run
        self._known: dict[tuple[str, Mode], dict[str, RowResult]] = {}
        self._answered = False  # by any model

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
        """Results of several parameters side by side, each in the order of the rows.

        The first few rows of all go ahead alone: where no model answers, nobody waits for the rest.
        Raises: BudgetExceeded, LmcError[no-answers] where every single row was lost, and
        LmcError[no-scores] where the metric failed on all of the first rows.
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
        """Scores by row id; rows that the infrastructure lost are left out."""
        found = await self.results(stage, parameters, rows)
        return [{r.id: r.value for r in results if r.value is not None} for results in found]

    def known(self, parameters: Parameters, rows: Sequence[Row]) -> list[RowResult]:
        """Results that there are already, without running anything."""
        found = self._known.get((parameters_key(parameters), PLAIN), {})
        return [found[row.id] for row in rows if row.id in found]

    def totals(self) -> Totals:
        """What was used so far."""
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
    """Stop where it makes no sense to go on: the models cannot be reached at all."""
    if len(results) >= FEW_ROWS and all(r.failed == "infrastructure" for r in results):
        message = f"none of {len(results)} rows got an answer; the first one: {results[0].error}"
        raise LmcError.of("no-answers", message, help="the same command goes on from here")


def _require_scores(results: Sequence[RowResult]) -> None:
    """Stop where the metric fails on whatever it is given."""
    if results and all(r.failed == "metric" for r in results):
        message = f"the metric failed on all of the first {len(results)} rows: {results[0].error}"
        raise LmcError.of("no-scores", message)


def parameters_key(parameters: Parameters) -> str:
    """Equal for equal parameters, whatever their demonstrations come from."""
    data = parameters.to_json()
    for module in data["modules"].values():
        for demo in module.get("demos", ()):
            del demo["origin"]
    return json.dumps(data, sort_keys=True, ensure_ascii=False)
