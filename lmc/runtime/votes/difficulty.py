"""Difficulty-adaptive voting over a batch: easy rows get two samples, hard rows get many.

A vote may stop while some doubt remains that more samples would change the winner. Most votes stop
with less doubt than they may. The batch shares the difference: doubt that earlier rows did not use
lets later rows stop sooner. So the mean doubt of the batch stays within the limit of a single vote.

Source: DSC, Wang et al. 2024, arXiv 2408.13457, section 3. DSC ranks the problems by difficulty and
starts with the hardest. Each problem starts with as many samples as its harder neighbours took.
Once the first samples of several problems in a row agree, every easier problem gets one sample.

Three points differ here. A block of neighbours votes at once and starts with the fewest samples
that an earlier row needed, not with the mean. An easy row gets two samples, and more if those
differ, since with one sample a poor ranking costs accuracy. And the batch shares its doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lmc.frozen import frozen
from lmc.ir.graph import Graph, ProgramGraph

PRESAMPLES = 4  # first samples of the first rows
RUN = 16  # once `AGREEING` of so many rows in a row agree at once, all later rows are easy
AGREEING = 0.8
EASY = 2  # samples of an easy row, if they agree
BLOCK = 8  # rows that vote at the same time
NEIGHBOURS = 16  # earlier rows that predict the first samples of the next


@frozen
class Turn:
    """The terms of a row's vote: its first samples (`EASY` for an easy row) and its extra doubt."""

    start: int
    spare: float  # doubt that earlier rows did not use


@frozen
class Voted:
    """How a row voted: the samples that it needed, whether all agreed, and the doubt left over."""

    samples: int
    agreed: bool
    spare: float  # below 0 if it used more than its own


@dataclass(slots=True)
class Batch:
    """The rows that vote together. Each row, by its number, enters once or leaves without a vote.

    The samples depend on difficulties and answers, not on the order of arrival. Belongs to one
    event loop.
    """

    rows: int
    _entered: dict[int, float] = field(default_factory=dict)
    _gone: set[int] = field(default_factory=set)
    _turns: dict[int, asyncio.Future[Turn]] = field(default_factory=dict)
    _order: list[int] | None = None
    _next: int = 0
    _block: set[int] = field(default_factory=set)
    _voted: dict[int, Voted] = field(default_factory=dict)

    async def turn(self, number: int, difficulty: float) -> Turn:
        """Enter a row and wait for its turn."""
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._turns[number] = turn
        self._entered[number] = difficulty
        self._advance()
        return await turn

    def voted(self, number: int, vote: Voted) -> None:
        """Record how a row voted."""
        self._voted[number] = vote

    def leave(self, number: int) -> None:
        """Mark a row as done, whether it voted or failed."""
        self._gone.add(number)
        self._advance()

    def _advance(self) -> None:
        if len(self._entered.keys() | self._gone) < self.rows:
            return
        if self._order is None:
            self._order = sorted(self._entered, key=lambda i: (-self._entered[i], i))
        while not self._block - self._gone and self._next < len(self._order):
            self._block = set(self._order[self._next : self._next + BLOCK])
            before = [self._voted[i] for i in self._order[: self._next] if i in self._voted]
            self._next += BLOCK
            start = _start(before)
            turn = Turn(start, max(0.0, sum(vote.spare for vote in before) / BLOCK))
            if start == EASY:
                self._block |= set(self._order[self._next :])
                self._next = len(self._order)
            for number in self._block - self._gone:
                if not self._turns[number].done():  # a row can be cancelled while it waits
                    self._turns[number].set_result(turn)


def _start(before: list[Voted]) -> int:
    run = before[-RUN:]
    if len(run) == RUN and sum(vote.agreed for vote in run) >= AGREEING * RUN:
        return EASY
    return min((vote.samples for vote in before[-NEIGHBOURS:]), default=PRESAMPLES)


@frozen
class Seat:
    """One row's place in its batch."""

    batch: Batch
    number: int

    def leave(self) -> None:
        """Mark the row as done."""
        self.batch.leave(self.number)


def seats(
    program: ProgramGraph, graph: Graph, rows: int, in_flight: int
) -> Callable[[int], Seat | None]:
    """A seat for each row if a run of the graph makes exactly one vote by difficulty, else None.

    Rows wait for one another, so a batch has at most as many rows as can be in flight.
    """
    if not _votes_once(program, graph, {}):
        return lambda number: None
    starts = range(0, rows, max(1, in_flight // 2))
    batches = [Batch(min(starts.step, rows - start)) for start in starts]
    return lambda number: Seat(batches[number // starts.step], number)


def _votes_once(program: ProgramGraph, graph: Graph, known: dict[str, bool]) -> bool:
    """Whether each run of a graph makes one vote by difficulty, outside branches and loops."""
    found = 0
    for node in graph.nodes:
        if node.op == "vote":
            found += node.attrs.get("stop_early") == "dsc"
        elif node.op == "call":
            name = node.attrs["target"]
            if name not in known:
                known[name] = _votes_once(program, program.graphs[name], known)
            found += known[name]
    return found == 1
