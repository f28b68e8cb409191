"""What a running improvement tells whoever watches: plain values, no terminal in sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Literal

from lmc.frozen import frozen
from lmc.runtime.parameters import Parameters

Dropped = Literal["", "lost", "budget"]


@frozen
class Totals:
    """What was used so far; a call counts whether the cache or a model answered it."""

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
    """The plan is made and everything needed is there; no model was called yet."""

    program: str
    target: str
    metric: str
    models: tuple[str, ...]
    steps: tuple[str, ...]
    rows: dict[str, int]  # train, select, confirm, test
    budget: dict[str, float]
    resumed: bool


@frozen
class StageStarted(Event):
    """A stretch of work with a known number of rows to run, cached ones included."""

    name: str
    total: int


@frozen
class RowDone(Event):
    """One row of the stage is done; `failed` counts those of the stage without a score."""

    stage: str
    done: int
    total: int
    failed: int


@frozen
class CandidateScored(Event):
    """A candidate was compared on more rows; `mean` is over `rows` of them.

    `dropped` says why it goes no further: it "lost", or the "budget" does not reach for it.
    """

    name: str
    mean: float
    rows: int
    parameters: Parameters
    dropped: Dropped = ""


@frozen
class LeaderChanged(Event):
    """A better candidate than all before, on the rows that choose."""

    name: str
    mean: float
    baseline: float
    rows: int


@frozen
class TrainingProgressed(Event):
    """An adapter is being trained on so many rows; `left_s` is an estimate."""

    adapter: str
    rows: int
    step: int
    steps: int
    loss: float
    tokens_per_s: float
    left_s: float


@frozen
class GateDecided(Event):
    """A step's result was compared with what stood before, on rows that did not choose it."""

    step: str
    accepted: bool
    words: str


@frozen
class Note(Event):
    """Something a person should know, in a sentence."""

    text: str


@frozen
class RunFinished(Event):
    """The artifact is written."""

    words: str


Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Report to nobody."""
