"""A vote: n samples, one result, by majority, score, certainty or a judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError, error
from lmc.runtime.ballot import Ballot, ballot_key
from lmc.runtime.concurrency import for_all
from lmc.runtime.failures import is_own
from lmc.runtime.plan import Step
from lmc.runtime.scope import Scope
from lmc.runtime.traces import place_id

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


@dataclass(slots=True)
class Sample:
    """One sample of a vote; one that fails by itself abstains."""

    index: int
    value: Any = None
    failure: LmcError | None = None
    tokens: list[float] = field(default_factory=list)  # log-probabilities of all its calls


async def perform_vote(executor: Executor, step: Step, args: list[Any], scope: Scope) -> Any:
    """Draw the samples and let them vote."""
    vote = Vote(executor, step, dict(zip(step.node.attrs["names"], args)), scope)
    match vote.by:
        case "model":
            return await vote.adjudicate()
        case "certainty":
            return await vote.most_certain()
        case "score" | "expr":
            return await vote.best_scored()
        case _:
            return await vote.majority()


class Vote:
    """One run of a vote."""

    def __init__(
        self, executor: Executor, step: Step, env: Mapping[str, Any], scope: Scope
    ) -> None:
        self.executor, self.node, self.bodies = executor, step.node, step.bodies
        self.env, self.scope = env, scope
        self.settings = {key: executor.resolve(value) for key, value in step.node.attrs.items()}
        self.n: int = self.settings["n"]
        self.by: Any = self.settings.get("by") or "value"

    async def majority(self) -> Any:
        """The result most samples agree on.

        With `stop_early`, samples come in waves, each the smallest that could settle the vote, so
        that which samples are drawn does not hang on which answers first.
        """
        place = place_id(self.scope.place)
        settings = self.settings
        ballot = Ballot(
            self.n, settings.get("ties") or "first", settings.get("min_agree"), seed=place
        )
        samples: list[Sample] = []
        while wave := ballot.wave() if settings.get("stop_early") else ballot.left:
            new = await self._draw(range(len(samples), len(samples) + wave))
            samples += new
            ballot.keys += map(self._key, new)
        self._need_one(samples)
        winner = ballot.winner()
        chosen = samples[ballot.keys.index(winner)] if winner is not None else None
        self.scope.note(
            keys=ballot.keys, counts=ballot.counts(), winner=chosen.index if chosen else None
        )
        return chosen.value if chosen else None

    async def best_scored(self) -> Any:
        """The sample with the highest score, the first of equals."""
        samples = self._need_one(await self._draw(range(self.n)))
        return self._take(samples, [await self._score(sample) for sample in samples])

    async def most_certain(self) -> Any:
        """The sample whose tokens have the highest mean log-probability."""
        samples = self._need_one(await self._draw(range(self.n), certainty=True))
        scores = [sum(s.tokens) / len(s.tokens) if s.tokens else 0.0 for s in samples]
        return self._take(samples, scores)

    async def adjudicate(self) -> Any:
        """The result that a model settles on; where all samples agree it is not asked."""
        samples = self._need_one(await self._draw(range(self.n)))
        values = [sample.value for sample in samples]
        if len({ballot_key(value, normalize=False) for value in values}) == 1:
            return values[0]
        body = self.bodies["adjudicate"]
        env = {**self.env, "candidates": values}
        return await self.executor.run_plan(body, env, self.scope.at(self.n))

    async def _draw(self, indices: range, *, certainty: bool = False) -> list[Sample]:
        async def draw(_: int, index: int) -> Sample:
            sample = Sample(index)
            tokens = sample.tokens if certainty else self.scope.tokens
            scope = self.scope.for_sample(index, self.n, tokens)
            try:
                sample.value = await self.executor.run_plan(self.bodies["sample"], self.env, scope)
            except LmcError as failure:
                if not is_own(failure):
                    raise
                sample.failure = failure
            return sample

        return await for_all(indices, draw)

    def _need_one(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples that gave a value. Raises: the first failure where all failed."""
        good = [sample for sample in samples if sample.failure is None]
        if not good and samples and samples[0].failure:
            raise samples[0].failure
        return good

    def _take(self, samples: Sequence[Sample], scores: Sequence[float]) -> Any:
        best = max(range(len(samples)), key=lambda i: (scores[i], -i))
        self.scope.note(scores=list(scores), winner=samples[best].index)
        return samples[best].value

    def _key(self, sample: Sample) -> str | None:
        """What a sample votes for."""
        if sample.failure is not None:
            return None
        value = sample.value
        if self.by != "value":
            value = [value.get(name) for name in self.by]
        return ballot_key(value, normalize=bool(self.settings.get("normalize")))

    async def _score(self, sample: Sample) -> float:
        score = await self._compute(sample) if self.by == "expr" else sample.value["score"]
        if not isinstance(score, int | float):
            message = f"`by` needs a number for every sample, and sample {sample.index} has none"
            raise LmcError(error("no-score", message, self.node.span))
        return float(score)

    async def _compute(self, sample: Sample) -> Any:
        env = {**self.env, "out": sample.value}
        place = self.scope.at(sample.index, -1)
        return await self.executor.run_plan(self.bodies["key"], env, place)
