"""The place of a node in a run. Regions hand it down to their parts and never share it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.runtime.memory import Memory
from lmc.runtime.traces import CallTrace, Place, RegionTrace, Trace

if TYPE_CHECKING:
    from lmc.models.base import Answer
    from lmc.runtime.streaming import Listener
    from lmc.runtime.votes.difficulty import Seat

Observer = Callable[[CallTrace], None]


@dataclass(slots=True)
class Certainty:
    """How certain a model was of the tokens of a sample.

    This is self-certainty if the engine gives it: the mean divergence of each token's distribution
    from the uniform one (Kang et al. 2025, arXiv 2502.18581). Else it is the mean log-probability.
    """

    total: float = 0.0
    tokens: int = 0

    def add(self, answer: Answer) -> None:
        """Add an answer that has log-probabilities."""
        logprobs = answer.logprobs or ()
        known = answer.certainty
        self.total += sum(logprobs) if known is None else known * len(logprobs)
        self.tokens += len(logprobs)

    @property
    def mean(self) -> float:
        """The mean over the tokens, in nats."""
        return self.total / self.tokens if self.tokens else 0.0


@dataclass(slots=True)
class RunState:
    """The state that all parts of one run share, such as its trace, stubs and observer."""

    trace: Trace | None = None
    stubs: Mapping[str, Any] = field(default_factory=dict)
    observer: Observer | None = None
    listener: Listener | None = None  # hears the calls that write the result
    seat: Seat | None = None  # in a batch that divides samples by difficulty
    memory: Memory = field(default_factory=Memory)  # answers of deterministic calls


@dataclass(slots=True)
class Scope:
    """A place in the tree of runs.

    `sample` distinguishes repeated samples and becomes the index of each request. Within the i-th
    of n samples of a vote it is `outer * n + i`. `certainty` collects that of the calls inside if
    a vote needs it. `batched` samples send equal prompts as one request.
    """

    run: RunState
    place: Place = ()
    region_trace: RegionTrace | None = None
    sample: int = 0
    certainty: Certainty | None = None
    batched: bool = False

    def at(self, *numbers: int) -> Scope:
        """The scope of a part, by its numbers."""
        place = self.place + numbers
        return Scope(self.run, place, self.region_trace, self.sample, self.certainty, self.batched)

    @property
    def parent(self) -> str | None:
        """Id of the enclosing region."""
        return self.region_trace.id if self.region_trace else None

    def note(self, **detail: Any) -> None:
        """Record in the trace how the enclosing region reached its result."""
        if self.region_trace is not None:
            self.region_trace.detail |= detail

    def for_sample(
        self, index: int, n: int, certainty: Certainty | None, *, batched: bool
    ) -> Scope:
        """The scope of one of the n samples of a vote."""
        sample = self.sample * n + index
        place = (*self.place, index)
        return Scope(self.run, place, self.region_trace, sample, certainty, batched)

    def region(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, Any],
        work: Callable[[Scope], Awaitable[Any]],
    ) -> Awaitable[Any]:
        """Do some work and record it as one region of the trace."""
        trace = self.run.trace
        return work(self) if trace is None else self._traced(trace, kind, name, inputs, work)

    async def _traced(
        self,
        trace: Trace,
        kind: str,
        name: str,
        inputs: Mapping[str, Any],
        work: Callable[[Scope], Awaitable[Any]],
    ) -> Any:
        region = RegionTrace(self.place, self.parent, kind, name, dict(inputs))
        trace.regions.append(region)
        try:
            region.result = await work(
                Scope(self.run, self.place, region, self.sample, self.certainty, self.batched)
            )
        except LmcError as failure:
            region.error = str(failure)
            raise
        return region.result
