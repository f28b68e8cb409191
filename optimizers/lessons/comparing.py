"""What can be learnt from comparing sampled runs: pairs of answers, answers with a score, lessons.

Prompts and answers are those of the traces, as they were sent and sampled.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import chain, combinations
from statistics import fmean, pstdev

from lmc.ir.provenance import result_provenance
from lmc.optimizers.assistant.describing import signature_text
from lmc.optimizers.assistant.preference import in_both_orders, settled
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.bounds import read_bounds
from lmc.optimizers.lessons.demonstrations import gold_outputs, input_names
from lmc.optimizers.lessons.groups import module_calls
from lmc.optimizers.lessons.judges import JudgeBias, against_labels, bias_of
from lmc.optimizers.lessons.recipe import IMITATING, PAIRED, Round
from lmc.optimizers.lessons.rounds import at_most, lessons_of
from lmc.optimizers.lessons.weights import Lessons, both
from lmc.runtime.traces import CallTrace
from lmc.traces import selectors
from lmc.traces.led import led_calls
from lmc.traces.paths import of_even_length, sibling_pairs, splices
from lmc.traces.selectors import Pair
from lmc.traces.store import Run
from lmc.training.losses import LossName
from lmc.training.rows import PairRow, Row, ScoredRow, TrainingRow

_JUDGED = 4  # different results of a row that a judge compares with each other


async def by_metric(turn: Round) -> Lessons:
    """Answers that the metric accepts, against others to the same prompt, or all by score."""
    recipe, among = turn.recipe, turn.context.alternatives()
    if recipe.loss in IMITATING:
        right = selectors.threshold([*turn.runs, *turn.taught], recipe.threshold)
        kept = at_most(right, recipe.keep, diverse=False)
        return lessons_of(turn.context, kept, at_least=recipe.threshold)
    if recipe.loss in PAIRED:
        pairs = selectors.right_wrong_pairs(turn.runs, recipe.threshold, among)
        return by_module(pairs, even=recipe.even)
    return scored(turn)


async def by_votes(turn: Round) -> Lessons:
    """The majority's answers, against the rarest. No labels are needed."""
    recipe = turn.recipe
    if recipe.loss == "sft":
        agreed = selectors.majority(turn.runs, recipe.threshold)
        return lessons_of(turn.context, at_most(agreed, recipe.keep, diverse=False))
    pairs = selectors.agreement_pairs(turn.runs, turn.context.alternatives())
    return by_module(pairs, even=recipe.even)


async def by_result(turn: Round) -> Lessons:
    """The calls that led to what each run ended with, such as what a debate agreed on."""
    ended = [run for run in (*turn.runs, *turn.taught) if not run.failed]
    kept = at_most(ended, turn.recipe.keep, diverse=False)
    return lessons_of(turn.context, kept)


async def by_refine(turn: Round) -> Lessons:
    """The revision that a refine returned, against the draft that it replaced.

    Who revises learns too, from revisions that ended right against those that did not.
    """
    recipe, among = turn.recipe, turn.context.alternatives()
    pairs = selectors.refine_pairs(selectors.threshold(turn.runs, recipe.threshold))
    rivals = selectors.right_wrong_pairs(turn.runs, recipe.threshold, among)
    pairs += [pair for pair in rivals if pair.chosen.role == "revise"]
    return by_module(pairs, supervised=recipe.loss == "sft", even=recipe.even)


async def by_siblings(turn: Round) -> Lessons:
    """Steps of the paths that searches returned, against the worst ones from the same places."""
    recipe = turn.recipe
    pairs = sibling_pairs(turn.runs, recipe.threshold)
    return by_module(pairs, supervised=recipe.loss == "sft", even=recipe.even)


async def by_splices(turn: Round) -> Lessons:
    """Right runs, and their continuations behind the first wrong step of others."""
    recipe, found = turn.recipe, list[tuple[CallTrace, Row]]()
    for one in splices(turn.runs, recipe.threshold):
        said = one.call.raw[-1].strip()
        found.append((one.call, TrainingRow(one.messages, said, sampled=one.call.sampled)))
    turn.context.tell(f"{len(found)} continuations behind a wrong step")
    kept = at_most(selectors.threshold(turn.runs, recipe.threshold), recipe.keep, diverse=False)
    return both(grouped(found), lessons_of(turn.context, kept, at_least=recipe.threshold))


async def by_judge(turn: Round) -> Lessons:
    """What wins most comparisons by a model, against what wins fewest; or all with their wins."""
    recipe, among = turn.recipe, turn.context.alternatives()
    rates, bias = await win_rates(turn.context, turn.runs, recipe.judge, recipe.threshold)
    turn.context.tell(f"the judge: {bias}")
    if problems := bias.problems(read_bounds(recipe.bounds)):
        turn.context.tell(f"nothing is learnt from this judge: {'; '.join(problems)}")
        return {}
    if recipe.loss in PAIRED:
        return by_module(selectors.best_worst_pairs(rates, among), even=recipe.even)
    return grouped(
        (call, scored_row(call, value, 0.5))
        for run, value in chain(*rates)
        for call in _answers(led_calls(run, among, right=False))
    )


