"""Trains on single answers that are right or wrong, without pairs.

Source: KTO, Ethayarajh et al. 2024, arXiv 2402.01306. `lmc.training.losses` says how the reference
point differs. The answers are own samples, and rows with one kind of answer only teach nothing.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="KTO, Ethayarajh et al. 2024, arXiv 2402.01306",
    check=require_trainable,
)
async def kto(
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
    """Make answers above their row's average likelier, and others less likely."""
    recipe = Recipe("right", rounds, RoundSampling(samples, temperature), threshold)
    loss = LossSettings("kto", beta=beta, sft=sft)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
