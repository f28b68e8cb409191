"""Grow and improve: many samples a row, the right ones are trained on, again from the new weights.

Source: ReST-EM, Singh et al. 2023, arXiv 2312.06585, algorithm 1; differs in: whole programs are
sampled, each round races against the one before and is guarded. Options from others: `entropy`,
EAST, arXiv 2503.23913; `adapt`, B-STaR, arXiv 2412.17256; `hints`, GSI, arXiv 2411.00750, section
3.3; `diverse`, DIVE, arXiv 2501.00747.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.optimizers.lessons.health import health
from lmc.optimizers.lessons.hints import rationalised
from lmc.optimizers.lessons.rounds import (
    RoundSampling,
    adapted,
    at_most,
    both,
    improve_in_rounds,
    lessons_of,
    sample_runs,
)
from lmc.optimizers.lessons.weights import Lessons, Update, as_lessons, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.traces import selectors
from lmc.types import BOOL, STR, FloatType, IntType, OptionalType


@optimizer(
    "rest_em",
    paper="ReST-EM, Singh et al. 2023, arXiv 2312.06585",
    check=require_trainable,
    rounds=IntType(1, 8),
    samples=IntType(1, 64),
    keep=IntType(1, 64),
    temperature=OptionalType(FloatType(0.0, 2.0)),
    threshold=FloatType(0.0, 1.0),
    entropy=FloatType(0.0, 8.0),
    adapt=BOOL,
    hints=BOOL,
    diverse=BOOL,
    rank=IntType(1, 256),
    epochs=OptionalType(IntType(1, 1000)),
    rate=OptionalType(FloatType(0.0, 1.0)),
    module=OptionalType(STR),
)
async def rest_em(
    start: Parameters,
    context: Context,
    *,
    rounds: int = 2,
    samples: int = 4,
    keep: int = 2,
    temperature: float | None = 0.7,
    threshold: float = 1.0,
    entropy: float = 0.0,
    adapt: bool = False,
    hints: bool = False,
    diverse: bool = False,
    rank: int = 16,
    epochs: int | None = None,
    rate: float | None = None,
    module: str | None = None,
) -> Parameters:
    """Sample every row several times, train on the runs that were right, and do it again.

    `keep` bounds the runs of one row. `entropy` above 0 weighs rows by how much their samples
    disagree, to that power. With `adapt` each round chooses its temperature; with `hints` rows that
    no sample solved are tried with their answer told; with `diverse` the runs of a row that differ
    most are kept.
    """
    update = Update.of(rank, epochs, rate, module)

    async def gather(leader: Parameters, turn: Context) -> Lessons:
        sampling = RoundSampling(samples, temperature)
        if adapt:
            sampling = await adapted(leader, turn, sampling, threshold, keep)
        runs = await sample_runs(leader, turn, sampling)
        turn.tell(str(health(runs, threshold)))
        groups = selectors.by_row(runs)
        weights = selectors.entropy_weights(groups, entropy) if entropy else None
        kept = at_most(selectors.threshold(runs, threshold), keep, diverse=diverse)
        lessons = lessons_of(turn, kept, weights)
        if hints:
            solved = DemoPool()
            for name, some in lessons.items():
                for lesson in some:
                    solved.add(name, lesson.demo)
            lessons = both(lessons, as_lessons(await rationalised(leader, turn, solved)))
        return lessons

    return await improve_in_rounds(start, context, rounds, gather, update)
