"""Weights from accepted runs: an adapter for each module, trained on what the program did right.

Source: BetterTogether, Soylu et al. 2024, arXiv 2407.10930, and BootstrapFinetune of DSPy, Khattab
et al. 2023, arXiv 2310.03714; differs in: labelled rows are used where they label all outputs of a
module, demonstrations leave the prompt unless they are wanted, and the adapters race against the
program as it was.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.acquiring import acquire
from lmc.optimizers.lessons.weights import Update, as_lessons, require_trainable, train_and_race
from lmc.runtime.parameters import Parameters


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
    threshold: float,
    teacher: str | None,
    demos: bool,
    module: str | None,
) -> Parameters:
    """Train an adapter for every module on the calls of runs that the metric accepted.

    `teacher`, a model or an artifact, makes these runs; `demos` keeps demonstrations in the prompts
    that are trained on; `module` is the only one to be trained.
    """
    pool = await acquire(start, context, threshold=threshold, teacher=teacher)
    update = Update.of(rank, epochs, rate, module, demos=demos)
    return await train_and_race(start, context, as_lessons(pool), update)
