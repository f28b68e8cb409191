"""Pacing: adapt the concurrent requests to the server, and keep limits per minute.

A server that is too busy answers 429. If more than a fifth of the requests get a 429, the number
in flight shrinks by a quarter or by half. Then it grows by one per round trip. This is additive
increase, multiplicative decrease (Chiu and Jain 1989), as in TCP. Near the number that was too high
before, it grows at a sixteenth of the speed for a while. A single 429 delays only its own request.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_MINUTE_S = 60.0
_NEAR = 0.9  # of the number that was too high
_SLOW, _CAREFUL = 16.0, 128  # how much slower it grows, and for how many answers
_BUSY, _BUSY_SHARE = 3, 0.2  # at least so many recent 429s, and more than this share
_FREE = 2  # with at most so many recent 429s, the number may grow
_LATELY = 32  # recent attempts that are remembered
_WELL = 3  # complete answers among them that show a working server


@dataclass(eq=False, slots=True)
class Ticket:
    """One admitted request: its number, and its entry in each window."""

    number: int
    entries: list[list[float]] = field(default_factory=list)  # [when, how much]


@dataclass(eq=False, slots=True)
class _Waiter:
    tokens: int
    turn: asyncio.Future[Ticket]


class Window:
    """Admits at most `most` in any minute. A larger amount goes alone."""

    def __init__(self, most: float) -> None:
        self.most = most
        self._entries: deque[list[float]] = deque()

    def wait_s(self, now_s: float, amount: float) -> float:
        """Seconds until a further amount fits."""
        while self._entries and self._entries[0][0] <= now_s - _MINUTE_S:
            self._entries.popleft()
        over = sum(entry[1] for entry in self._entries) + amount - self.most
        if over <= 0:
            return 0.0
        end_s = now_s - _MINUTE_S
        for when_s, much in self._entries:
            over -= much
            end_s = when_s
            if over <= 0:
                break
        return end_s + _MINUTE_S - now_s

    def add(self, now_s: float, amount: float) -> list[float]:
        """Count an amount. The returned entry may be corrected later."""
        entry = [now_s, amount]
        self._entries.append(entry)
        return entry


class Gate:
    """Admits the requests to one model. Belongs to one event loop.

    `rpm` and `tpm` limit requests and tokens in any minute. `answered` counts complete answers, so
    a waiting request can tell whether the server makes progress.
    """

    def __init__(
        self,
        most: int,
        rpm: float | None = None,
        tpm: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.limit, self.in_flight, self.answered = most, float(most), 0, 0
        self._requests = Window(rpm) if rpm else None
        self._tokens = Window(tpm) if tpm else None
        self._clock = clock
        self._waiters: deque[_Waiter] = deque()
        self._number = self._cut_from = self._careful_until = 0
        self._too_many = float("inf")
        self._open_s = 0.0  # no request is sent before this time
        self._timed = bool(rpm or tpm)  # whether limits per minute apply
        self._told = 0  # tokens of all complete answers
        self._lately = deque[bool](maxlen=_LATELY)  # whether attempts gave a complete answer
        self._busy = deque[bool](maxlen=_LATELY)  # whether attempts since the last cut got a 429
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether one more request would have to wait."""
        return bool(self._waiters) or self.in_flight >= int(self.limit) or self._wait_s(0) > 0

    @property
    def by_tokens(self) -> bool:
        """Whether tokens per minute are limited, so that each request needs an estimate."""
        return self._tokens is not None

    @property
    def lively(self) -> bool:
        """Whether the server gave some complete answers recently."""
        return sum(self._lately) >= _WELL

    @property
    def mean_tokens(self) -> float:
        """The mean tokens of an answered request."""
        return self._told / self.answered if self.answered else 0.0

    def narrow(self, most: int) -> None:
        """Let fewer requests through from now on, as others send the rest."""
        self.most = min(self.most, most)
        self.limit = min(self.limit, float(most))

    async def enter(self, tokens: int = 0, *, first: bool = False) -> Ticket:
        """Wait for a turn. With `first`, go ahead of new requests."""
        free = not self._waiters and self.in_flight < int(self.limit)
        if free and (not self._timed or self._wait_s(tokens) <= 0):
            return self._let_through(tokens)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        (self._waiters.appendleft if first else self._waiters.append)(waiter)
        self._wake()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.leave()
            elif waiter in self._waiters:  # else a request that ended has passed it over
                self._waiters.remove(waiter)
            raise

    def leave(self) -> None:
        """Record that a request ended, with any result."""
        self.in_flight -= 1
        if self._waiters:
            self._wake()

    def took(self, ticket: Ticket, tokens: int, wait_s: float = 0.0) -> None:
        """Record a complete answer, its tokens, and the seconds that the server asks to wait."""
        self.answered += 1
        self._told += tokens
        self._lately.append(True)
        if self.limit < self.most and sum(self._busy) <= _FREE:
            near = self.limit >= _NEAR * self._too_many and self.answered < self._careful_until
            self.limit = min(self.most, self.limit + 1 / self.limit / (_SLOW if near else 1.0))
        if self._tokens is not None and ticket.entries:
            ticket.entries[-1][1] = tokens
        if wait_s > 0:
            self.pause(wait_s)

    def accepted(self, ticket: Ticket) -> None:
        """Record that the server was not too busy for a request, with any result."""
        if ticket.number >= self._cut_from:
            self._busy.append(False)

    def failed(self) -> None:
        """Record that no complete answer came, though the server was not too busy."""
        self._lately.append(False)

    def refused(self, ticket: Ticket, wait_s: float | None) -> None:
        """Record a 429. If there were many, send fewer at once, and pause as the server asks.

        Requests sent before the last reduction do not count again.
        """
        if ticket.number < self._cut_from:
            return
        self._busy.append(True)
        busy = sum(self._busy)
        if busy < _BUSY or busy <= _BUSY_SHARE * len(self._busy):
            return
        self._too_many = min(self.limit, float(self.in_flight))
        share = 0.5 if busy > len(self._busy) / 2 else 0.75
        self.limit = max(1.0, self._too_many * share)
        self._cut_from = self._number
        self._careful_until = self.answered + _CAREFUL
        self._busy.clear()
        if wait_s:
            self.pause(wait_s)

    def pause(self, seconds: float) -> None:
        """Send nothing for so many seconds."""
        self._open_s = max(self._open_s, self._clock() + seconds)
        self._timed = True

    def _let_through(self, tokens: int) -> Ticket:
        self.in_flight += 1
        self._number += 1
        ticket = Ticket(self._number - 1)
        if self._timed:
            now_s = self._clock()
            if self._requests is not None:
                self._requests.add(now_s, 1)
            if self._tokens is not None:
                ticket.entries.append(self._tokens.add(now_s, tokens))
        return ticket

    def _wait_s(self, tokens: int) -> float:
        if not self._timed:
            return 0.0
        now_s = self._clock()
        waits = [self._open_s - now_s]
        if waits[0] <= 0 and self._requests is None and self._tokens is None:
            self._timed = False
        if self._requests is not None:
            waits.append(self._requests.wait_s(now_s, 1))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(now_s, tokens))
        return max(waits)

    def _wake(self) -> None:
        """Admit the requests that may go, and wake again when time allows the next."""
        while self._waiters and self.in_flight < int(self.limit):
            waiter = self._waiters[0]
            if waiter.turn.done():
                self._waiters.popleft()
                continue
            wait_s = self._wait_s(waiter.tokens)
            if wait_s > 0:
                self._wake_in(wait_s)
                return
            self._waiters.popleft()
            waiter.turn.set_result(self._let_through(waiter.tokens))

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds + 0.001, self._wake)
