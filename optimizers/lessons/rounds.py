"""Self-training in rounds: gather lessons, train on them, keep improvements, detect collapse.

The optimizers differ in how they gather lessons.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from lmc.optimizers.base import Context
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.bounds import DEFAULT, Bounds
from lmc.optimizers.lessons.demonstrations import traced_demos
from lmc.optimizers.lessons.health import balance
from lmc.optimizers.lessons.watching import Gathered, RoundSampling, Watching
from lmc.optimizers.lessons.weights import Lesson, Update, race, train_and_race
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.traces import selectors
from lmc.traces.store import Run

TEMPERATURES = (0.4, 0.7, 1.0, 1.3)  # tried by `adapt`
PROBE_ROWS = 16
Gather = Callable[[Parameters, Context, int], Awaitable[Gathered]]  # the last is the round's number


async def improve_in_rounds(
    start: Parameters,
    context: Context,
    rounds: int,
    gather: Gather,
    update: Update,
    *,
    threshold: float = 1.0,
    bounds: Bounds = DEFAULT,
) -> Parameters:
    """Gather lessons with the leader, train from the original weights, and repeat while it helps.

    A round that fails a guard is rolled back and is the last one. Lessons that fail one are not
    trained on.
    """
    leader, watch = start, Watching(context, start, update, threshold, bounds)
    for number in range(rounds):
        turn = replace(context, seed=context.seed + 1000 * number)
        try:
            gathered = await gather(leader, turn, number)
            if problems := watch.unfit(number, gathered):
                context.tell(f"round {number + 1} is not trained: {'; '.join(problems)}")
                break
            if gathered.trained is None:
                better = await train_and_race(leader, turn, gathered.lessons, update)
            else:
                better = await race(leader, turn, gathered.trained, update)
        except BudgetExceeded:
            context.tell("the budget ended the rounds")
            break
        if better == leader:
            break
        if problems := await watch.problems(number, leader, better):
            context.tell(f"round {number + 1} is rolled back: {'; '.join(problems)}")
            break
        leader = better
    return leader


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
