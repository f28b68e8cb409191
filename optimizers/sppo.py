"""Trains each answer towards the rate at which it wins against the others.

Source: SPPO, Wu et al. 2024, arXiv 2405.00675. It differs in that a model compares the results in
both orders, in place of a trained reward model; `beta` is 1 / eta.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="SPPO, Wu et al. 2024, arXiv 2405.00675",
    check=require_trainable,
)
async def sppo(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    temperature: float | None,
    judge: str | None,
    beta: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Move the likelihood of each answer by its rate of wins, without labels."""
    recipe = Recipe("judge", rounds, RoundSampling(samples, temperature), judge=judge)
    loss = LossSettings("sppo", beta=beta)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
