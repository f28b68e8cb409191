"""Collects demonstrations: runs the program or a teacher on train rows, and keeps correct runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lmc.ir.provenance import Module, Provenance, result_provenance
from lmc.measure.rows import Row
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.trials import Mode
from lmc.optimizers.lessons.demonstrations import (
    DemoPool,
    corrected_demos,
    example_pool,
    input_names,
    labeled_pool,
    traced_demos,
)
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.traces.led import Among
from lmc.traces.selectors import threshold as accepted_runs
from lmc.traces.store import Run

BATCH_ROWS = 32  # rows that run together before the budget is checked again
RUNS_SHARE = 0.5  # largest share of the remaining runs
GATHER_ROWS = 16  # rows that run before `gather` checks whether it has enough
GATHER_SHARE = 1 / 3  # largest share of the remaining runs
PATIENCE_ROWS = 64  # after this many rows without an accepted run, labels must suffice
NO_DEMOS = "no demonstrations: no run was accepted, and no row labels a module's outputs"


@dataclass
class Harvest:
    """The demonstrations of a program: those from labels, and those from accepted runs."""

    context: Context
    threshold: float
    labeled: DemoPool = field(init=False)
    traced: DemoPool = field(default_factory=DemoPool)

    def __post_init__(self) -> None:
        program, target, train = self.context.program, self.context.target, self.context.train
        known = labeled_pool(program, target, train).only(self.modules)
        self.labeled = known.under(example_pool(self.modules))

    @cached_property
    def modules(self) -> dict[str, Module]:
        """The modules that runs can reach and that may be changed."""
        return self.context.modules()

    @cached_property
    def among(self) -> Among:
        """The calls whose answers may be the result."""
        return self.context.alternatives()

    @cached_property
    def provenance(self) -> dict[str, Provenance]:
        """The modules whose outputs the rows can label."""
        provenance = result_provenance(self.context.program, self.context.target)
        return {name: labelled for name, labelled in provenance.items() if name in self.modules}

    def mixed(self) -> DemoPool:
        """Both kinds. For equal inputs the run counts, since a bare label may lack fields."""
        return self.labeled.under(self.traced)

    def learn(self, runs: Sequence[Run]) -> int:
        """Add the demonstrations of some runs. Returns how many runs were accepted."""
        inputs = input_names(self.context.program, self.context.target)
        for run in runs:
            for module, demo in corrected_demos(run, self.provenance, inputs):
                self.labeled.add(module, demo)
        accepted = accepted_runs(runs, self.threshold)
        found = DemoPool()
        for run in accepted:
            for module, demo in traced_demos(run, self.modules, self.among, self.threshold):
                found.add(module, demo)
        self.traced = self.traced.under(found)
        return len(accepted)

    async def gather(
        self, parameters: Parameters, rows: Sequence[Row], wanted: int, mode: Mode, stage: str
    ) -> None:
        """Run the program on rows until enough runs are accepted. Raises: BudgetExceeded."""
        runs, accepted, tried = self.context.trials.runs_left() * GATHER_SHARE, 0, 0
        while rows[tried:] and accepted < wanted:
            batch = rows[tried : tried + GATHER_ROWS]
            tried += len(batch)
            if tried > runs or (tried > PATIENCE_ROWS and not accepted and self.labeled):
                break
            accepted += self.learn(await make_runs(parameters, self.context, batch, mode, stage))

    def says_all(self) -> bool:
        """Whether labels suffice: nearly every row has one, and no module reasons first."""
        return all(
            len(self.labeled.of(name)) >= 0.9 * len(self.context.train)
            and not module.slots.settings.get("reason")
            for name, module in self.modules.items()
        )


async def make_runs(
    start: Parameters, context: Context, rows: Sequence[Row], mode: Mode, stage: str
) -> list[Run]:
    """Run the program on some rows and return the runs. Raises: BudgetExceeded."""
    await context.trials.results(stage, [start], rows, mode)
    return await context.traces(start, rows, mode)


def shuffled(context: Context, name: str) -> list[Row]:
    """The train rows in a random order that depends on the seed and the name."""
    rows = list(context.train)
    random.Random(f"{context.seed}/{name}").shuffle(rows)
    return rows


async def acquire(
    start: Parameters, context: Context, *, threshold: float, teacher: str | None
) -> DemoPool:
    """Collect the labels of the train rows, and the calls of all accepted runs on them.

    For equal inputs the call counts, because it has all fields. If the labels suffice, nothing is
    run.
    """
    harvest = Harvest(context, threshold)
    if teacher is None and harvest.says_all():
        return harvest.labeled
    mode, rows = Mode(teacher, training=True), shuffled(context, "acquire")
    rows = rows[: int(min(len(rows), context.trials.runs_left() * RUNS_SHARE))]
    accepted = 0
    try:
        for first in range(0, len(rows), BATCH_ROWS):
            batch = rows[first : first + BATCH_ROWS]
            runs = await make_runs(start, context, batch, mode, "acquiring traces")
            accepted += harvest.learn(runs)
    except BudgetExceeded:
        pass
    text = f"{accepted} of {len(rows)} runs were accepted"
    context.tell(text)
    return harvest.mixed()
