"""Trains on pairs that the model itself judges.

Source: Self-Rewarding Language Models, Yuan et al. 2024, arXiv 2401.10020. It differs in the
judge: it compares two results in both orders, in place of a score from 0 to 5.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="Self-Rewarding Language Models, Yuan et al. 2024, arXiv 2401.10020",
    check=require_trainable,
)
async def self_rewarding(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    temperature: float | None,
    judge: str | None,
    beta: float,
    sft: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Prefer the result that wins most comparisons to the one that wins fewest, without labels.

    `judge` compares every two results of a row, in both orders.
    """
    recipe = Recipe("judge", rounds, RoundSampling(samples, temperature), judge=judge)
    loss = LossSettings("dpo", beta=beta, sft=sft)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
