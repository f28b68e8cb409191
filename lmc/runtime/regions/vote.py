"""A vote: n samples, one result, by majority, score, certainty, comparison or a judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.runtime.failures import is_own
from lmc.runtime.plan import PlannedNode
from lmc.runtime.scope import Certainty, Scope
from lmc.runtime.traces import place_id
from lmc.runtime.votes.ballot import Ballot, Ties, ballot_key, wave_by_weight
from lmc.runtime.votes.difficulty import EASY, Voted
from lmc.runtime.votes.reducers import VERDICTS, shared_steps, tournament, weighted, win_rates
from lmc.runtime.votes.stopping import CONFIDENCE, WINDOW, Limits, asc, doubt, needed, rule_named
from lmc.tasks.together import for_all
from lmc.types import greatest_score

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine


@dataclass(slots=True)
class Sample:
    """One sample of a vote. A sample that fails by itself abstains."""

    index: int
    value: Any = None
    failure: LmcError | None = None
    certainty: Certainty = field(default_factory=Certainty)  # over all its calls


async def perform_vote(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Draw the samples and let them vote."""
    vote = Vote(machine, planned, dict(zip(planned.node.attrs["names"], args)), scope)
    match vote.by:
        case "model":
            return await vote.adjudicate()
        case "certainty" | "score" | "expr" | "steps":
            return await vote.best_scored()
        case "tournament" | "win_rate":
            return await vote.most_preferred()
        case _ if vote.settings.get("weight"):
            return await vote.weighted_majority()
        case _:
            return await vote.majority()


