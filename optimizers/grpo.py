"""Trains by policy gradients: answers above the average of their row become likelier.

Source: GRPO, Shao et al. 2024, arXiv 2402.03300. Options from other papers: `average="tokens"` and
`clip_high`, DAPO, arXiv 2503.14476; `average="constant"` and `scaled=false`, Dr. GRPO, arXiv
2503.20783. It differs in that a reward belongs to a whole run, all calls of the run share it, and
a round samples all rows before it trains.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, learn_by_comparing
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import Average, LossSettings


@optimizer(
    paper="GRPO, Shao et al. 2024, arXiv 2402.03300",
    check=require_trainable,
)
async def grpo(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    temperature: float | None,
    scaled: bool,
    average: Average,
    clip: float,
    clip_high: float | None,
    kl: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Follow the gradient of the metric, with the row's other samples as the baseline.

    The metric may be any number. Rows of which all samples score alike teach nothing.
    """
    recipe = Recipe("right", rounds, RoundSampling(samples, temperature), scaled=scaled)
    loss = LossSettings("pg", clip=clip, clip_high=clip_high, kl=kl, average=average)
    update = Update.of(rank, epochs, rate, module, loss=loss)
    return await learn_by_comparing(start, context, recipe, update)
