"""Rounds of sampling and training: many samples of each row, then training on the correct ones.

Source: ReST-EM, Singh et al. 2023, arXiv 2312.06585, algorithm 1. Differences: whole programs are
sampled, and each round is guarded and races against the previous one. Options from other papers:
`entropy`, EAST, arXiv 2503.23913; `adapt`, B-STaR, arXiv 2412.17256; `hints`, GSI, arXiv
2411.00750, section 3.3; `diverse`, DIVE, arXiv 2501.00747.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.bounds import read_bounds
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.optimizers.lessons.health import health
from lmc.optimizers.lessons.hints import rationalised
from lmc.optimizers.lessons.rounds import adapted, at_most, improve_in_rounds, lessons_of
from lmc.optimizers.lessons.watching import Gathered, RoundSampling, sample_runs
from lmc.optimizers.lessons.weights import Update, as_lessons, both, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.traces import selectors
from lmc.training.bases import Quantize
from lmc.training.lora import Kind


@optimizer(
    paper="ReST-EM, Singh et al. 2023, arXiv 2312.06585",
    check=require_trainable,
)
async def rest_em(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    keep: int,
    temperature: float | None,
    threshold: float,
    entropy: float,
    adapt: bool,
    hints: bool,
    diverse: bool,
    rank: int,
    epochs: int | None,
    rate: float | None,
    kind: Kind,
    quantize: Quantize | None,
    module: str | None,
    bounds: str | None,
) -> Parameters:
    """Sample every row several times, train on the correct runs, and repeat.

    `keep` is the most runs of one row. `entropy` above 0 weighs each row by the entropy of its
    samples to that power. With `adapt`, each round chooses its temperature. With `hints`, rows that
    no sample solved run again with their answer shown. With `diverse`, the runs of a row that
    differ most are kept.
    """
    update = Update.of(rank, epochs, rate, kind, module, quantize=quantize)

    async def gather(leader: Parameters, turn: Context, _: int) -> Gathered:
        sampling = RoundSampling(samples, temperature)
        if adapt:
            sampling = await adapted(leader, turn, sampling, threshold, keep)
        runs = await sample_runs(leader, turn, sampling)
        turn.tell(str(health(runs, threshold)))
        groups = selectors.by_row(runs)
        weights = selectors.entropy_weights(groups, entropy) if entropy else None
        kept = at_most(selectors.threshold(runs, threshold), keep, diverse=diverse)
        own = lessons_of(turn, kept, weights, threshold)
        if not hints:
            return Gathered(own, runs, sampling, kept)
        solved = DemoPool()
        for name, some in own.items():
            for lesson in some:
                solved.add(name, lesson.demo)
        lessons = both(own, as_lessons(await rationalised(leader, turn, solved)))
        return Gathered(lessons, runs, sampling, kept)

    return await improve_in_rounds(
        start, context, rounds, gather, update, threshold=threshold, bounds=read_bounds(bounds)
    )
