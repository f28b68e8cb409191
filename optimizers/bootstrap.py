"""Bootstrapped demonstrations with search over subsets.

Source: DSPy, Khattab et al. 2023, arXiv 2310.03714, BootstrapFewShotWithRandomSearch; differs in:
labelled rows are a source of their own, subsets cover the kinds of outputs evenly, candidates race
on paired rows, and in later rounds the improved program is the teacher.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lmc.check.types import STR, FloatType, IntType, OptionalType
from lmc.optimizers.acquiring import Harvest, shuffled
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.demonstrations import DemoPool, pick_demos
from lmc.optimizers.events import LeaderChanged
from lmc.optimizers.racing import Candidate, Standing, race
from lmc.optimizers.routes import Module
from lmc.optimizers.trials import Mode, parameters_key
from lmc.runtime.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters


@optimizer(
    "bootstrap",
    paper="DSPy, Khattab et al. 2023, arXiv 2310.03714",
    demos=IntType(1, 64),
    candidates=IntType(1, 256),
    rounds=IntType(1, 8),
    threshold=FloatType(0.0, 1.0),
    teacher=OptionalType(STR),
)
async def bootstrap(
    start: Parameters,
    context: Context,
    *,
    demos: int = 4,
    candidates: int = 16,
    rounds: int = 2,
    threshold: float = 1.0,
    teacher: str | None = None,
) -> Parameters:
    """Show every module up to `demos` calls of runs that the metric accepted; keep the best subset.

    `candidates` subsets are compared in each of the `rounds`; a run is accepted from a score of
    `threshold` on; `teacher`, a model or an artifact, makes the first round's runs in its place.
    """
    sources, leader = Harvest(context, threshold), Candidate("start", start)
    for number in range(1, rounds + 1):
        search = _Round(context, demos, candidates, number)
        try:
            await search.acquire(leader, sources, teacher if number == 1 else None)
            better = await search.improve(leader, sources)
        except BudgetExceeded:
            context.tell("the budget ended the search")
            break
        if better is None:
            break
        leader = better.candidate
        if better.mean == 1.0:  # nothing left to gain that could be measured
            break
    return leader.parameters


@dataclass(slots=True)
class _Round:
    """One round: a teacher's runs, then a race of subsets of what they gave."""

    context: Context
    demos: int
    candidates: int
    number: int

    async def acquire(self, leader: Candidate, sources: Harvest, teacher: str | None) -> None:
        """Add the calls of accepted runs on train rows, until there is choice enough."""
        rows = shuffled(self.context, f"{self.number}/rows")
        mode, stage = Mode(teacher, training=True), f"teacher, round {self.number}"
        await sources.gather(leader.parameters, rows, max(24, 6 * self.demos), mode, stage)

    async def improve(self, leader: Candidate, sources: Harvest) -> Standing | None:
        """The winner of a race of subsets, or None where the leader stays."""
        if not sources.mixed():
            text = "no demonstrations: no run was accepted, and no row labels a module's outputs"
            self.context.tell(text)
            return None
        rivals = list(self._rivals(leader, sources))
        context = self.context
        best, first = await race(leader, rivals, context.select, context.trials)
        if best.candidate is leader or best.gain <= 0:
            return None
        event = LeaderChanged(best.candidate.name, best.mean, first.mean, best.rows)
        context.report(replace(event, totals=context.trials.totals()))
        return best

    def _rivals(self, leader: Candidate, sources: Harvest) -> Iterator[Candidate]:
        """Distinct candidates, the most promising first: where money is short the last ones go."""
        seen = {parameters_key(leader.parameters)}
        count = 0
        for name, pool, most in self._subsets(leader, sources):
            rng = random.Random(f"{self.context.seed}/{self.number}/{name}")
            changed, shown = _with_subset(leader.parameters, sources.modules, pool, most, rng)
            rival = Candidate(f"{self.number}.{name}", changed, shown)
            key = parameters_key(rival.parameters)
            if key not in seen:
                seen.add(key)
                count += 1
                yield rival
            if count == self.candidates:
                return

    def _subsets(
        self, leader: Candidate, sources: Harvest
    ) -> Iterator[tuple[str, DemoPool | None, int]]:
        """Name, pool and size: a full subset of each source, none at all, then any."""
        pools = {"traced": sources.traced, "labeled": sources.labeled, "mixed": sources.mixed()}
        filled = {name: pool for name, pool in pools.items() if pool}
        yield from ((name, pool, self.demos) for name, pool in filled.items())
        if any(m.slots.demos for m in sources.modules.values()) or has_demos(leader.parameters):
            yield "none", None, 0
        for i in range(4 * self.candidates):  # some will be equal to others
            rng = random.Random(f"{self.context.seed}/{self.number}/size/{i}")
            name = rng.choice(list(filled))
            size = self.demos if rng.random() < 0.5 else rng.randint(1, self.demos)
            yield f"{name}-{i}", filled[name], size


def _with_subset(
    start: Parameters,
    modules: Mapping[str, Module],
    pool: DemoPool | None,
    most: int,
    rng: random.Random,
) -> tuple[Parameters, int]:
    """Parameters that show up to `most` demonstrations a module, and how many they show."""
    changed, total = start, 0
    for module in modules.values():
        known = pool.of(module.name) if pool else []
        if known or pool is None:
            limit = module.slots.settings.get("demos")
            size = min(most, limit) if isinstance(limit, int) else most
            chosen = pick_demos(known, size, rng)
            changed = changed.with_slots(module.name, demos=chosen)
            total += len(chosen)
    return changed, total


def has_demos(parameters: Parameters) -> bool:
    """Whether any module shows demonstrations that an optimizer chose."""
    return any(module.demos for module in parameters.modules.values())
