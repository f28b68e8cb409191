"""Trains on pairs: a right answer against a wrong one to the same prompt.

Source: DPO, Rafailov et al. 2023, arXiv 2305.18290. It differs in where pairs come from: own
samples that the metric tells apart, as in Iterative RPO, Pang et al. 2024, arXiv 2404.19733, from
which the added likelihood of right answers (`sft`) is taken too.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="DPO, Rafailov et al. 2023, arXiv 2305.18290",
    check=require_trainable,
)
async def dpo(
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
    """Prefer samples that the metric accepts to others of the same prompt.

    `beta` and `sft` are as in `train`. A round starts from the weights of the round before.
    """
    recipe = Recipe("right", rounds, RoundSampling(samples, temperature), threshold)
    loss = LossSettings("dpo", beta=beta, sft=sft)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
