"""Reflective evolution: rewrites instructions from feedback and keeps a Pareto front.

Source: GEPA, Agrawal et al. 2025, arXiv 2507.19457, algorithms 1 (loop), 2 (Pareto selection) and
4 (merge). Differences: several children are made and run at a time, and the best of them race.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from lmc.frozen import frozen
from lmc.ir.provenance import Module
from lmc.measure.rows import Row
from lmc.optimizers.assistant.ask import clean
from lmc.optimizers.assistant.describing import current_instruction
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, Scores, best_of, beyond_chance
from lmc.optimizers.candidates.trials import PLAIN, parameters_key
from lmc.optimizers.events import CandidateScored
from lmc.optimizers.lessons.acquiring import make_runs
from lmc.optimizers.lessons.reflecting import reflection
from lmc.runtime.parameters import Parameters

PATIENCE = 12  # rounds without a new member after which a search without a budget ends
FRUITLESS = 24  # rewritten instructions, none better than its parent, after which any search ends
LEAST_FRUITLESS = 6  # the same where the budget pays for few: half of those, but so many at least
MOST_ROWS = 40  # most select rows on which the front is measured
FINALISTS = 4
_FRONT_SHARE = 8  # the front has at most 1/8 as many rows as runs are left


@optimizer(
    paper="GEPA, Agrawal et al. 2025, arXiv 2507.19457",
)
async def reflect(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    width: int,
    minibatch: int,
    merge: bool,
    proposer: str | None,
) -> Parameters:
    """Rewrite instructions by reflecting on runs and feedback, and keep a Pareto front.

    Each of the `rounds` draws `width` parents from the front and runs them on `minibatch` train
    rows. `proposer` rewrites one module of each. Children that score better on these rows join the
    population. `merge` combines members that changed different modules.
    """
    modules = [m for m in context.modules().values() if not m.slots.frozen]
    if not modules or not context.train:
        context.tell("reflect needs train rows and an instruction that may be changed")
        return start
    search = _Evolution(context, modules, width, minibatch, proposer)
    runs = context.trials.runs_left()
    patience = PATIENCE if runs == float("inf") else rounds
    fruitless = min(FRUITLESS, max(LEAST_FRUITLESS, int(min(runs, 1e6) / 2 / search.each)))
    with context.until_spent():
        await search.begin(start)
        for number in range(rounds):
            if search.idle >= patience or not await search.breed(number):
                break
            if search.tried >= fruitless and len(search.members) == 1:
                context.tell(f"reflect: none of {search.tried} rewritten instructions was better")
                break
            if merge and len(modules) > 1:
                await search.merge(number)
        finalists = search.finalists()
        found = await best_of(Candidate("start", start), finalists, context)
        return search.unless_chance(start, found)
    return search.unless_chance(start, search.best(start))


@frozen
class _Member:
    """A member of the population: its scores on the front's rows, and its parents."""

    name: str
    parameters: Parameters
    scores: Scores
    parents: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        return sum(self.scores.values()) / len(self.scores) if self.scores else 0.0


