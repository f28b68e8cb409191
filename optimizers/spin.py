"""Trains on pairs of a label and the model's own answer.

Source: SPIN, Chen et al. 2024, arXiv 2401.01335, algorithm 1: the opponent is the model of the
round before. It differs in that answers which equal the label make no pair.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossSettings


@optimizer(
    paper="SPIN, Chen et al. 2024, arXiv 2401.01335",
    check=require_trainable,
)
async def spin(
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
    """Prefer the rows' labels to the program's own answers.

    Only modules whose outputs the rows label are trained, and none that reason first.
    """
    recipe = Recipe("gold", rounds, RoundSampling(samples, temperature))
    loss = LossSettings("dpo", beta=beta, sft=sft)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
