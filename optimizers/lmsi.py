"""Self-training on agreement: trains on the majority result of each row, without labels.

Source: LMSI, Huang et al. 2022, arXiv 2210.11610, section 3. Differences: whole programs are
sampled, only rows with enough agreement count, and labels of other rows decide whether it helped.
"""

from __future__ import annotations

from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.lessons.bounds import read_bounds
from lmc.optimizers.lessons.health import health
from lmc.optimizers.lessons.rounds import at_most, improve_in_rounds, lessons_of
from lmc.optimizers.lessons.watching import Gathered, RoundSampling, sample_runs
from lmc.optimizers.lessons.weights import Update, require_trainable
from lmc.runtime.parameters import Parameters
from lmc.traces import selectors
from lmc.training.bases import Quantize
from lmc.training.lora import Kind


@optimizer(
    paper="LMSI, Huang et al. 2022, arXiv 2210.11610",
    check=require_trainable,
)
async def lmsi(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    samples: int,
    keep: int,
    temperature: float | None,
    agreement: float,
    entropy: float,
    diverse: bool,
    rank: int,
    epochs: int | None,
    rate: float | None,
    kind: Kind,
    quantize: Quantize | None,
    module: str | None,
    bounds: str | None,
) -> Parameters:
    """Train on the runs that agree with the majority of their row, without using labels.

    A row counts if at least the share `agreement` of its runs agree. `keep`, `entropy` and
    `diverse` are as in `rest_em`.
    """
    update = Update.of(rank, epochs, rate, kind, module, quantize=quantize)

    async def gather(leader: Parameters, turn: Context, _: int) -> Gathered:
        sampling = RoundSampling(samples, temperature)
        runs = await sample_runs(leader, turn, sampling)
        agreed = selectors.majority(runs, agreement)
        rows = len(selectors.by_row(agreed))
        turn.tell(f"{rows} of {len(turn.train)} rows agree enough; {health(runs, 1.0)}")
        groups = selectors.by_row(runs)
        weights = selectors.entropy_weights(groups, entropy) if entropy else None
        kept = at_most(agreed, keep, diverse=diverse)
        return Gathered(lessons_of(turn, kept, weights), runs, sampling, kept)

    return await improve_in_rounds(
        start, context, rounds, gather, update, bounds=read_bounds(bounds)
    )
