"""Sampling for self-training, and the guards that watch its rounds.

What is learnt from is compared with what was sampled before anything is trained. New weights are
compared with the start of the training on the same rows, sampled alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from lmc.frozen import frozen
from lmc.measure.rows import Row
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.trials import PLAIN, Mode
from lmc.optimizers.events import RoundMeasured
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.bounds import Bounds
from lmc.optimizers.lessons.groups import Group
from lmc.optimizers.lessons.health import (
    Kept,
    health,
    kept_of,
    measures,
    tripped,
    unfit,
)
from lmc.optimizers.lessons.weights import Lesson, Lessons, Update, divergence
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace
from lmc.tasks.together import for_all
from lmc.traces.selectors import by_row
from lmc.traces.store import Run
from lmc.training.rows import PairRow, ScoredRow

PROBED_ROWS = 16  # rows that are sampled again with new weights
_BATCH_ROWS = 32
RUNS_SHARE = 0.5  # largest share of the remaining runs for the samples of one round


@frozen
class RoundSampling:
    """The number of runs of each row in a round, and their temperature (None: as written).

    The other fields are as in `Mode`.
    """

    samples: int
    temperature: float | None = None
    vary: str | None = None
    target: str | None = None
    metric: str | None = None
    model: str | None = None

    def modes(self) -> list[Mode]:
        """The modes of the runs on a row."""
        return [
            Mode(
                self.model,
                training=True,
                sample=i,
                temperature=self.temperature,
                vary=self.vary,
                target=self.target,
                metric=self.metric,
            )
            for i in range(self.samples)
        ]


async def sample_runs(
    leader: Parameters,
    context: Context,
    sampling: RoundSampling,
    given: Sequence[Row] | None = None,
) -> list[Run]:
    """Several runs on every train row, or on given ones; on fewer if the budget is small."""
    rows = shuffled(context, "samples") if given is None else list(given)
    runs: list[Run] = []
    if not sampling.samples:
        return runs
    rows = rows[: int(min(len(rows), context.trials.runs_left() * RUNS_SHARE / sampling.samples))]
    for first in range(0, len(rows), _BATCH_ROWS):
        batch = rows[first : first + _BATCH_ROWS]

        async def sample(_: int, mode: Mode, batch: list[Row] = batch) -> list[Run]:
            return await make_runs(leader, context, batch, mode, "sampling")

        runs += chain.from_iterable(await for_all(sampling.modes(), sample))
    return runs


@frozen
class Gathered:
    """The lessons of a round, and the runs that they come from, as far as guards may see them.

    `kept` are the runs that are learnt from; without them they are found by their answers.
    `sampling` is how the runs were made. With `compared`, what is learnt from is meant to score
    better than the rest. `trained` are the adapters that the lessons made already, step by step.
    """

    lessons: Lessons
    runs: Sequence[Run] = ()
    sampling: RoundSampling | None = None
    kept: Sequence[Run] | None = None
    compared: bool = True
    trained: Sequence[tuple[Group, str]] | None = None


@dataclass
class Watching:
    """Watches the rounds of a training that began with `start`."""

    context: Context
    start: Parameters
    update: Update
    threshold: float
    bounds: Bounds
    first: Gathered = field(default_factory=lambda: Gathered({}))
    kept: list[Kept] = field(default_factory=list)  # of each round

    def unfit(self, number: int, gathered: Gathered) -> list[str]:
        """Why the lessons of a round should not be trained on."""
        if number == 0:
            self.first = gathered
        if not gathered.compared or not gathered.runs:
            return []
        chosen = gathered.kept
        if chosen is None:
            chosen = list(runs_behind(gathered.lessons, gathered.runs))
        self.kept.append(kept_of(gathered.runs, chosen, self.threshold))
        return unfit(self.kept[-1], self.kept[0], self.bounds)

    async def problems(self, number: int, before: Parameters, after: Parameters) -> list[str]:
        """The guards that the new weights of a round fail."""
        context = self.context
        found = await context.watch(before, after, context.select)
        plain = [await context.traces(p, context.select, PLAIN) for p in (self.start, after)]
        try:
            old, new = await self._probed(after)
        except BudgetExceeded:
            return [*found, "the budget ended before the round was checked"]
        shown = (old, new) if new else plain
        kl = await divergence(context, self.start, after, shown[1], self.update)
        for pair in (plain, (old, new)):
            found += [words for words in self._tripped(*pair) if words not in found]
        if kl is not None and self.bounds.kl is not None and kl > self.bounds.kl:
            found.append(f"the weights diverge from the start by {kl:.2f} nats a token")
        kept = self.kept[-1] if self.kept else None
        one, other = (health(runs, self.threshold) for runs in shown)
        told = measures(other, kept, kl)
        start = measures(one, self.kept[0] if self.kept else None, None)
        totals = context.trials.totals()
        context.report(RoundMeasured(number + 1, told, start, tuple(found), totals=totals))
        context.tell(f"round {number + 1}: {other}{_drift(kl)}")
        return found

    def _tripped(self, old: Sequence[Run], new: Sequence[Run]) -> list[str]:
        return tripped(old, new, self.threshold, self.bounds)

    async def _probed(self, after: Parameters) -> tuple[list[Run], list[Run]]:
        """Runs on a few train rows, sampled alike at the start and now. Raises: BudgetExceeded.

        Half of the rows were hard at the start. If a round follows, it needs the new runs anyway.
        """
        sampling, known = self.first.sampling, by_row(self.first.runs)
        rows = [row for row in self.context.train if row.id in known]
        if sampling is None or not rows:
            return [], []
        hard = [row for row in rows if 0 < _share(known[row.id], self.threshold) < 0.5]
        chosen = hard[: PROBED_ROWS // 2]
        ids = {row.id for row in chosen}
        chosen += [row for row in rows if row.id not in ids][: PROBED_ROWS - len(chosen)]
        new = await sample_runs(after, self.context, sampling, chosen)
        done = {run.row for run in new}
        return [run for row in chosen if row.id in done for run in known[row.id]], new


def _share(runs: Sequence[Run], threshold: float) -> float:
    return health(runs, threshold).accepted


def _drift(kl: float | None) -> str:
    return "" if kl is None else f", {kl:.2f} nats a token from the start"


def runs_behind(lessons: Lessons, runs: Sequence[Run]) -> Iterator[Run]:
    """The runs with a call whose answer the lessons call good."""
    good = {
        key for module, rows in lessons.items() for row in rows if (key := _taught(module, row))
    }
    for run in runs:
        if any(_keys(call) & good for call in run.trace.calls):
            yield run


def _taught(module: str, row: Any) -> str | None:
    """A key of the answer that a lesson makes likelier; None if it does so of none."""
    match row:
        case Lesson():
            return _key(module, row.demo.inputs, row.demo.outputs)
        case PairRow():
            return _key(module, _shown(row.messages), row.chosen.strip())
        case ScoredRow():
            if row.score <= row.baseline:
                return None
            return _key(module, _shown(row.messages), row.answer.strip())
    return _key(module, _shown(row.messages), row.answer.strip())


def _keys(call: CallTrace) -> set[str]:
    found = {_key(call.module, call.inputs, call.outputs)}
    if call.raw:
        found.add(_key(call.module, _shown(call.messages), call.raw[-1].strip()))
    return found


def _shown(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [[message["role"], message["content"]] for message in messages]


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)
