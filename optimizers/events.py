"""The events of a running compilation, as plain values that do not depend on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Literal

from lmc.frozen import frozen
from lmc.runtime.parameters import Parameters

Dropped = Literal["", "lost", "budget"]


@frozen
class Totals:
    """The usage so far. `calls` includes those that the cache answered."""

    calls: int = 0
    cached_calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    elapsed_s: float = 0.0
    retries: int = 0  # requests that had to be sent again


@frozen
class Event:
    """Base of all events."""

    totals: Totals = field(default_factory=Totals, kw_only=True)


@frozen
class RunStarted(Event):
    """All checks have passed, and the run begins. No model was called yet."""

    program: str
    target: str
    metric: str
    models: tuple[str, ...]
    steps: tuple[str, ...]
    rows: dict[str, int]  # train, select, confirm, test
    budget: dict[str, float]
    resumed: bool
    sight: str = ""  # the smallest gain that the gate can see, in words


@frozen
class StageStarted(Event):
    """A stage begins. `total` is the number of rows to run, including cached ones."""

    name: str
    total: int


@frozen
class RowDone(Event):
    """One row of the stage is done. `failed` counts the failed rows of the stage so far."""

    stage: str
    done: int
    total: int
    failed: int


@frozen
class CandidateScored(Event):
    """A candidate was compared on more rows. `mean` is its score on `rows` rows.

    `dropped` is empty if it goes on. Else it "lost", or the "budget" does not suffice for it.
    """

    name: str
    mean: float
    rows: int
    parameters: Parameters
    dropped: Dropped = ""


@frozen
class LeaderChanged(Event):
    """A candidate is better than all before it, on the select rows."""

    name: str
    mean: float
    baseline: float
    rows: int


@frozen
class TrainingProgressed(Event):
    """The progress of training an adapter on `rows` rows. `left_s` is an estimate in seconds."""

    adapter: str
    rows: int
    step: int
    steps: int
    loss: float
    tokens_per_s: float
    left_s: float


@frozen
class RoundMeasured(Event):
    """The measures of a round of self-training by name, and why it is rolled back, if it is.

    `start` are those before the first round.
    """

    number: int
    measures: Mapping[str, float]
    start: Mapping[str, float]
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = (f"{name} {_figure(value)}" for name, value in self.measures.items())
        return f"round {self.number}: {', '.join(told)}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


@frozen
class GateDecided(Event):
    """The gate compared a step's result with the previous one, on held-out rows."""

    step: str
    accepted: bool
    words: str


@frozen
class Note(Event):
    """A sentence for the user."""

    text: str


@frozen
class RunFinished(Event):
    """The run is complete and its artifact is written."""

    words: str


Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Ignore the event."""
