"""Labelled demonstrations: rows of the train split shown as they are, without a single call."""

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
    """Show the module that answers `demos` labelled rows, the kinds of outputs evenly covered.

    Raises: LmcError[no-labels] when no module's inputs and outputs are fields of the rows.
    """
    pool = labeled_pool(context.program, context.target, context.train).only(context.modules())
    if not pool:
        raise LmcError.of(
            "no-labels",
            f"no row labels all outputs of the module that gives the result of `{context.target}`",
            help="use `bootstrap`: it takes the missing fields from runs of the program",
        )
    changed = start
    for name in pool.by_module:
        rng = random.Random(f"{context.seed}/labeled/{name}")
        changed = changed.with_slots(name, demos=pick_demos(pool.of(name), demos, rng))
    return changed
