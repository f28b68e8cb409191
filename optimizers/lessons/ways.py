"""The ways to see what runs teach, by name, and the loop of `train` over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.check.optimizers import SIGNATURES
from lmc.diagnostics import LmcError, suggestion
from lmc.ir.provenance import reached_modules
from lmc.measure.comparisons import COMPARISONS
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.lessons.agreement import require_agreement
from lmc.optimizers.lessons.alternating import require_live, step_by_step
from lmc.optimizers.lessons.bounds import read_bounds
from lmc.optimizers.lessons.comparing import (
    by_judge,
    by_labels,
    by_metric,
    by_refine,
    by_result,
    by_siblings,
    by_splices,
    by_votes,
)
from lmc.optimizers.lessons.consistency import softened
from lmc.optimizers.lessons.critics import by_verdicts, measured_on
from lmc.optimizers.lessons.health import health
from lmc.optimizers.lessons.proposing import proposals
from lmc.optimizers.lessons.recipe import Recipe, Select, Way, sample_round
from lmc.optimizers.lessons.replay import Past
from lmc.optimizers.lessons.rewriting import by_errors, by_principles
from lmc.optimizers.lessons.rounds import improve_in_rounds
from lmc.optimizers.lessons.teaching import require_teacher, teaching
from lmc.optimizers.lessons.turns import by_turns
from lmc.optimizers.lessons.valuing import by_values
from lmc.optimizers.lessons.watching import Gathered
from lmc.optimizers.lessons.weights import (
    Update,
    both,
    require_trainable,
    train_all,
    with_adapters,
    without_demos,
)
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.training.processes import SPLIT, splits_model

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

WAYS: Mapping[Select, Way] = {
    "right": by_metric,
    "votes": by_votes,
    "result": by_result,
    "gold": by_labels,
    "refine": by_refine,
    "judge": by_judge,
    "corrupted": by_errors,
    "revised": by_principles,
    "turns": by_turns,
    "verdicts": by_verdicts,
    "siblings": by_siblings,
    "spliced": by_splices,
    "values": by_values,
}


# What these learn from is not meant to be better results.
_OTHERWISE: tuple[Select, ...] = ("turns", "verdicts")


async def learn(start: Parameters, context: Context, options: Mapping[str, Any]) -> Parameters:
    """Follow the recipe of these options of `train`; those that are not given have its defaults."""
    recipe = Recipe.of(SIGNATURES["train"].complete(options))
    made = context.made.target(recipe.rows) if context.made and recipe.rows else None
    update = recipe.update(*([made] if made else []))
    if recipe.loss == "kl":
        taught = teaching(context, start, recipe.teacher, context.target, *update.also)
        update = replace(update, teaching=taught)

    past = Past(start)

    async def gather(leader: Parameters, turn: Context, number: int) -> Gathered:
        if recipe.step_rows is not None:
            way = WAYS[recipe.select]
            return await step_by_step(recipe, update, way, leader, turn, number, past)
        gathered = await _gather(recipe, update, leader, turn, number, past)
        if recipe.select == "verdicts":
            return await _with_critics(gathered, recipe, update, leader, turn)
        return gathered

    if recipe.select == "turns":
        return await _in_phases(start, context, recipe, update)
    bounds = read_bounds(recipe.bounds)
    if recipe.loss == "kl" and recipe.bounds is None:
        bounds = replace(bounds, kl=None)  # to go where the teacher is is the aim
    return await improve_in_rounds(
        start, context, recipe.rounds, gather, update, threshold=recipe.threshold, bounds=bounds
    )


async def _gather(
    recipe: Recipe, update: Update, leader: Parameters, context: Context, number: int, past: Past
) -> Gathered:
    turn = past.recalled(await sample_round(recipe, leader, context, number, update))
    lessons = await WAYS[recipe.select](turn)
    if recipe.propose:
        lessons = both(lessons, proposals(turn))
    if recipe.consistency:
        lessons = await softened(lessons, context, past.start, leader, update)
    found = ", ".join(f"{name} {len(rows)}" for name, rows in lessons.items())
    runs = [*turn.runs, *turn.taught]
    context.tell(f"learning from {found or 'nothing'}; {health(runs, recipe.threshold)}")
    compared = recipe.select not in _OTHERWISE and recipe.loss != "kl"
    return Gathered(lessons, turn.runs, recipe.sampling(), compared=compared)


async def _with_critics(
    gathered: Gathered, recipe: Recipe, update: Update, leader: Parameters, context: Context
) -> Gathered:
    """Train critiques, and tell what their verdicts are worth, whether they win the race or not."""
    base = leader if update.demos else without_demos(leader, update.modules)
    trained = await train_all(base, context, gathered.lessons, update)
    if trained:
        for name, parameters in (("before", leader), ("after", with_adapters(base, trained))):
            context.tell(f"{name}: {await measured_on(context, parameters, recipe)}")
    return replace(gathered, trained=trained)


async def _in_phases(
    start: Parameters, context: Context, recipe: Recipe, update: Update
) -> Parameters:
    """Train phase after phase, each from the one before, and compare all of them at the end.

    The first phase is not meant to raise the score, so that no race may end the training.
    """
    rivals: list[Candidate] = []
    leader = start
    try:
        for number in range(recipe.rounds):
            turn = replace(context, seed=context.seed + 1000 * number)
            gathered = await _gather(recipe, update, leader, turn, number, Past(start))
            trained = await train_all(leader, turn, gathered.lessons, update)
            if not trained:
                break
            leader = with_adapters(leader, trained)
            rivals.append(Candidate(f"phase {number + 1}", leader))
    except BudgetExceeded:
        context.tell("the budget ended the phases")
    return await best_of(Candidate("start", start), rivals, context) if rivals else start


def require_teachable(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    """Refuse options of `train` that do not fit each other or the program.

    Raises: LmcError[bad-option, cannot-train, unknown-target, unknown-metric].
    """
    complete = SIGNATURES["train"].complete(options)
    recipe, program = Recipe.of(complete), executor.program
    require_agreement(recipe)
    if recipe.consistency and splits_model():
        message = f"`consistency` reads a whole model in one process, and {SPLIT} splits it"
        raise LmcError.of("cannot-train", message, help="leave out one of them")
    if recipe.step_rows is not None:
        require_live(executor, target)
    reached = reached_modules(program, executor.graph(recipe.source or target).name)
    elsewhere = recipe.source is not None and recipe.module in reached
    require_trainable(executor, str(recipe.source) if elsewhere else target, complete)
    if recipe.vary is not None and recipe.vary not in reached:
        help = suggestion(recipe.vary, reached)
        message = f"`{recipe.source or target}` does not call a module `{recipe.vary}`"
        raise LmcError.of("unknown-target", message, help=help)
    metric = recipe.reward
    known = [*program.metrics, *COMPARISONS]
    if metric is not None and metric.partition("(")[0] not in known and ":" not in metric:
        message = f"there is no metric `{metric}`"
        raise LmcError.of("unknown-metric", message, help=suggestion(metric, known))
    roles = [module.role for module in reached.values()]
    if recipe.select == "verdicts" and "critique" not in roles:
        message = f"`{recipe.source or target}` has no critique to train"
        raise LmcError.of("bad-option", message)


def require_taught(
    executor: Executor, teacher: Executor, target: str, options: Mapping[str, Any]
) -> None:
    """Refuse a teacher that cannot teach the modules of these options of `train`.

    Raises: LmcError[cannot-train].
    """
    recipe = Recipe.of(SIGNATURES["train"].complete(options))
    require_teacher(executor, teacher, recipe.source or target, options)
