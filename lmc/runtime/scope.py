"""The place of a node in a run. Regions hand it down to their parts and never share it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from lmc.diagnostics import LmcError
from lmc.requests.spans import Spans
from lmc.runtime.episodes import Episodes
from lmc.runtime.memory import Memory
from lmc.runtime.objects import Objects
from lmc.runtime.stores import RunStores
from lmc.runtime.stubs import StubAnswers
from lmc.runtime.traces import CallTrace, Place, RegionTrace, Trace

if TYPE_CHECKING:
    from lmc.models.base import Answer
    from lmc.runtime.streaming import Listener
    from lmc.runtime.toolset import Toolset
    from lmc.runtime.votes.difficulty import Seat

Observer = Callable[[CallTrace], None]
SAMPLES_BEFORE_BRANCHES = 1 << 32
SAMPLES_OF_A_RUN = 1 << 12  # more than a run asks of a prompt; retries have their own (`1 << 20`)


class Watch(Protocol):
    """Sees each call of an executor's runs as it ends."""

    def __call__(self, call: CallTrace) -> None:
        """Take a call. It must return at once."""

    async def settle(self) -> None:
        """Wait until all calls so far were passed on."""


@dataclass(slots=True)
class Certainty:
    """How certain a model was of the tokens of a sample.

    This is self-certainty if the engine gives it: the mean divergence of each token's distribution
    from the uniform one (Kang et al. 2025, arXiv 2502.18581). Else it is the mean log-probability.
    """

    total: float = 0.0
    tokens: int = 0
    logprob: float = 0.0  # of all tokens together
    needed: bool = True  # whether a model that gives none is an error
    missing: bool = False  # whether an answer had none
    outer: Certainty | None = None  # of a larger part of the run

    def add(self, answer: Answer) -> bool:
        """Add an answer. Returns whether it has what is needed."""
        logprobs, known = answer.logprobs or (), answer.certainty
        self.missing |= answer.logprobs is None
        self.total += sum(logprobs) if known is None else known * len(logprobs)
        self.tokens += len(logprobs)
        self.logprob += sum(logprobs)
        enough = self.outer is None or self.outer.add(answer)
        return enough and not (self.needed and answer.logprobs is None)

    @property
    def wanted(self) -> bool:
        """Whether this or a larger part of the run needs log-probabilities."""
        return self.needed or (self.outer is not None and self.outer.wanted)

    @property
    def known(self) -> bool:
        """Whether a model was asked, and every answer has log-probabilities."""
        return self.tokens > 0 and not self.missing

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
    objects: Objects = field(default_factory=Objects)  # of tools that are methods
    episodes: Episodes = field(default_factory=Episodes)
    stores: RunStores = field(default_factory=RunStores)
    spans: Spans | None = None  # hears of the parts of the run
    varied: tuple[str, int] | None = None  # a module that answers anew, and the number of the run
    branch: tuple[Place, int] | None = None  # the place from which all is anew, and the number

    def sample_of(self, module: str, sample: int, place: Place) -> int:
        """The number of a module's sample. What is not varied, or stands before, is asked alike."""
        if self.branch is not None and place >= self.branch[0]:
            sample += self.branch[1] * SAMPLES_BEFORE_BRANCHES
        if self.varied is None or self.varied[0] != module:
            return sample
        return self.varied[1] * SAMPLES_OF_A_RUN + sample

    def stubbed(self, name: str) -> Any:
        """The answer of a stub to the next call."""
        value = self.stubs[name]
        return value.take() if isinstance(value, StubAnswers) else value

    async def close(self) -> None:
        """Close the objects of the run."""
        await self.objects.close()
        await self.episodes.close()


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
    toolset: Toolset | None = None  # what the model of an agent may call next
    turns: list[Any] | None = None  # where an agent leaves what it did

    def at(self, *numbers: int) -> Scope:
        """The scope of a part, by its numbers."""
        place = self.place + numbers
        return Scope(
            self.run, place, self.region_trace, self.sample, self.certainty, self.batched,
            self.toolset, self.turns,
        )  # fmt: skip

    def offering(self, toolset: Toolset) -> Scope:
        """The scope of an agent's next step."""
        return replace(self, toolset=toolset)

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
        """The scope of one of n samples, of a vote or in a list. It has objects of its own."""
        sample = self.sample * n + index
        place = (*self.place, index)
        run = replace(self.run, objects=self.run.objects.fresh())
        return Scope(run, place, self.region_trace, sample, certainty, batched, None, self.turns)

    def weighing(self) -> Scope:
        """The same scope with a certainty of its own, which counts for the one around it too."""
        certainty = Certainty(needed=False, outer=self.certainty)
        return replace(self, certainty=certainty)

    def listening(self) -> Scope:
        """The same scope with a list for what the agent in it does."""
        return replace(self, turns=[])

    def region(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, Any],
        work: Callable[[Scope], Awaitable[Any]],
    ) -> Awaitable[Any]:
        """Do some work and record it as one region of the trace."""
        if self.run.trace is None and self.run.spans is None:
            return work(self)
        region = RegionTrace(self.place, self.parent, kind, name, dict(inputs))
        return self._recorded(region, work)

    async def _recorded(self, region: RegionTrace, work: Callable[[Scope], Awaitable[Any]]) -> Any:
        run = self.run
        if run.trace is not None:
            run.trace.regions.append(region)
        if run.spans is None:
            return await self._performed(region, work)
        with run.spans.region(region, outermost=self.region_trace is None):
            return await self._performed(region, work)

    async def _performed(self, region: RegionTrace, work: Callable[[Scope], Awaitable[Any]]) -> Any:
        try:
            region.result = await work(replace(self, region_trace=region, toolset=None))
        except LmcError as failure:
            region.error = str(failure)
            raise
        return region.result
