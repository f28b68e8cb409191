"""Self-training in rounds: gather lessons, train on them, keep improvements, detect collapse.

The optimizers differ in how they gather lessons.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from lmc.frozen import frozen
from lmc.measure.rows import Row
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.trials import PLAIN, Mode
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.demonstrations import traced_demos
from lmc.optimizers.lessons.health import balance, health, tripped
from lmc.optimizers.lessons.weights import Lesson, Lessons, Update, train_and_race
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.traces import selectors
from lmc.traces.store import Run

Gather = Callable[[Parameters, Context, int], Awaitable[Lessons]]  # the last is the round's number
TEMPERATURES = (0.4, 0.7, 1.0, 1.3)  # tried by `adapt`
PROBE_ROWS = 16
_BATCH_ROWS = 32
_RUNS_SHARE = 0.5  # largest share of the remaining runs for the samples of one round


async def improve_in_rounds(
    start: Parameters, context: Context, rounds: int, gather: Gather, update: Update
) -> Parameters:
    """Gather lessons with the leader, train from the original weights, and repeat while it helps.

    A round that fails a guard is rolled back and is the last one.
    """
    leader = start
    for number in range(rounds):
        turn = replace(context, seed=context.seed + 1000 * number)
        try:
            lessons = await gather(leader, turn, number)
            better = await train_and_race(leader, turn, lessons, update)
        except BudgetExceeded:
            context.tell("the budget ended the rounds")
            break
        if better == leader:
            break
        if problems := await _problems(number + 1, leader, better, context):
            context.tell(f"round {number + 1} is rolled back: {'; '.join(problems)}")
            break
        leader = better
    return leader


async def _problems(
    number: int, before: Parameters, after: Parameters, context: Context
) -> list[str]:
    """The guards that new weights fail, on the rows that the race has already run."""
    lost = await context.watch(before, after, context.select)
    signs = [health(await context.traces(p, context.select, PLAIN), 1.0) for p in (before, after)]
    if not all(sign.runs for sign in signs):
        return lost
    context.tell(f"round {number}: {signs[1]}")
    return [*tripped(*signs), *lost]


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

    def modes(self) -> list[Mode]:
        """The modes of the runs on a row."""
        return [
            Mode(
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
    rows, runs = shuffled(context, "samples") if given is None else list(given), []
    rows = rows[: int(min(len(rows), context.trials.runs_left() * _RUNS_SHARE / sampling.samples))]
    for first in range(0, len(rows), _BATCH_ROWS):
        for mode in sampling.modes():
            batch = rows[first : first + _BATCH_ROWS]
            runs += await make_runs(leader, context, batch, mode, "sampling")
    return runs


async def adapted(
    leader: Parameters, context: Context, sampling: RoundSampling, threshold: float, wanted: int
) -> RoundSampling:
    """The temperature at which a few rows give the most different correct answers.

    Source: B-STaR, Zeng et al. 2024, arXiv 2412.17256, section 3.2. The threshold is not adapted,
    because a metric is exact and a reward model is not.
    """
    probe, best = shuffled(context, "probe")[:PROBE_ROWS], (-1.0, sampling)
    for temperature in TEMPERATURES:
        tried, runs = replace(sampling, temperature=temperature), []
        for mode in tried.modes():
            runs += await make_runs(leader, context, probe, mode, "choosing the temperature")
        score = balance(list(selectors.by_row(runs).values()), threshold, wanted)
        best = max(best, (score, tried), key=lambda pair: pair[0])
    context.tell(f"temperature {best[1].temperature:g}, balance score {best[0]:.2f}")
    return best[1]


def lessons_of(
    context: Context,
    runs: Sequence[Run],
    weights: Mapping[str, float] | None = None,
    at_least: float | None = None,
) -> dict[str, list[Lesson]]:
    """The calls that led to the results of chosen runs, with the weights of their rows.

    With rewards by module, these are of modules that deserve `at_least` this much.
    """
    modules, among = context.modules(), context.alternatives()
    found: dict[str, list[Lesson]] = {}
    for run in runs:
        for module, demo in traced_demos(run, modules, among, at_least):
            weight = 1.0 if weights is None else weights[run.row]
            found.setdefault(module, []).append(Lesson(demo, weight))
    return found


def at_most(runs: Sequence[Run], k: int, *, diverse: bool) -> list[Run]:
    """Up to k runs of each row with different answers, so that easy rows do not dominate."""
    found = []
    for group in selectors.by_row(runs).values():
        by_answer = {tuple(c.raw[-1] for c in r.trace.calls if c.raw): r for r in reversed(group)}
        distinct = sorted(by_answer.values(), key=lambda run: run.sample)
        found += selectors.diverse(distinct, k) if diverse else distinct[:k]
    return found
