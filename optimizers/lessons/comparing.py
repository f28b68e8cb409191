"""What can be learnt from comparing sampled runs: pairs of answers, and answers with a score.

Prompts and answers are those of the traces, as they were sent and sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, combinations
from statistics import fmean, pstdev
from typing import Literal

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.provenance import result_provenance
from lmc.optimizers.assistant.describing import signature_text
from lmc.optimizers.assistant.preference import preferred
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.demonstrations import gold_outputs, input_names
from lmc.optimizers.lessons.health import health
from lmc.optimizers.lessons.rounds import RoundSampling, improve_in_rounds, sample_runs
from lmc.optimizers.lessons.weights import (
    Lessons,
    Update,
    module_calls,
    without_demos,
)
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace
from lmc.traces import selectors
from lmc.traces.selectors import Pair
from lmc.traces.store import Run
from lmc.training.losses import LossName
from lmc.training.rows import PairRow, Row, ScoredRow

Select = Literal["right", "votes", "gold", "refine", "judge"]
PAIRED: tuple[LossName, ...] = ("dpo", "ipo", "simpo")
SCORED: tuple[LossName, ...] = ("kto", "sppo", "nft", "pg")
_JUDGED = 4  # different results of a row that a judge compares with each other


@frozen
class Recipe:
    """How rounds of comparisons go: which runs, what is compared, and what is learnt of it.

    `select` says how better answers are known: by the metric ("right"), by agreement ("votes"), by
    labels against the model's own answers ("gold"), by revisions against drafts ("refine"), or by a
    model that compares results ("judge", perhaps another model). `scaled` divides the advantages of
    a row by their spread.
    """

    select: Select
    rounds: int
    sampling: RoundSampling
    threshold: float = 1.0
    judge: str | None = None
    scaled: bool = True


def require_agreement(select: str, loss: str) -> None:
    """Refuse a loss that cannot learn from what is selected. Raises: LmcError[bad-option]."""
    if loss in SCORED and select not in ("right", "judge"):
        message = f"the loss `{loss}` needs scored answers, which `select={select}` does not give"
        raise LmcError.of("bad-option", message, help='write select="right" or select="judge"')


async def learn_by_comparing(
    start: Parameters, context: Context, recipe: Recipe, update: Update
) -> Parameters:
    """Sample with the leader, compare, train its weights on that, and repeat while it helps."""

    async def gather(leader: Parameters, turn: Context) -> Lessons:
        sampler = leader if update.demos else without_demos(leader, update.modules)
        runs = await sample_runs(sampler, turn, recipe.sampling)
        if update.loss.name in PAIRED:
            lessons = await _pairs(sampler, turn, runs, recipe)
        else:
            lessons = await _scored(turn, runs, recipe, update.loss.name)
        found = ", ".join(f"{name} {len(rows)}" for name, rows in lessons.items())
        turn.tell(f"learning from {found or 'nothing'}; {health(runs, recipe.threshold)}")
        return lessons

    return await improve_in_rounds(start, context, recipe.rounds, gather, update)


async def _pairs(
    leader: Parameters, context: Context, runs: Sequence[Run], recipe: Recipe
) -> Lessons:
    match recipe.select:
        case "right":
            found = selectors.right_wrong_pairs(runs, recipe.threshold)
        case "votes":
            found = selectors.agreement_pairs(runs)
        case "refine":
            found = selectors.refine_pairs(selectors.threshold(runs, recipe.threshold))
        case "judge":
            found = selectors.best_worst_pairs(await win_rates(context, runs, recipe.judge))
        case "gold":
            return gold_pairs(leader, context, runs)
    return by_module((pair.chosen, pair_row(pair)) for pair in found)


async def _scored(context: Context, runs: Sequence[Run], recipe: Recipe, loss: LossName) -> Lessons:
    """The sampled answers with their scores. For policy gradients these are advantages."""
    found: list[tuple[CallTrace, Row]] = []
    if recipe.select == "judge":
        for run, value in chain(*await win_rates(context, runs, recipe.judge)):
            found += _scored_calls(run, value, 0.5)
        return by_module(found)
    for group in selectors.by_row(run for run in runs if run.score is not None).values():
        scores = [run.score or 0.0 for run in group]
        mean, spread = fmean(scores), pstdev(scores)
        if spread == 0:
            continue  # nothing tells these answers apart
        for run, score in zip(group, scores):
            if loss == "pg":
                advantage = (score - mean) / (spread if recipe.scaled else 1.0)
                found += _scored_calls(run, advantage, 0.0)
            else:
                found += _scored_calls(run, score, mean)
    return by_module(found)


def _scored_calls(run: Run, score: float, baseline: float) -> list[tuple[CallTrace, Row]]:
    """Every sampled answer of a run, with what the run was worth."""
    calls = (call for call in run.trace.calls if call.raw and not call.infrastructure)
    return [
        (call, ScoredRow(tuple(call.messages), call.raw[-1], score, baseline)) for call in calls
    ]


async def win_rates(
    context: Context, runs: Sequence[Run], judge: str | None
) -> list[list[tuple[Run, float]]]:
    """For each row, runs with different results and how often each wins against the others.

    A model compares every two results in both orders. Rows with one result are left out.
    """
    task = "\n\n".join(signature_text(module) for module in context.modules().values())
    names = input_names(context.program, context.target)
    rivals = [_different(group) for group in selectors.by_row(runs).values()]
    rivals = [group for group in rivals if len(group) > 1]
    pairs = [pair for group in rivals for pair in combinations(group, 2)]
    shown = [
        ({n: v for n, v in one.values.items() if n in names}, one.pred, other.pred)
        for one, other in pairs
    ]
    verdicts = await preferred(context.assistant, task, shown, judge)
    wins: dict[int, list[float]] = {}
    for (one, other), second in zip(pairs, verdicts, strict=True):
        wins.setdefault(id(one), []).append(1 - second)
        wins.setdefault(id(other), []).append(second)
    return [[(run, fmean(wins[id(run)])) for run in group] for group in rivals]


def _different(group: Sequence[Run]) -> list[Run]:
    """One run for each of the row's first few results."""
    found: dict[str, Run] = {}
    for run in group:
        key = selectors.result_key(run)
        if key is not None:
            found.setdefault(key, run)
    return list(found.values())[:_JUDGED]


