"""Trains on pairs by agreement: the majority's answers against the rarest, without labels.

Source: ScPO, Prasad et al. 2024, arXiv 2411.04109: pairs weigh by the margin of the vote, and the
likelihood of the majority's answers is added. It differs in that whole programs are sampled, and
no new questions are written.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="ScPO, Prasad et al. 2024, arXiv 2411.04109",
    check=require_trainable,
)
async def scpo(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    temperature: float | None,
    beta: float,
    sft: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Prefer the majority's answers to the rarest ones, without using labels."""
    recipe = Recipe("votes", rounds, RoundSampling(samples, temperature))
    loss = LossSettings("dpo", beta=beta, sft=sft)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
