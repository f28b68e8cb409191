"""Rows of a running batch: samples of one request share a row while their tokens are equal.

A row is computed once, and a token is drawn for each sample. If the tokens differ, the row
branches. Samples of a prompt mostly begin alike, and short answers are often alike to the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lmc.models.base import Answer, Request
from lmc.models.engine.chat_tokens import Head, Ids
from lmc.models.engine.constraints import Constraint
from lmc.models.engine.lookup import Lookup
from lmc.models.engine.shared_prefix import Lane
from lmc.models.engine.worker import Job


@dataclass(eq=False, slots=True)
class Draw:
    """The source of one sample's tokens: its index, temperature and random numbers."""

    index: int  # of the sample
    temperature: float  # 0 is greedy
    random: random.Random


@dataclass(eq=False, slots=True)
class BatchRow:
    """One text being written, for one or more samples of a request."""

    job: Job
    answers: dict[int, Answer] = field(repr=False)  # of the whole request, by sample index
    draws: list[Draw]
    prompt: Ids
    head: Head | None
    max_new: int
    constraint: Constraint | None = None
    lookup: Lookup | None = None  # of rows whose next tokens may be guessed
    shared: int = 0  # tokens of the prompt whose keys are shared with other rows
    ids: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)  # the last ids, not yet run by the model
    said: int = 0  # characters passed on to a listener
    logprobs: list[float] = field(default_factory=list)
    certainty: float = 0.0  # summed over the tokens
    begun_s: float = 0.0  # when it first joined a batch, after waiting
    finish_reason: str | None = None
    end: int | None = None  # the token that ended the turn, which is not in `ids`

    @property
    def request(self) -> Request:
        """The request of the row's job."""
        return self.job.request

    @property
    def live(self) -> bool:
        """Whether the row needs more tokens."""
        return self.finish_reason is None and not self.job.settled

    @property
    def lane(self) -> Lane:
        """Its adapter and shared prefix. Rows of one lane are adjacent in a batch."""
        return self.request.adapter, self.prompt[: self.shared]

    @property
    def known(self) -> Ids:
        """The tokens so far: those of the prompt, then those that it wrote."""
        return (*self.prompt, *self.ids)

    @property
    def order(self) -> tuple[str, Ids, Ids]:
        """The sort key of rows: by adapter, then by prefix, then by tokens."""
        return self.request.adapter or "", self.prompt[: self.shared], self.known

    @property
    def heat(self) -> float:
        """The temperature of the samples that are not greedy; 0 if all are greedy."""
        return max(draw.temperature for draw in self.draws)

    @property
    def most_tokens(self) -> int:
        """The most positions that it may need."""
        return len(self.prompt) + self.max_new

    @property
    def sampled(self) -> Ids:
        """What it wrote, with the end of the turn if that came."""
        return (*self.ids, *(() if self.end is None else (self.end,)))

    def append(self, token: int) -> None:
        """Write a token, which then waits for the model."""
        self.ids.append(token)
        self.pending.append(token)
        if self.lookup is not None:
            self.lookup.tokens.append(token)

    def skip_draw(self) -> None:
        """Pass over the random numbers, probability and certainty of a token without a choice."""
        for draw in self.draws:
            draw.random.random()
        if self.request.logprobs:
            self.logprobs.append(0.0)

    def take_pending(self) -> list[int]:
        """The tokens that the model has not run yet. A row that has ended needs none."""
        pending, self.pending = self.pending if self.live else [], []
        return pending

    def branches(self, tokens: Sequence[int]) -> Iterator[tuple[BatchRow, int]]:
        """Split the row by the next token of each of its samples. This row comes first."""
        draws: dict[int, list[Draw]] = {}
        for draw, token in zip(self.draws, tokens):
            draws.setdefault(token, []).append(draw)
        (token, self.draws), *others = draws.items()
        branches = [(self._branch(some), other) for other, some in others]
        yield self, token
        yield from branches

    def _branch(self, draws: list[Draw]) -> BatchRow:
        bound = self.constraint and self.constraint.copy()
        known = self.lookup and self.lookup.copy()
        branch = replace(self, draws=draws, constraint=bound, lookup=known)
        branch.ids, branch.pending = [*self.ids], [*self.pending]
        branch.logprobs = [*self.logprobs]
        return branch