class Vote:
    """One run of a vote."""

    def __init__(
        self, machine: Machine, planned: PlannedNode, env: Mapping[str, Any], scope: Scope
    ) -> None:
        self.machine, self.node, self.bodies = machine, planned.node, planned.bodies
        self.env, self.scope = env, scope
        self.settings = {key: machine.resolve(value) for key, value in planned.node.attrs.items()}
        self.n: int = self.settings["n"]
        self.by: Any = self.settings.get("by") or "value"

    # --- ways to decide ---

    async def majority(self) -> Any:
        """The result that most samples give. `stop_early` decides when to stop drawing."""
        settings, stop = self.settings, self.settings.get("stop_early")
        limits = Limits(
            self.n, settings.get("window") or WINDOW, settings.get("confidence") or CONFIDENCE
        )
        ballot = self._ballot()
        if stop == "dsc":
            samples = await self._by_difficulty(ballot, limits)
        else:
            samples = await self._counted(ballot, lambda: rule_named(stop)(ballot, limits))
        self._need_one(samples)
        winner = ballot.winner()
        chosen = samples[ballot.keys.index(winner)] if winner is not None else None
        self.scope.note(
            keys=ballot.keys, counts=ballot.counts(), winner=chosen.index if chosen else None
        )
        return chosen.value if chosen else None

    async def weighted_majority(self) -> Any:
        """The result with the largest sum of weights. Bounded scores may settle it early."""
        most = greatest_score(self.node.type) if self.settings.get("stop_early") else None

        def more(samples: Sequence[Sample]) -> int:
            if most is None:
                return self.n - len(samples)
            good = [sample for sample in samples if sample.failure is None]
            sums = weighted([*map(self._key, good)], [sample.value["score"] for sample in good])
            return wave_by_weight(sums.values(), self.n - len(samples), most)

        samples = self._need_one(await self._in_waves(more))
        keys = [self._key(sample) for sample in samples]
        weights = [await self._number(sample, self.settings["weight"]) for sample in samples]
        sums = weighted(keys, weights)
        winner = max(sums, key=lambda key: sums[key])
        chosen = samples[keys.index(winner)]
        self.scope.note(keys=keys, weights=weights, winner=chosen.index)
        return chosen.value

    async def best_scored(self) -> Any:
        """The sample with the highest score. A tie goes to the first."""
        samples = self._need_one(await self._draw(range(self.n)))
        if self.by == "steps":
            scores = shared_steps([sample.value["steps"] for sample in samples])
        else:
            scores = [await self._number(sample, self.by) for sample in samples]
        return self._take(samples, scores)

    async def most_preferred(self) -> Any:
        """The sample that wins the pairwise comparisons. Equal samples are compared as one."""
        samples = self._need_one(await self._draw(range(self.n)))
        keys = [self._key(sample) for sample in samples]
        first = [samples[keys.index(key)] for key in dict.fromkeys(keys)]

        async def wins(i: int, j: int) -> float:
            pair = {"first": first[i].value, "second": first[j].value}
            place = self.scope.at(self.n, i, j)
            said = await self.machine.run_plan(self.bodies["compare"], {**self.env, **pair}, place)
            return VERDICTS[said]

        if self.by == "win_rate":
            rates = await win_rates(len(first), wins)
            return self._take(first, rates)
        winner = first[await tournament(len(first), wins)]
        self.scope.note(winner=winner.index)
        return winner.value

    async def adjudicate(self) -> Any:
        """The result that a model chooses. It is not asked if all samples agree."""
        samples = self._need_one(await self._draw(range(self.n)))
        values = [sample.value for sample in samples]
        if len({ballot_key(value, normalize=False) for value in values}) == 1:
            return values[0]
        body = self.bodies["adjudicate"]
        env = {**self.env, "candidates": values}
        return await self.machine.run_plan(body, env, self.scope.at(self.n))

    # --- drawing samples ---

    async def _by_difficulty(self, ballot: Ballot, limits: Limits) -> list[Sample]:
        """DSC within a batch. A row that runs alone uses ASC."""
        seat = self.scope.run.seat
        if seat is None:
            return await self._counted(ballot, lambda: asc(ballot, limits))
        place = self.scope.at(self.n)
        difficulty = await self.machine.run_plan(self.bodies["difficulty"], self.env, place)
        turn = await seat.batch.turn(seat.number, float(difficulty))
        own = 1 - limits.confidence  # allowed doubt; at most as much is added
        limits = replace(limits, confidence=limits.confidence - min(turn.spare, own))

        def agreed() -> bool:
            return len(set(ballot.keys)) == 1 and ballot.keys[0] is not None

        def more() -> int:
            if not ballot.keys:
                return min(self.n, turn.start)
            return 0 if turn.start == EASY and agreed() else asc(ballot, limits)

        samples = await self._counted(ballot, more)
        vote = Voted(needed(asc, ballot, limits), agreed(), own - doubt(ballot))
        seat.batch.voted(seat.number, vote)
        return samples

    async def _counted(self, ballot: Ballot, more: Callable[[], int]) -> list[Sample]:
        """Draw samples in waves, and count each one as it comes."""

        def count(samples: Sequence[Sample]) -> int:
            ballot.keys += map(self._key, samples[len(ballot.keys) :])
            return more()

        return await self._in_waves(count)

    async def _in_waves(self, more: Callable[[Sequence[Sample]], int]) -> list[Sample]:
        """Draw samples in waves until `more` asks for none.

        With speculation, a wave draws further samples ahead. Those that are not needed are
        cancelled and never count.
        """
        samples: list[Sample] = []
        ahead: list[asyncio.Task[Sample]] = []
        allowed = self.machine.speculation.allows(self.bodies["sample"])
        async with self.machine.speculation.holding(ahead) as room:
            while wave := more(samples):
                start, top = len(samples), len(samples) + wave
                if not allowed or not (ahead or room()):
                    new = await self._draw(range(start, top))
                else:
                    top = min(self.n, max(top, start + len(ahead) + room()))
                    drawn = range(start + len(ahead), top)
                    ahead += [asyncio.ensure_future(self._sample(i)) for i in drawn]
                    new = await _first(ahead, wave)
                samples += new
        return samples

    async def _draw(self, indices: range) -> list[Sample]:
        async def draw(_: int, index: int) -> Sample:
            return await self._sample(index)

        return await for_all(indices, draw)

    async def _sample(self, index: int) -> Sample:
        sample = Sample(index)
        sample.certainty.outer = self.scope.certainty
        certain = "certainty" in (self.by, self.settings.get("weight"))
        certainty = sample.certainty if certain else self.scope.certainty
        batched = "fused" in self.settings
        scope = self.scope.for_sample(index, self.n, certainty, batched=batched)
        try:
            sample.value = await self.machine.run_plan(self.bodies["sample"], self.env, scope)
        except LmcError as failure:
            if not is_own(failure):
                raise
            sample.failure = failure
        return sample

    # --- keys and weights of samples ---

    def _ballot(self) -> Ballot:
        ties: Ties = self.settings.get("ties") or "first"
        enough, seed = self.settings.get("min_agree"), place_id(self.scope.place)
        return Ballot(self.n, ties, enough, seed=seed)

    def _need_one(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples that gave a value. Raises: the first failure, if all failed."""
        good = [sample for sample in samples if sample.failure is None]
        if not good and samples and samples[0].failure:
            raise samples[0].failure
        return good

    def _take(self, samples: Sequence[Sample], scores: Sequence[float]) -> Any:
        best = max(range(len(samples)), key=lambda i: (scores[i], -i))
        self.scope.note(scores=list(scores), winner=samples[best].index)
        return samples[best].value

    def _key(self, sample: Sample) -> str | None:
        """The key that a sample votes for."""
        if sample.failure is not None:
            return None
        value = sample.value
        if not isinstance(self.by, str):
            value = [value.get(name) for name in self.by]
        return ballot_key(value, normalize=bool(self.settings.get("normalize")))

    async def _number(self, sample: Sample, source: str) -> float:
        """A sample's score or weight: its certainty, its field `score`, or a computed number."""
        match source:
            case "certainty":
                return sample.certainty.mean
            case "score":
                score = sample.value["score"]
            case _:
                env = {**self.env, "out": sample.value}
                place = self.scope.at(sample.index, -1)
                score = await self.machine.run_plan(self.bodies["key"], env, place)
        if not isinstance(score, int | float):
            message = f"`by` needs a number for every sample, and sample {sample.index} has none"
            raise LmcError.of("no-score", message, self.node.span)
        return float(score)


async def _first(tasks: list[asyncio.Task[Sample]], count: int) -> list[Sample]:
    """Wait for the first tasks, remove them from the list, and return their results.

    Raises: the first failure, unchanged.
    """
    first = tasks[:count]
    try:
        return list(await asyncio.gather(*first))
    finally:
        for task in first:
            task.cancel()  # a failure left these running
        del tasks[:count]
