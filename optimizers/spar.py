"""Trains drafts to be what a refine makes of them.

Source: the pairs of SPaR, Cheng et al. 2024, arXiv 2412.11605, section 2.3. It differs in that the
program's own refine revises, once a round, in place of a tree search.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="SPaR, Cheng et al. 2024, arXiv 2412.11605",
    check=require_trainable,
)
async def spar(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    temperature: float | None,
    threshold: float,
    beta: float,
    sft: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Prefer the revision that a refine returned to the draft that it replaced."""
    recipe = Recipe("refine", rounds, RoundSampling(samples, temperature), threshold)
    loss = LossSettings("dpo", beta=beta, sft=sft)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
