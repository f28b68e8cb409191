"""Labelled demonstrations: shows train rows as demonstrations, without any model call."""

from __future__ import annotations

import random

from lmc.diagnostics import LmcError
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.demonstrations import labeled_pool, pick_demos
from lmc.runtime.parameters import Parameters


@optimizer(
    paper="Language Models are Few-Shot Learners, Brown et al. 2020, arXiv 2005.14165",
)
async def labeled(start: Parameters, context: Context, *, demos: int) -> Parameters:
    """Show `demos` labelled rows as demonstrations to the module that gives the result.

    They cover the kinds of outputs evenly. Raises: LmcError[no-labels] if the inputs and outputs of
    no module are fields of the rows.
    """
    pool = labeled_pool(context.program, context.target, context.train).only(context.modules())
    if not pool:
        raise LmcError.of(
            "no-labels",
            f"no row labels all outputs of the module that gives the result of `{context.target}`",
            help="use `bootstrap`, which takes the missing fields from runs of the program",
        )
    changed = start
    for name in pool.by_module:
        rng = random.Random(f"{context.seed}/labeled/{name}")
        changed = changed.with_slots(name, demos=pick_demos(pool.of(name), demos, rng))
    return changed