@dataclass(slots=True)
class _Evolution:
    """The population and its growth."""

    context: Context
    modules: Sequence[Module]
    width: int
    minibatch: int
    proposer: str | None
    members: list[_Member] = field(default_factory=list)
    rows: Sequence[Row] = ()
    turn: int = 0  # index of the next module to rewrite
    merged: set[tuple[int, int]] = field(default_factory=set)
    idle: int = 0  # rounds since a child joined
    tried: int = 0  # rewritten instructions that were asked for

    @property
    def each(self) -> int:
        """The runs of a parent and its child, and one question."""
        return 2 * self.minibatch + 1

    async def begin(self, start: Parameters) -> None:
        """Start the population with the program as it is now."""
        left = self.context.trials.runs_left()
        most = min(MOST_ROWS, max(8, int(min(left, 1e6)) // _FRONT_SHARE))
        self.rows = self.context.select[:most]
        await self._join([("start", start, ())])

    async def breed(self, number: int) -> bool:
        """One round: draw parents, reflect on their runs, keep the children that score better."""
        trials, context = self.context.trials, self.context
        width = min(self.width, int(min(1e6, trials.runs_left() - len(self.rows)) // self.each))
        if width < 1:
            return False
        couples = [self._draw(number, i) for i in range(width)]
        questions, asked = [], []
        for parent, module, rows in couples:
            parameters = self.members[parent].parameters
            runs = await make_runs(parameters, context, rows, PLAIN, "minibatches")
            if all(run.score == 1.0 for run in runs):
                continue  # nothing to learn from
            questions.append(reflection(parameters, context, module, runs, number))
            asked.append((parent, module, rows))
        self.tried += len(questions)
        children = []
        for (parent, module, rows), text in zip(
            asked, await context.assistant.ask(questions, self.proposer)
        ):
            if text and clean(text):
                changed = self.members[parent].parameters.with_slots(
                    module.name, instruction=clean(text)
                )
                children.append((f"{number + 1}.{module.name}", changed, parent, rows))
        await self._keep_better(children)
        return True

    async def _keep_better(
        self, children: Sequence[tuple[str, Parameters, int, Sequence[Row]]]
    ) -> None:
        better: list[tuple[str, Parameters, tuple[int, ...]]] = []
        for name, parameters, parent, rows in self._new(children):
            before = self.members[parent].parameters
            pair = [before, parameters]
            first, second = await self.context.trials.scores("children", pair, rows)
            if sum(second.values()) > sum(first.values()):
                better.append((f"{name}.{len(self.members) + len(better)}", parameters, (parent,)))
        self.idle = 0 if better else self.idle + 1
        most = min(len(better), self.context.trials.runs_left() // max(1, len(self.rows)))
        await self._join(better[: int(most)])

    async def merge(self, number: int) -> None:
        """Merge two members of the front that changed different modules since their ancestor."""
        front = sorted(self.front())
        rng = random.Random(f"{self.context.seed}/merge/{number}")
        pairs = [(i, j) for i in front for j in front if i < j and (i, j) not in self.merged]
        rng.shuffle(pairs)
        for i, j in pairs:
            joined = self._joined(i, j)
            self.merged.add((i, j))
            if joined is None:
                continue
            if self.context.trials.runs_left() >= len(self.rows):
                await self._join([(f"merge.{len(self.members)}", joined, (i, j))])
            return

    def front(self) -> dict[int, int]:
        """The undominated members that are best on some row, and on how many rows."""
        wins: dict[int, int] = {}
        for row in self.rows:
            scores = {i: m.scores[row.id] for i, m in enumerate(self.members) if row.id in m.scores}
            if scores:
                top = max(scores.values())
                for i, score in scores.items():
                    if score == top:
                        wins[i] = wins.get(i, 0) + 1
        return {i: n for i, n in wins.items() if not any(self._dominated(i, j) for j in wins)}

    def finalists(self) -> list[Candidate]:
        """The best members of the population, without the start."""
        ranked = sorted(range(1, len(self.members)), key=lambda i: (-self.members[i].mean, i))
        return [
            Candidate(self.members[i].name, self.members[i].parameters) for i in ranked[:FINALISTS]
        ]

    def best(self, start: Parameters) -> Parameters:
        """The best member so far."""
        return max(self.members, key=lambda m: m.mean).parameters if self.members else start

    def unless_chance(self, start: Parameters, found: Parameters) -> Parameters:
        """What was found if it is better beyond chance, else the start.

        Of many instructions, some do better on few rows by luck.
        """
        trials, select = self.context.trials, self.context.select
        old, new = (
            {r.id: r.value for r in trials.known(p, select) if r.value is not None}
            for p in (start, found)
        )
        return found if beyond_chance(old, new) else start

    async def _join(self, new: Sequence[tuple[str, Parameters, tuple[int, ...]]]) -> None:
        parameters = [p for _, p, _ in new]
        scores = await self.context.trials.scores("the front's rows", parameters, self.rows)
        for (name, changed, parents), by_row in zip(new, scores):
            member = _Member(name, changed, by_row, parents)
            self.members.append(member)
            totals = self.context.trials.totals()
            event = CandidateScored(name, member.mean, len(by_row), changed, totals=totals)
            self.context.report(event)

    def _new(
        self, children: Sequence[tuple[str, Parameters, int, Sequence[Row]]]
    ) -> list[tuple[str, Parameters, int, Sequence[Row]]]:
        known = {parameters_key(member.parameters) for member in self.members}
        found = {parameters_key(child[1]): child for child in children}
        return [child for key, child in found.items() if key not in known]

    def _draw(self, number: int, place: int) -> tuple[int, Module, Sequence[Row]]:
        """A parent, drawn in proportion to the rows it wins, the next module, and some rows."""
        rng = random.Random(f"{self.context.seed}/{number}/{place}")
        front = self.front()
        parent = rng.choices(list(front), weights=list(front.values()))[0] if front else 0
        module = self.modules[self.turn % len(self.modules)]
        self.turn += 1
        count = min(self.minibatch, len(self.context.train))
        return parent, module, rng.sample(list(self.context.train), count)

    def _dominated(self, i: int, j: int) -> bool:
        """Whether member j is at least as good as i on every row, and better on one."""
        one, other = self.members[i].scores, self.members[j].scores
        shared = [id for id in one if id in other]
        as_good = all(other[id] >= one[id] for id in shared)
        return as_good and any(other[id] > one[id] for id in shared)

    def _joined(self, i: int, j: int) -> Parameters | None:
        """For each module, the instruction that changed since the common ancestor."""
        common = self._ancestors(i) & self._ancestors(j)
        if not common or i in common or j in common:
            return None
        old = self.members[max(common)].parameters
        one, other = self.members[i], self.members[j]
        if other.mean > one.mean:
            one, other = other, one
        joined = one.parameters
        for module in self.modules:
            was = current_instruction(old, module)
            mine = current_instruction(one.parameters, module)
            theirs = current_instruction(other.parameters, module)
            if mine == was and theirs != was:
                joined = joined.with_slots(module.name, instruction=theirs)
        keys = {parameters_key(member.parameters) for member in self.members}
        return None if parameters_key(joined) in keys else joined

    def _ancestors(self, i: int) -> set[int]:
        found = {i}
        for parent in self.members[i].parents:
            found |= self._ancestors(parent)
        return found
