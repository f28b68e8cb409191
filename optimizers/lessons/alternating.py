"""A live training: sample a few rows, make a step on what their runs teach, and go on there."""

from __future__ import annotations

from statistics import fmean

from lmc.diagnostics import LmcError
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.acquiring import shuffled
from lmc.optimizers.lessons.groups import Group, groups
from lmc.optimizers.lessons.recipe import Recipe, Way, rows_of, sample_round
from lmc.optimizers.lessons.replay import Past
from lmc.optimizers.lessons.watching import RUNS_SHARE, Gathered
from lmc.optimizers.lessons.weights import (
    Lessons,
    Update,
    both,
    train_all,
    with_adapters,
    without_demos,
)
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run


def require_live(executor: Executor, target: str) -> None:
    """Refuse modules whose engine cannot train. Raises: LmcError[cannot-train]."""
    for group in groups(executor, target):
        for call in group.calls:
            if not getattr(call.bound.backend, "trains", False):
                name = executor.pool.full_name(call.bound.name)
                message = f"`{name}` is not run by an engine that can train it step by step"
                help = "leave out `step_rows`, or use a model such as `lmc/tiny` or `hf/<folder>`"
                raise LmcError.of("cannot-train", message, call.node.span, help=help)


async def step_by_step(
    recipe: Recipe,
    update: Update,
    way: Way,
    leader: Parameters,
    context: Context,
    number: int,
    past: Past,
) -> Gathered:
    """One round over the rows, in which every few rows are sampled and then make a step.

    Source: algorithm 1 of GRPO, Shao et al. 2024, arXiv 2402.03300, whose batches are rows here.
    """
    now = leader if update.demos else without_demos(leader, update.modules)
    rows, _ = await rows_of(recipe, now, context, number)
    rows = shuffled(context, "samples") if rows is None else rows
    rows = rows[: int(min(len(rows), context.trials.runs_left() * RUNS_SHARE / recipe.samples))]
    trained: dict[str, tuple[Group, str]] = {}
    runs: list[Run] = []
    lessons: Lessons = {}
    means: list[float] = []
    for first in range(0, len(rows), size := recipe.step_rows or len(rows)):
        some = rows[first : first + size]
        turn = past.recalled(await sample_round(recipe, now, context, number, update, some))
        learnt = await way(turn)
        made = await train_all(now, context, learnt, update)
        trained.update((group.name, (group, id)) for group, id in made)
        now, lessons = with_adapters(now, made), both(lessons, learnt)
        runs += turn.runs
        means += [fmean(run.score or 0.0 for run in turn.runs)] if turn.runs else []
    if means:
        third = max(1, len(means) // 3)
        early, late = fmean(means[:third]), fmean(means[-third:])
        context.tell(f"{len(means)} steps; samples scored {early:.2f} at first, {late:.2f} at last")
    return Gathered(lessons, runs, recipe.sampling(), trained=list(trained.values()))
