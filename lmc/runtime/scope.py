"""Where in a run a node stands: handed down from region to region, never shared back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmc.diagnostics import LmcError
from lmc.ir.graph import Node
from lmc.runtime.traces import CallTrace, Place, RegionTrace, Trace

Observer = Callable[[CallTrace], None]


@dataclass(slots=True)
class Run:
    """What one run of a program shares: its trace, its stubs, and who wants to see its calls."""

    trace: Trace | None = None
    stubs: Mapping[str, Any] = field(default_factory=dict)
    observer: Observer | None = None
    listener: Callable[[str], None] | None = None  # hears the text of `spoken` as it comes
    spoken: Node | None = None


@dataclass(slots=True)
class Scope:
    """A place in the tree of runs.

    `sample` tells repeated samples apart: within the i-th of n samples of a vote it is
    `outer * n + i`, and it becomes the index of each request. `tokens` collects the
    log-probabilities of the calls inside, where a vote goes by certainty. `batched` samples ask
    together where they ask the same.
    """

    run: Run
    place: Place = ()
    region_trace: RegionTrace | None = None
    sample: int = 0
    tokens: list[float] | None = None
    batched: bool = False

    def at(self, *numbers: int) -> Scope:
        """The scope of a part."""
        place = self.place + numbers
        return Scope(self.run, place, self.region_trace, self.sample, self.tokens, self.batched)

    @property
    def parent(self) -> str | None:
        """Id of the region around."""
        return self.region_trace.id if self.region_trace else None

    def note(self, **detail: Any) -> None:
        """Record how the region around came to its result."""
        if self.region_trace is not None:
            self.region_trace.detail |= detail

    def for_sample(self, index: int, n: int, tokens: list[float] | None) -> Scope:
        """The scope of one of the n samples of a vote."""
        sample = self.sample * n + index
        place = (*self.place, index)
        return Scope(self.run, place, self.region_trace, sample, tokens, batched=True)

    def region(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, Any],
        work: Callable[[Scope], Awaitable[Any]],
    ) -> Awaitable[Any]:
        """Do some work as one region of the trace."""
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
                Scope(self.run, self.place, region, self.sample, self.tokens, self.batched)
            )
        except LmcError as failure:
            region.error = str(failure)
            raise
        return region.result
