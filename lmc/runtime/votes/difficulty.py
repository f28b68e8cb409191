"""Difficulty-adaptive voting over a batch: what is easy gets two samples, what is hard gets many.

A vote stops with some doubt left whether the winner would stay the winner, and mostly with less
than it might; so a batch shares it: what rows leave of theirs lets later ones stop sooner, and over
the batch the doubt is what it may be for a single vote.

Source: DSC, Wang et al. 2024, arXiv 2408.13457, section 3: problems are ranked by difficulty; from
the hardest on, each starts with as many samples as its harder neighbours took; where a run of them
agrees from the first samples on, all that is easier gets a single one. Here a block of neighbours
votes at once, and starts with the fewest that any of those before needed, not with their mean;
what is easier gets two samples, and more where these do not agree: with a single one a ranking that
is not good costs accuracy; and the doubt is shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lmc.frozen import frozen
from lmc.ir.graph import Graph, ProgramGraph

PRESAMPLES = 4  # what the first rows start with
RUN = 16  # rows in a row, and the share of them that agree at once: all that follow are easy
AGREEING = 0.8
EASY = 2  # samples of an easy row, where they agree
BLOCK = 8  # rows that vote side by side
NEIGHBOURS = 16  # whose sizes predict the next


@frozen
class Turn:
    """What a row may go by: the samples that it starts with, `EASY` where it is easy, and doubt."""

    start: int
    spare: float  # doubt that rows before it left


@frozen
class Voted:
    """How a row voted: the samples that it needed, whether all were equal, what doubt it left."""

    samples: int
    agreed: bool
    spare: float  # below 0 where it took more than its own


@dataclass(slots=True)
class Batch:
    """The rows that vote together; each enters once, by its number, or leaves.

    Which samples are drawn depends on difficulties and answers, not on who comes first. Belongs to
    one event loop.
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
        """Wait for a row's turn."""
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._turns[number] = turn
        self._entered[number] = difficulty
        self._advance()
        return await turn

    def voted(self, number: int, vote: Voted) -> None:
        """Say how a row voted."""
        self._voted[number] = vote

    def leave(self, number: int) -> None:
        """A row is done, whether it voted or failed."""
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
        """Say that the row is done."""
        self.batch.leave(self.number)


def seats(
    program: ProgramGraph, graph: Graph, rows: int, in_flight: int
) -> Callable[[int], Seat | None]:
    """A place for each of some rows, where running the graph makes just one vote by difficulty.

    Rows wait for one another, so a batch has no more of them than can be in flight.
    """
    if not _votes_once(program, graph, {}):
        return lambda number: None
    starts = range(0, rows, max(1, in_flight // 2))
    batches = [Batch(min(starts.step, rows - start)) for start in starts]
    return lambda number: Seat(batches[number // starts.step], number)


def _votes_once(program: ProgramGraph, graph: Graph, known: dict[str, bool]) -> bool:
    """Whether all of a graph's way leads to one vote by difficulty, in no branch and no loop."""
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
