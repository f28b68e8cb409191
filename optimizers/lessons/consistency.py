"""Softens the labels of pairs where the weights of the round before prefer otherwise.

Source: CREAM, Wang et al. 2024, arXiv 2410.12735, figure 2. It differs in that the ranking of now
is the one that `select` makes, and is compared with rewards that the weights imply, pair by pair.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lmc.models.adapters import adapter_store
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.groups import Group, groups, moved
from lmc.optimizers.lessons.weights import Lesson, Lessons, Update
from lmc.runtime.parameters import Parameters
from lmc.training.drift import agreement
from lmc.training.rows import PairRow, Row


async def softened(
    lessons: Lessons, context: Context, start: Parameters, leader: Parameters, update: Update
) -> Lessons:
    """The lessons with doubts about the pairs of modules whose weights rounds before trained.

    `start` has the weights before the first round, and `leader` those that label and sample now.
    """
    found = dict(lessons)
    before, after = (
        groups(executor, context.target, *update.also, apart=update.apart)
        for executor in map(context.open_executor, (start, leader))
    )
    for group, old, now in moved(before, after, adapter_store()):
        pairs = _pairs(group, lessons)
        if not pairs:
            continue
        source = group.calls[0].bound.backend.source  # type: ignore[attr-defined]
        quantize = update.settings.quantize
        rate = await asyncio.to_thread(agreement, source, pairs, old, now, quantize)
        text = f"the weights of the round before agree with {rate:.0%} of pairs"
        context.tell(f"{group.name}: {text}")
        for name in group.modules:
            found[name] = [_doubted(row, 1 - rate) for row in lessons.get(name, ())]
    return found


def _pairs(group: Group, lessons: Lessons) -> list[PairRow]:
    known = [row for name in group.modules for row in lessons.get(name, ())]
    return [row for row in known if isinstance(row, PairRow)]


def _doubted(row: Lesson | Row, doubt: float) -> Lesson | Row:
    return replace(row, doubt=doubt) if isinstance(row, PairRow) else row
