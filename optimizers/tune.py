"""Chooses the options of `tune[…]` that score best on the objective.

If there are few combinations, all of them race. Otherwise a Bayesian search (Bergstra et al. 2011)
finds the promising ones. The graph gives the worst-case cost of a combination before it runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from lmc.check.program import Choice
from lmc.ir.cost import worst_calls
from lmc.ir.provenance import reached_choices
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.bayesian import bayesian_search
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.runtime.parameters import Parameters

MOST_SHOWN = 8  # points of the front that are reported


@optimizer(
    paper="optuna's TPE, Watanabe 2023, arXiv 2304.11127",
)
async def tune(start: Parameters, context: Context, *, trials: int) -> Parameters:
    """Choose the best option of every `tune[…]`, by `objective` if one is given.

    If two score the same, the one with fewer model calls wins. Reports the combinations that no
    other one beats in both score and calls.
    """
    choices = reached_choices(context.program, context.target)
    if not choices:
        text = f"`{context.target}` reaches no `tune[…]`, so there is nothing to choose"
        context.tell(text)
        return start
    incumbent = Candidate("start", start, size=_calls(context, start))
    with context.until_spent():
        if math.prod(len(choice.options) for choice in choices.values()) <= trials:
            rivals = [
                _candidate(context, start, choices, places)
                for places in product(*(range(len(c.options)) for c in choices.values()))
            ]
        else:
            sizes = {id: len(choice.options) for id, choice in choices.items()}

            def build(picked: Mapping[str, int]) -> Parameters:
                places = [picked[id] for id in choices]
                return _candidate(context, start, choices, places).parameters

            rivals = await bayesian_search(start, context, sizes, build, trials)
        others = sorted((r for r in rivals if r.parameters != start), key=lambda r: r.size)
        best = await best_of(incumbent, others, context)
        await _tell_front(context, [incumbent, *others])
        return best
    return start


def _candidate(
    context: Context, start: Parameters, choices: Mapping[str, Choice], places: Sequence[int]
) -> Candidate:
    changed, named = start, []
    for (id, choice), place in zip(choices.items(), places):
        value = choice.options[place]
        if value != start.choices.get(id, choice.baseline):
            changed = changed.with_choice(id, value)
            named.append(f"{id}={value}")
    return Candidate(", ".join(named) or "start", changed, size=_calls(context, changed))


def _calls(context: Context, parameters: Parameters) -> float:
    return worst_calls(context.program, context.target, parameters.choices)


async def _tell_front(context: Context, tried: Sequence[Candidate]) -> None:
    """Report the combinations that no other one beats in both score and calls, on known rows."""
    points: list[tuple[float, float, str]] = []
    for candidate in tried:
        known = context.trials.known(candidate.parameters, context.select)
        scores = [result.value for result in known if result.value is not None]
        if scores:
            calls = sum(result.usage.calls for result in known) / len(known)
            points.append((calls, sum(scores) / len(scores), candidate.name))
    front: list[tuple[float, float, str]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    shown = [f"{name}: {score:.3f} at {calls:.3g} calls" for calls, score, name in front]
    if len(front) > 1:
        text = f"score against calls: {'; '.join(shown[:MOST_SHOWN])}"
        context.tell(text)
