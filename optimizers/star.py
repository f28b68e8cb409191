"""Rounds of training on reasoning that led to the right answer, with hints for unsolved rows.

Source: STaR, Zelikman et al. 2022, arXiv 2203.14465, algorithm 1 with rationalisation, section 3.2.
Differences: whole programs are run, and all modules of accepted runs are trained. Each round races
against the previous one on rows that do not train. The first round that does not win is the last.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.acquiring import acquire
from lmc.optimizers.lessons.bounds import read_bounds
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.optimizers.lessons.hints import rationalised
from lmc.optimizers.lessons.rounds import improve_in_rounds
from lmc.optimizers.lessons.watching import Gathered
from lmc.optimizers.lessons.weights import Update, as_lessons, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.bases import Quantize
from lmc.training.lora import Kind


@optimizer(
    paper="STaR, Zelikman et al. 2022, arXiv 2203.14465",
    check=require_trainable,
)
async def star(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    rank: int,
    epochs: int | None,
    rate: float | None,
    kind: Kind,
    quantize: Quantize | None,
    threshold: float,
    hints: bool,
    module: str | None,
    bounds: str | None,
) -> Parameters:
    """Train on correct runs and run again with the new weights, for up to `rounds` rounds.

    With `hints`, a module that reasons sees the answer of rows that it got wrong. If its reasoning
    then leads to the answer, it is trained on without the hint. Every round starts from the model's
    original weights.
    """
    pool = DemoPool()

    async def gather(leader: Parameters, turn: Context, _: int) -> Gathered:
        nonlocal pool
        pool = pool.under(await acquire(leader, turn, threshold=threshold, teacher=None))
        if hints:
            pool = (await rationalised(leader, turn, pool)).under(pool)
        return Gathered(as_lessons(pool))

    update = Update.of(rank, epochs, rate, kind, module, quantize=quantize)
    return await improve_in_rounds(
        start, context, rounds, gather, update, threshold=threshold, bounds=read_bounds(bounds)
    )
