"""Trains weights on what runs of the program teach. This is the recipe of all presets.

`select` says what tells good from bad, and `loss` what training makes of it. `from`, `rows`,
`reward` and `vary` say where the runs come from. The presets fix some of these, as papers do.
"""

from __future__ import annotations

from typing import Any

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.ways import learn, require_taught, require_teachable
from lmc.runtime.parameters import Parameters


@optimizer(
    paper="the presets of this recipe have papers of their own; DPO, arXiv 2305.18290",
    check=require_teachable,
    check_teacher=require_taught,
)
async def train(start: Parameters, context: Context, **options: Any) -> Parameters:
    """Sample, see what the runs teach by `select`, and train under `loss`, round after round.

    `from` names another graph of the program, whose runs teach the modules that both share.
    `rows` names a dataset that a program makes, and `propose` rewards its maker. `reward` scores
    these runs in place of the metric. With `vary`, runs differ in the answers of that module only.
    The loss `kl` learns the probabilities of a `teacher`, on the program's `own` runs and on its.
    The program is always measured on the rows of its own data, by its own metric.
    """
    return await learn(start, context, options)
