"""The gate of a compilation: runs a step's result on held-out rows and decides about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from lmc.frozen import frozen
from lmc.measure.evaluate import RowResult
from lmc.measure.figures import Comparison
from lmc.optimizers.candidates.evidence import (
    FLOOR,
    MOST,
    allowed,
    for_rivals,
    sight_words,
)
from lmc.optimizers.candidates.gate import (
    GATE_LEVEL,
    MIN_CONFIRM_ROWS,
    chance,
    compare,
    gate_words,
    losses,
    passes,
    passes_cheaper,
)
from lmc.optimizers.candidates.trials import PLAIN, Trials
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.requests.budget import BudgetExceeded

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.measure.rows import Row
    from lmc.optimizers.compilation.job import CompileJob
    from lmc.runtime.parameters import Parameters

Fallen = Callable[["Parameters", "Parameters", "Sequence[Row]"], Awaitable[list[str]]]


@frozen
class Decision:
    """Whether a step's result is accepted, and why. `guarded` if a guard rejected it.

    `dev` compares it with the program as it was. `sight` is the smallest gain that the gate could
    have seen, in words, if it saw none.
    """

    accepted: bool
    words: str
    guarded: bool = False
    dev: Comparison | None = None
    sight: str = ""


def first_words(job: CompileJob) -> str:
    """The smallest gain that the gate of a job can see, before a model is called."""
    if job.accept != "proven" or len(job.rows.confirm) < MIN_CONFIRM_ROWS:
        return ""
    return sight_words(len(job.rows.confirm), len(job.rows.select))


@frozen
class Proving:
    """Decides about the results of steps. `start` is the program as it was."""

    job: CompileJob
    trials: Trials
    start: Parameters
    fallen: Fallen

    async def decide(self, step: Step, confirmed: Parameters, candidate: Parameters) -> Decision:
        """Compare a candidate with what was confirmed before. Raises: BudgetExceeded."""
        rows = self._rows(confirmed, candidate)
        before, after = await self._results([confirmed, candidate], rows)
        narrow = compare(before, after, level=GATE_LEVEL)
        known, margin, asked = BY_NAME[step.name], None, None
        if known.goal == "cheaper":
            margin = known.signature.complete(step.kwargs)["margin"]
            accepted = passes_cheaper(narrow, before, after, margin)
        elif self.job.accept == "better":
            accepted = narrow is not None and narrow.difference.mean > 0
        else:
            asked = await self._asked(confirmed, candidate, before, after)
            accepted = passes(before, after, asked[1])
        words = gate_words(narrow, accepted, margin, self._as_chosen(confirmed, candidate), asked)
        sight = "" if accepted or asked is None else self._sight(before, after)
        if accepted and (lost := await self.fallen(confirmed, candidate, rows)):
            return Decision(False, f"rejected by a guard: {'; '.join(lost)}", guarded=True)
        if not accepted:
            return Decision(False, words, sight=sight)
        (first,) = await self._results([self.start], rows)  # run before
        return Decision(True, words, dev=compare(first, after))

    async def _results(
        self, pair: Sequence[Parameters], rows: Sequence[Row]
    ) -> list[list[RowResult]]:
        """The results of each, with the mean score of its samples on a row."""
        found = [
            await self.trials.results("confirming", pair, rows, replace(PLAIN, sample=number))
            for number in range(self.job.confirm_samples)
        ]
        return [[_mean(of_row) for of_row in zip(*of_one)] for of_one in zip(*found)]

    async def _asked(
        self,
        confirmed: Parameters,
        candidate: Parameters,
        before: Sequence[RowResult],
        after: Sequence[RowResult],
    ) -> tuple[float, float]:
        """The chance of the gain on the held-out rows, and the largest that passes.

        The rows that chose count too. A race may have ended before all of them ran; the rest runs
        only if that can decide, and counts nothing if the budget does not pay for it.
        """
        own, rows = chance(before, after), self.job.rows.select
        pair = [confirmed, candidate]
        if not rows or not any(self.trials.known(candidate, rows)):
            return own, allowed(1.0, len(before), 0)
        if not FLOOR < own <= MOST:
            return own, FLOOR if own <= FLOOR else allowed(0.0, len(before), len(rows))
        missing = sum(len(rows) - len(self.trials.known(p, rows)) for p in pair)
        if missing > self.trials.runs_left():
            return own, FLOOR
        try:
            chosen = await self.trials.results("completing the comparison", pair, rows)
        except BudgetExceeded:
            return own, FLOOR
        first = for_rivals(chance(*chosen), self.trials.tried(rows) - 1)
        return own, allowed(first, len(before), len(rows))

    def _sight(self, before: Sequence[RowResult], after: Sequence[RowResult]) -> str:
        rows, chosen = len(before), len(self.job.rows.select)
        rivals = max(1, self.trials.tried(self.job.rows.select) - 1)
        words = sight_words(rows, chosen, losses=losses(before, after), rivals=rivals)
        return f"{words}. More dev rows see smaller gains" if rows >= MIN_CONFIRM_ROWS else ""

    def _as_chosen(self, confirmed: Parameters, candidate: Parameters) -> Comparison | None:
        """The comparison on the rows that chose the candidate, as far as both have run on them."""
        if self.job.accept != "proven":
            return None
        known = [self.trials.known(p, self.job.rows.select) for p in (confirmed, candidate)]
        return compare(*known, level=GATE_LEVEL)

    def _rows(self, confirmed: Parameters, candidate: Parameters) -> Sequence[Row]:
        """The rows that decide. Without a proof, those on which both have already run.

        Some steps run nothing. Then all rows decide.
        """
        rows = self.job.rows.confirm
        if self.job.accept == "proven":
            return rows
        known = [{r.id for r in self.trials.known(p, rows)} for p in (confirmed, candidate)]
        both = [row for row in rows if all(row.id in ids for ids in known)]
        return both if len(both) >= MIN_CONFIRM_ROWS else rows


def _mean(samples: Sequence[RowResult]) -> RowResult:
    """The first sample with the mean score of all that have one."""
    values = [result.value for result in samples if result.value is not None]
    return replace(samples[0], value=fmean(values)) if values else samples[0]
