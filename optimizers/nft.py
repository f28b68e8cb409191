"""Trains on right and wrong samples by one supervised loss.

Source: NFT, Chen et al. 2025, arXiv 2505.18116: wrong answers are learnt through the policy that
the right ones imply. It differs in that a round samples all rows before it trains.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="NFT, Chen et al. 2025, arXiv 2505.18116",
    check=require_trainable,
)
async def nft(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    temperature: float | None,
    threshold: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Learn from right samples, and from wrong ones through what the right ones imply.

    The metric must give 0 or 1. Rows of which all samples are alike teach nothing.
    """
    recipe = Recipe("right", rounds, RoundSampling(samples, temperature), threshold)
    loss = LossSettings("nft")
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
