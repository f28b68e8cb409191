"""Workers in this process, for tests and for measuring the driver: all that is said is pickled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lmc.cluster.crew import SILENCE_S, Crew
from lmc.cluster.worker import RowWorker
from lmc.models.base import Answer, Capabilities, ModelFailure, Request

CAN = Capabilities(seed=True, multiple_samples=True)
BEAT_S = 0.05  # a worker with nothing to say says that


class Loopback:
    """The way to a worker in this process."""

    def __init__(self) -> None:
        self._said, self._gone = asyncio.Event(), asyncio.Event()
        self._said.set()
        self.worker = RowWorker(self._said.set)
        self.stopped = False

    async def send(self, message: bytes) -> None:
        """Give the worker a message. It does not hear if it is stopped."""
        self._require()
        if not self.stopped:
            self.worker.link.receive(message)

    async def hear(self) -> bytes:
        """What the worker says."""
        self._require()
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._said.wait()
        self._require()
        if self.stopped:
            await self._gone.wait()
            self._require()
        self._said.clear()
        return self.worker.link.take() or b""

    async def kill(self) -> None:
        """End the worker as a kill would: at once, in the middle of everything."""
        self._gone.set()
        self._said.set()
        self.worker.link.lose()

    def _require(self) -> None:
        if self._gone.is_set():
            raise ConnectionError("the worker was killed")


def loopback_crew(size: int, *, silence_s: float = SILENCE_S) -> tuple[Crew, list[Loopback]]:
    """Workers in this process, and the ways to all that were started."""
    started: list[Loopback] = []

    async def start() -> Loopback:
        started.append(Loopback())
        return started[-1]

    return Crew(start, size, silence_s=silence_s), started


@dataclass
class FarModel:
    """What the workers of a test ask. Requests to it are counted by their prompt."""

    asked: Counter[str] = field(default_factory=Counter)
    wait: Callable[[str], Any] | None = None
    price: None = None
    endpoint: str = "far:m"
    capabilities: Capabilities = CAN

    async def generate(self, request: Request) -> Sequence[Answer]:
        prompt = request.messages[-1]["content"]
        self.asked[prompt] += 1
        if self.wait is not None and (waiting := self.wait(prompt)) is not None:
            await waiting
        if "fails" in prompt:
            raise ModelFailure("bad_request", "no", retryable=False)
        return [Answer(f"{len(prompt)}", 10, 2) for _ in range(request.n)]

    async def close(self) -> None:
        pass
