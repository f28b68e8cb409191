"""Trains weights by comparing samples. This is the recipe whose presets have names of their own.

`select` says how it is known which answer is better, and `loss` what training makes of it. `dpo`,
`scpo`, `spin`, `spar`, `self_rewarding`, `sppo`, `kto`, `nft` and `grpo` fix both, as papers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.comparing import Recipe, Select, learn_by_comparing, require_agreement
from lmc.optimizers.lessons.rounds import RoundSampling
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.training.losses import LossName, LossSettings

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


def _require_teachable(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    require_trainable(executor, target, options)
    complete = train.signature.complete(options)
    require_agreement(complete["select"], complete["loss"])


@optimizer(
    paper="the presets of this recipe have papers of their own; DPO, arXiv 2305.18290",
    check=_require_teachable,
)
async def train(
    start: Parameters,
    context: Context,
    *,
    select: Select,
    loss: LossName,
    rounds: int,
    samples: int,
    temperature: float | None,
    threshold: float,
    judge: str | None,
    beta: float,
    sft: float,
    kl: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    module: str | None,
) -> Parameters:
    """Sample, compare by `select`, and train under `loss`, for up to `rounds` rounds.

    `sft` adds the likelihood of better answers to the loss. `kl` is for policy gradients.
    """
    recipe = Recipe(select, rounds, RoundSampling(samples, temperature), threshold, judge)
    settings = LossSettings(loss, beta=beta, sft=sft, kl=kl)
    update = Update.of(rank, epochs, rate, module, loss=settings)
    return await learn_by_comparing(start, context, recipe, update)
