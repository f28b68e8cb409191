"""Trains an adapter for each module on accepted runs.

Source: BetterTogether, Soylu et al. 2024, arXiv 2407.10930, and BootstrapFinetune of DSPy, Khattab
et al. 2023, arXiv 2310.03714. Differences: rows that label all outputs of a module are used
directly. Demonstrations leave the prompt by default. The adapters race against the start.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.acquiring import acquire
from lmc.optimizers.lessons.weights import Update, as_lessons, require_trainable, train_and_race
from lmc.runtime.parameters import Parameters
from lmc.training.bases import Quantize
from lmc.training.lora import Kind


@optimizer(
    paper="LoRA, Hu et al. 2021, arXiv 2106.09685; BetterTogether, arXiv 2407.10930",
    check=require_trainable,
)
async def lora(
    start: Parameters,
    context: Context,
    *,
    rank: int,
    epochs: int | None,
    rate: float | None,
    kind: Kind,
    quantize: Quantize | None,
    threshold: float,
    teacher: str | None,
    demos: bool,
    module: str | None,
) -> Parameters:
    """Train an adapter for every module on the calls of runs that the metric accepted.

    `teacher`, a model or an artifact, makes these runs instead of the program. `demos` keeps the
    demonstrations in the prompts, also in training. `module` names the only module to train.
    """
    pool = await acquire(start, context, threshold=threshold, teacher=teacher)
    update = Update.of(rank, epochs, rate, kind, module, quantize=quantize, demos=demos)
    return await train_and_race(start, context, as_lessons(pool), update)
