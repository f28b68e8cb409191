"""Two turns, a draft and its revision, trained by policy gradients in two phases.

Source: SCoRe, Kumar et al. 2024, arXiv 2409.12917, section 4: first the second turn is trained
while the first is held at the start's distribution; then both are, with a bonus for progress.
Without the first phase, the second turn learns to repeat the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev

from lmc.frozen import frozen
from lmc.ir.ops import body_numbers
from lmc.optimizers.lessons.comparing import grouped, scored_row
from lmc.optimizers.lessons.recipe import Round
from lmc.optimizers.lessons.weights import Lessons
from lmc.runtime.traces import CallTrace, RegionTrace
from lmc.tasks.together import for_all
from lmc.traces.led import within
from lmc.traces.store import Run
from lmc.training.rows import Row, ScoredRow

_NUMBERS = body_numbers("refine")


@frozen
class TwoTurns:
    """The first refine of a run, what its draft is worth, and what the run ended with is worth."""

    run: Run
    region: RegionTrace
    before: float
    after: float


async def by_turns(turn: Round) -> Lessons:
    """Drafts and revisions with their advantages. Even rounds hold the drafts, odd ones do not."""
    tries = await two_turns(turn)
    if tries:
        gain = fmean(one.after - one.before for one in tries)
        drafts = fmean(one.before for one in tries)
        turn.context.tell(f"drafts score {drafts:.2f}, and revisions gain {gain:+.2f}")
    found: list[tuple[CallTrace, Row]] = []
    groups: dict[str, list[TwoTurns]] = {}
    for one in tries:
        groups.setdefault(one.run.row, []).append(one)
    for group in groups.values():
        found += _held(group, turn) if turn.number % 2 == 0 else _joint(group, turn)
    return grouped(found)


async def two_turns(turn: Round) -> list[TwoTurns]:
    """The runs that drafted and revised, with the score of their drafts by the metric."""
    score = turn.context.score
    runs = [(run, region) for run in turn.runs if (region := _refine(run)) is not None]

    async def drafted(_: int, pair: tuple[Run, RegionTrace]) -> float | None:
        run, region = pair
        return await score(run.values, region.detail["drafts"][0]) if score else None

    before = await for_all(runs, drafted)
    return [
        TwoTurns(run, region, first, run.score)
        for (run, region), first in zip(runs, before)
        if first is not None and run.score is not None
    ]


def _refine(run: Run) -> RegionTrace | None:
    regions = (r for r in run.trace.regions if r.kind == "refine" and r.detail.get("drafts"))
    return next(regions, None)


def _held(group: Sequence[TwoTurns], turn: Round) -> list[tuple[CallTrace, Row]]:
    """Phase one: the revisions earn the result, and the drafts stay what they are."""
    held = [
        (call, _row(call, 0.0, turn.recipe.pull)) for one in group for call in _calls(one, "draft")
    ]
    return held + _advantages(group, "revise", [one.after for one in group], turn)


def _joint(group: Sequence[TwoTurns], turn: Round) -> list[tuple[CallTrace, Row]]:
    """Phase two: each turn earns its own score, and the second the progress on top."""
    bonus = turn.recipe.bonus
    after = [one.after + bonus * (one.after - one.before) for one in group]
    return [
        *_advantages(group, "draft", [one.before for one in group], turn),
        *_advantages(group, "revise", after, turn),
    ]


def _advantages(
    group: Sequence[TwoTurns], body: str, rewards: Sequence[float], turn: Round
) -> list[tuple[CallTrace, Row]]:
    mean, spread = fmean(rewards), pstdev(rewards)
    if spread == 0:
        return []
    scale = spread if turn.recipe.scaled else 1.0
    return [
        (call, _row(call, (reward - mean) / scale))
        for one, reward in zip(group, rewards)
        for call in _calls(one, body)
    ]


def _calls(one: TwoTurns, body: str) -> list[CallTrace]:
    """The calls of a body: of the draft, or of the last revision."""
    turns = [0] if body == "draft" else [len(one.region.detail["drafts"]) - 1]
    places = [(*one.region.place, number, _NUMBERS[body]) for number in turns]
    calls = (c for c in one.run.trace.calls if c.raw and not c.infrastructure)
    return [c for c in calls if any(within(c.place, place) for place in places)]


def _row(call: CallTrace, advantage: float, pull: float = 0.0) -> ScoredRow:
    return replace(scored_row(call, advantage, 0.0), pull=pull)