def gold_pairs(leader: Parameters, context: Context, runs: Sequence[Run]) -> Lessons:
    """The labels of rows, as each module would write them, against its own other answers."""
    names = input_names(context.program, context.target)
    provenance = result_provenance(context.program, context.target)
    calls = {c.slots.module: c for c in module_calls(context.open_executor(leader), context.target)}
    found: list[tuple[CallTrace, Row]] = []
    for run in runs:
        for call in run.trace.calls:
            labelled = provenance.get(call.module)
            outputs = labelled and gold_outputs(labelled, run.values, names)
            if not outputs or not call.raw or call.module not in calls:
                continue
            bound = calls[call.module]
            if any(field.name not in outputs for field in bound.spec.outputs):
                continue  # a label says nothing of the reasoning
            gold = bound.layout.answer_text(bound.spec, outputs)
            if gold.strip() != call.raw[-1].strip():
                own = call.raw[-1]
                found.append((call, PairRow(tuple(call.messages), gold, own, gold=True)))
    return by_module(found)


def pair_row(pair: Pair) -> PairRow:
    """A pair of sampled answers as a row to train on."""
    chosen, rejected = pair.chosen, pair.rejected
    return PairRow(tuple(chosen.messages), chosen.raw[-1], rejected.raw[-1], pair.weight)


def by_module(rows: Iterable[tuple[CallTrace, Row]]) -> Lessons:
    """Rows by the module of their call."""
    found: dict[str, list[Row]] = {}
    for call, row in rows:
        found.setdefault(call.module, []).append(row)
    return found
