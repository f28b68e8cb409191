"""Bootstrapped demonstrations with search over subsets.

Source: DSPy, Khattab et al. 2023, arXiv 2310.03714, BootstrapFewShotWithRandomSearch. Differences:
labelled rows are a separate source, subsets cover the kinds of outputs evenly, and candidates race
on paired rows. In later rounds the improved program is the teacher, and every other subset is the
best one with some demonstrations exchanged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lmc.frozen import frozen
from lmc.ir.provenance import Module
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, Standing, race
from lmc.optimizers.candidates.trials import Mode, parameters_key
from lmc.optimizers.events import LeaderChanged
from lmc.optimizers.lessons.acquiring import NO_DEMOS, Harvest, shuffled
from lmc.optimizers.lessons.demonstrations import DemoPool, pick_demos
from lmc.prompts.spec import Demo
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters

ROUND_RUNS = 1.5  # runs per select row that a round needs; a small budget gets fewer rounds
EXCHANGED = 0.3  # average share of exchanged demonstrations in a subset near the best one


@optimizer(
    paper="DSPy, Khattab et al. 2023, arXiv 2310.03714",
)
async def bootstrap(
    start: Parameters,
    context: Context,
    *,
    demos: int,
    candidates: int,
    rounds: int,
    threshold: float,
    teacher: str | None,
) -> Parameters:
    """Collect demonstrations from runs that the metric accepts, and search for the best subset.

    Each module shows up to `demos` of them. Each of the `rounds` compares `candidates` subsets. A
    run is accepted if it scores at least `threshold`. `teacher`, a model or an artifact, makes the
    runs of the first round instead of the program.
    """
    sources, leader = Harvest(context, threshold), Candidate("start", start)
    for number in range(1, rounds + 1):
        search = _Round(context, demos, candidates, number)
        allowance = context.trials.allowance
        affordable = allowance.runs() / (ROUND_RUNS * len(context.select))
        later = max(0, min(rounds - number, affordable - 1))
        try:
            with allowance.holding(later / (later + 1)):
                await search.acquire(leader, sources, teacher if number == 1 else None)
                better = await search.improve(leader, sources)
        except BudgetExceeded:
            context.tell("the budget ended the search")
            break
        if not sources.mixed():
            context.tell(NO_DEMOS)
            break
        if better is None:
            continue
        leader = better.candidate
        if better.mean == 1.0 and better.rows == len(context.select):  # no gain is left to measure
            break
    return leader.parameters


@dataclass(slots=True)
class _Round:
    """One round: a teacher's runs, then a race of subsets of their demonstrations."""

    context: Context
    demos: int
    candidates: int
    number: int

    async def acquire(self, leader: Candidate, sources: Harvest, teacher: str | None) -> None:
        """Add the calls of accepted runs on train rows, until there are enough to choose from.

        If the labels already contain everything, nothing is run.
        """
        if teacher is None and sources.says_all():
            return
        rows = shuffled(self.context, f"{self.number}/rows")
        mode, stage = Mode(teacher, training=True), f"teacher, round {self.number}"
        await sources.gather(leader.parameters, rows, max(24, 6 * self.demos), mode, stage)

    async def improve(self, leader: Candidate, sources: Harvest) -> Standing | None:
        """The winner of a race of subsets, or None if the leader stays."""
        context, rivals = self.context, list(self._rivals(leader, sources))
        best, first = await race(leader, rivals, context.select, context.trials)
        if best.candidate is leader or best.gain <= 0:
            return None
        event = LeaderChanged(best.candidate.name, best.mean, first.mean, best.rows)
        context.report(replace(event, totals=context.trials.totals()))
        return best

    def _rivals(self, leader: Candidate, sources: Harvest) -> Iterator[Candidate]:
        """Distinct candidates. The most promising come first, as a small budget drops the last."""
        seen = {parameters_key(leader.parameters)}
        for subset in self._subsets(leader, sources):
            rng = random.Random(f"{self.context.seed}/{self.number}/{subset.name}")
            changed, shown = subset.drawn(leader.parameters, sources.modules, rng)
            key = parameters_key(changed)
            if key not in seen:
                seen.add(key)
                yield Candidate(f"{self.number}.{subset.name}", changed, shown)
            if len(seen) > self.candidates:
                return

    def _subsets(self, leader: Candidate, sources: Harvest) -> Iterator[_Subset]:
        """A full subset of each source and an empty one, then random sizes or near the leader."""
        pools = {"traced": sources.traced, "labeled": sources.labeled, "mixed": sources.mixed()}
        filled = {name: pool for name, pool in pools.items() if pool}
        if not filled:
            return
        shows = has_demos(leader.parameters)
        if self.number == 1:
            yield from (_Subset(name, pool, self.demos) for name, pool in filled.items())
            if shows or any(module.slots.demos for module in sources.modules.values()):
                yield _Subset("none", DemoPool(), 0)
        for i in range(4 * self.candidates):  # more than needed, since some will be equal
            rng = random.Random(f"{self.context.seed}/{self.number}/size/{i}")
            name = rng.choice(list(filled))
            size = self.demos if rng.random() < 0.5 else rng.randint(1, self.demos)
            if self.number > 1 and shows and i % 2 == 0:
                yield _Subset(f"near-{i}", filled[name], size, near=True)
            else:
                yield _Subset(f"{name}-{i}", filled[name], size)


@frozen
class _Subset:
    """A way to draw up to `size` demonstrations from a pool for all modules.

    `near` exchanges some of the demonstrations that the leader shows.
    """

    name: str
    pool: DemoPool
    size: int
    near: bool = False

    def drawn(
        self, start: Parameters, modules: Mapping[str, Module], rng: random.Random
    ) -> tuple[Parameters, int]:
        """Parameters that show the demonstrations, and their number."""
        changed, total = start, 0
        for name, module in modules.items():
            known, limit = self.pool.of(name), module.slots.settings.get("demos")
            if not known and self.size:
                continue
            own = start.modules.get(name)
            if self.near and own and own.demos and own.nearest is None:
                chosen = _exchanged(own.demos, known, rng)
            else:
                size = min(self.size, limit) if isinstance(limit, int) else self.size
                chosen = pick_demos(known, size, rng)
            changed, total = changed.with_slots(name, demos=chosen), total + len(chosen)
        return changed, total


def _exchanged(
    shown: Sequence[Demo], known: Sequence[Demo], rng: random.Random
) -> tuple[Demo, ...]:
    """The same number of demonstrations in another order, with some of them exchanged."""
    kept = [demo for demo in shown if rng.random() >= EXCHANGED]
    others = [demo for demo in known if demo not in shown]
    chosen = [*kept, *pick_demos(others, len(shown) - len(kept), rng)]
    rng.shuffle(chosen)
    return tuple(chosen)


def has_demos(parameters: Parameters) -> bool:
    """Whether any module shows demonstrations that an optimizer chose."""
    return any(module.demos for module in parameters.modules.values())
