"""What critiques learn: which of their verdicts were right.

Labels of verdicts come from the metric (as outcomes label verifiers, Cobbe et al. 2021, arXiv
2110.14168), from agreement, from the refine that follows (as RCO, Yu et al. 2025, arXiv 2506.22157,
rewards critiques), or from the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from lmc.frozen import frozen
from lmc.ir.ops import body_numbers
from lmc.ir.provenance import Module
from lmc.measure.judging import judging
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.trials import PLAIN
from lmc.optimizers.lessons.comparing import by_module, grouped, scored_row
from lmc.optimizers.lessons.demonstrations import demo_of
from lmc.optimizers.lessons.recipe import PAIRED, Recipe, Round
from lmc.optimizers.lessons.valuing import Branch, values_at
from lmc.optimizers.lessons.weights import Lesson, Lessons
from lmc.prompts.spec import BARE
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace
from lmc.runtime.votes.ballot import ballot_key
from lmc.tasks.together import for_all
from lmc.traces import selectors
from lmc.traces.led import within
from lmc.traces.store import Run

_NUMBERS = body_numbers("refine")
LIKELY = 0.5  # a state is good if at least so many of the runs that go on from it succeed
_GOLD = ("ok", "label", "answer")  # the fields of a row that label a verdict


@frozen
class Verdict:
    """A verdict of a run: what was judged, and what came of it in a refine.

    `said` is what the critique said, and `rating` how sure it was, from 0 to 1.
    """

    run: Run
    call: CallTrace
    subject: Any
    following: Any  # the draft after it; None if it was not followed by one
    said: bool
    rating: float


@frozen
class Judged:
    """A verdict, whether it was right, and, if that is known, what it should have been."""

    verdict: Verdict
    right: bool
    label: bool | None


async def by_verdicts(turn: Round) -> Lessons:
    """Verdicts that were right, against verdicts on the same that were wrong."""
    modules = turn.context.modules()
    known = await _valued(turn) if turn.recipe.labels == "values" else None
    judged = await label_verdicts(turn.context, turn.runs, turn.recipe, known)
    turn.context.tell(await _figures(turn.context, turn.runs, turn.recipe, known))
    right = [one.verdict.call for one in judged if one.right]
    if turn.recipe.loss == "sft":
        return _lessons(judged, modules)
    if turn.recipe.loss in PAIRED:
        wrong = [one.verdict.call for one in judged if not one.right]
        return by_module(selectors.paired_calls(right, wrong), even=turn.recipe.even)
    share = fmean(one.right for one in judged) if judged else 0.0
    calls = [(one.verdict.call, float(one.right)) for one in judged if one.verdict.call.raw]
    return grouped((call, scored_row(call, worth, share)) for call, worth in calls)


def measured(judged: Sequence[Judged]) -> str:
    """The figures of each critique, in words."""
    known = [one for one in judged if one.label is not None]
    names = dict.fromkeys(one.verdict.call.module for one in known)
    told = []
    for name in names:
        own = [one for one in known if one.verdict.call.module == name]
        figures = judging(
            [one.verdict.rating for one in own],
            [one.verdict.said for one in own],
            [bool(one.label) for one in own],
        )
        told.append(f"{name}: {figures}")
    return "; ".join(told) or "no verdict has a label"


async def measured_on(context: Context, parameters: Parameters, recipe: Recipe) -> str:
    """The figures of the critiques in runs of the rows that choose, which no verdict was learnt on.

    The race that follows uses these runs too.
    """
    with context.until_spent():
        await context.trials.results("measuring verdicts", [parameters], context.select)
    runs = await context.traces(parameters, context.select, PLAIN)
    return await _figures(context, runs, recipe)


async def _figures(
    context: Context,
    runs: Sequence[Run],
    recipe: Recipe,
    values: Mapping[int, float] | None = None,
) -> str:
    """The figures of the critiques of some runs.

    Whether a revision helped is known of bad verdicts only, so that they are measured by the
    metric.
    """
    if recipe.labels == "refine":
        recipe = replace(recipe, labels="metric")
    return measured(await label_verdicts(context, runs, recipe, values))


async def _valued(turn: Round) -> dict[int, float]:
    """By the identity of a verdict's call: how often runs succeed that go on from where it judged.

    The verdict itself is made anew in them, so that it does not decide on its own label.
    """
    modules = turn.context.modules()
    verdicts = [one for run in turn.runs for one in verdicts_of(run, modules)]
    nodes = {id(one.call): Branch(one.run, one.call.place) for one in verdicts}
    values = await values_at(turn, list(nodes.values()))
    return {call: values[node.key] for call, node in nodes.items() if node.key in values}


async def label_verdicts(
    context: Context,
    runs: Sequence[Run],
    recipe: Recipe,
    values: Mapping[int, float] | None = None,
) -> list[Judged]:
    """The verdicts of some runs about which it is known whether they were right.

    `values` are what their places are worth. Where these are not known, the metric labels.
    """
    verdicts = [one for run in runs for one in verdicts_of(run, context.modules())]
    leaders = {row: _leader(group) for row, group in selectors.by_row(runs).items()}

    async def judge(_: int, one: Verdict) -> Judged | None:
        if values is not None:
            worth = values.get(id(one.call))
            return None if worth is None else _as_judged(one, worth >= LIKELY)
        if one.subject is None and recipe.labels != "data":
            return None  # it is not known what was judged
        match recipe.labels:
            case "data":
                label = _gold(one.run.values)
            case "agreement":
                leader = leaders[one.run.row]
                label = None if leader is None else _key(one.subject) == leader
            case "refine" if one.following is not None and not one.said:
                before, after = [
                    await _score(context, one, v) for v in (one.subject, one.following)
                ]
                if before is None or after is None:
                    return None
                return Judged(one, after > before, None)
            case _:
                worth = await _score(context, one, one.subject)
                label = None if worth is None else worth >= recipe.threshold
        return None if label is None else _as_judged(one, label)

    return [one for one in await for_all(verdicts, judge) if one is not None]


def _as_judged(one: Verdict, label: bool) -> Judged:
    return Judged(one, one.said == label, label)


async def _score(context: Context, one: Verdict, value: Any) -> float | None:
    return await context.score(one.run.values, value) if context.score else None


def verdicts_of(run: Run, modules: Mapping[str, Module]) -> Iterator[Verdict]:
    """The verdicts of a run: on the drafts of refines, and on what a `subject` names."""
    drafts: dict[tuple[int, ...], tuple[Any, Any]] = {}
    for region in run.trace.regions:
        if region.kind == "refine" and region.detail.get("drafts"):
            tries = region.detail["drafts"]
            for i, draft in enumerate(tries):
                following = tries[i + 1] if i + 1 < len(tries) else None
                drafts[(*region.place, i, _NUMBERS["check"])] = draft, following
    for call in run.trace.calls:
        said = said_of(call)
        if call.role != "critique" or said is None or call.module not in modules:
            continue
        place = next((p for p in drafts if within(call.place, p)), None)
        name = modules[call.module].slots.settings.get("subject")
        if place is not None:
            subject, following = drafts[place]
        elif name in call.inputs:
            subject, following = call.inputs[name], None
        else:
            subject, following = None, None
        score = (call.outputs or {}).get("score")
        rating = float(score) if isinstance(score, int | float) else float(said)
        yield Verdict(run, call, subject, following, said, min(1.0, max(0.0, rating)))


def said_of(call: CallTrace) -> bool | None:
    """What a critique said: yes or no."""
    said = call.result if isinstance(call.result, bool) else (call.outputs or {}).get("ok")
    return said if isinstance(said, bool) else None


def _lessons(judged: Sequence[Judged], modules: Mapping[str, Module]) -> Lessons:
    """Right verdicts, and wrong ones put right if they are a bare yes or no.

    Both verdicts weigh alike, since most drafts are of one kind.
    """
    taught: list[tuple[str, bool, Lesson]] = []
    for one in judged:
        call, module = one.verdict.call, modules[one.verdict.call.module]
        outputs, said = call.outputs or {}, one.verdict.said
        if not one.right:
            if one.label is None or outputs.keys() != {BARE}:
                continue
            outputs, said = {BARE: one.label}, one.label
        origin = f"row {one.verdict.run.row}, call {call.id}"
        taught.append((call.module, said, Lesson(demo_of(module, call.inputs, outputs, origin))))
    counts = Counter((name, said) for name, said, _ in taught)
    found: dict[str, list[Lesson]] = {}
    for name, said, lesson in taught:
        total = counts[name, True] + counts[name, False]
        kinds = len([c for c in (counts[name, True], counts[name, False]) if c])
        weight = total / (kinds * counts[name, said])
        found.setdefault(name, []).append(Lesson(lesson.demo, weight))
    return found


def _gold(values: Mapping[str, Any]) -> bool | None:
    known = [values[name] for name in _GOLD if isinstance(values.get(name), bool)]
    return known[0] if known else None


def _leader(group: Sequence[Run]) -> str | None:
    keys = Counter(key for run in group if (key := selectors.result_key(run)) is not None)
    return keys.most_common(1)[0][0] if keys else None


def _key(value: Any) -> str:
    return ballot_key(value, normalize=True)