def scored(turn: Round) -> Lessons:
    """The answers that led to results, with what they are worth; of policy gradients, advantages.

    Answers of a module are compared with those of the same module in the other runs of the row.
    Where one module was varied, the others answered alike and teach nothing. Earlier runs of the
    row are compared with those of now, and learnt where they were better than these are on average.
    """
    recipe, among = turn.recipe, turn.context.alternatives()
    found: list[tuple[CallTrace, Row]] = []
    earlier = selectors.by_row(turn.earlier)
    for row, now in selectors.by_row(r for r in turn.runs if r.score is not None).items():
        group = [*now, *earlier.get(row, ())]
        calls = [(run, call) for run in group for call in led_calls(run, among, right=False)]
        for module in dict.fromkeys(call.module for _, call in calls):
            if recipe.vary not in (None, module):
                continue
            own = [(run, call) for run, call in calls if call.module == module]
            found += _compared(own, {id(run) for run in now}, recipe.loss, scaled=recipe.scaled)
    return grouped(found)


def _compared(
    calls: Sequence[tuple[Run, CallTrace]], now: Container[int], loss: LossName, *, scaled: bool
) -> list[tuple[CallTrace, Row]]:
    """The calls of one module in the runs of a row, against the mean of the runs of `now`."""
    worth = {id(run): run.worth(call.module) or 0.0 for run, call in calls}
    own = [value for run, value in worth.items() if run in now]
    spread = pstdev(worth.values())
    if not own or spread == 0:
        return []  # nothing tells these answers apart
    mean = fmean(own)
    found: list[tuple[CallTrace, Row]] = []
    for run, call in calls:
        value = worth[id(run)]
        if id(run) not in now and value <= mean:
            continue  # what was good before is not better than what is usual now
        if loss == "pg":
            row = scored_row(call, (value - mean) / (spread if scaled else 1.0), 0.0)
        else:
            row = scored_row(call, value, mean)
        found += [(call, row) for call in _answers([call])]
    return found


def _answers(calls: Iterable[CallTrace]) -> list[CallTrace]:
    return [call for call in calls if call.raw and not call.infrastructure]


def scored_row(call: CallTrace, score: float, baseline: float) -> ScoredRow:
    """A sampled answer with what it is worth."""
    said = call.raw[-1] if call.raw else ""
    return ScoredRow(tuple(call.messages), said, score, baseline, sampled=call.sampled)


async def win_rates(
    context: Context, runs: Sequence[Run], judge: str | None, threshold: float = 1.0
) -> tuple[list[list[tuple[Run, float]]], JudgeBias]:
    """For each row, runs with different results and how often each wins against the others.

    A model compares every two results in both orders. Rows with one result are left out. Also the
    biases that the verdicts show.
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
    orders = await in_both_orders(context.assistant, task, shown, judge)
    bias = bias_of(pairs, orders, await against_labels(context, task, runs, threshold, judge))
    wins: dict[int, list[float]] = {}
    for (one, other), second in zip(pairs, (settled(*order) for order in orders), strict=True):
        wins.setdefault(id(one), []).append(1 - second)
        wins.setdefault(id(other), []).append(second)
    return [[(run, fmean(wins[id(run)])) for run in group] for group in rivals], bias


def _different(group: Sequence[Run]) -> list[Run]:
    """One run for each of the row's first few results."""
    found: dict[str, Run] = {}
    for run in group:
        key = selectors.result_key(run)
        if key is not None:
            found.setdefault(key, run)
    return list(found.values())[:_JUDGED]


async def by_labels(turn: Round) -> Lessons:
    """The labels of rows, as each module would write them, against its own other answers."""
    context = turn.context
    names = input_names(context.program, context.target)
    provenance = result_provenance(context.program, context.target)
    executor = context.open_executor(turn.leader)
    calls = {call.slots.module: call for call in module_calls(executor, context.target)}
    found: list[tuple[CallTrace, Row]] = []
    for run in turn.runs:
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
                pair = PairRow(
                    tuple(call.messages), gold, own, gold=True, rejected_tokens=call.sampled
                )
                found.append((call, pair))
    return grouped(found)


def by_module(
    pairs: Iterable[Pair], *, supervised: bool = False, even: float | None = None
) -> Lessons:
    """Pairs by the module of their call; if `supervised`, their better answers alone.

    With `even`, no answer of a pair is so many times as long as the other one.
    """
    pairs = pairs if even is None else of_even_length(pairs, even)
    make = _better if supervised else pair_row
    return grouped((pair.chosen, make(pair)) for pair in pairs)


def pair_row(pair: Pair) -> PairRow:
    """A pair of sampled answers as a row to train on."""
    chosen, rejected = pair.chosen, pair.rejected
    return PairRow(
        tuple(chosen.messages), chosen.raw[-1], rejected.raw[-1], pair.weight,
        chosen_tokens=chosen.sampled, rejected_tokens=rejected.sampled,
    )  # fmt: skip


def _better(pair: Pair) -> TrainingRow:
    call = pair.chosen
    return TrainingRow(tuple(call.messages), call.raw[-1].strip(), pair.weight, call.sampled)


def grouped(rows: Iterable[tuple[CallTrace, Row]]) -> Lessons:
    """Rows by the module of their call."""
    found: dict[str, list[Row]] = {}
    for call, row in rows:
        found.setdefault(call.module, []).append(row)
    return found
