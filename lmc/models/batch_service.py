"""What the queue of batches needs of whoever answers them: a provider, or a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from lmc.models.batch_api import BatchState, Outcome
from lmc.models.batch_journal import JournaledBatch


class BatchService(Protocol):
    """Takes requests as one batch, answers later. What fails raises `ModelFailure`.

    `longest_pause_s` is the longest time between two questions for the state.
    """

    longest_pause_s: float

    @property
    def endpoint(self) -> str:
        """Identifies who answers, in the journal."""
        ...

    async def prepare(self, bodies: Sequence[bytes]) -> Any:
        """Get requests ready, which costs nothing. `create` takes what this returns."""
        ...

    async def create(self, prepared: Any, batch: JournaledBatch) -> str:
        """Submit a batch that the journal has, and return its id."""
        ...

    async def find(self, batch: JournaledBatch) -> str | None:
        """The id of a batch that may have been submitted; None if it was not."""
        ...

    async def state(self, id: str) -> BatchState:
        """How far a batch is."""
        ...

    async def cancel(self, id: str) -> None:
        """Have no more of a batch answered."""
        ...

    async def each_line(self, file: str, take: Callable[[bytes], None]) -> None:
        """Have the lines of a file of answers taken, one after the other."""
        ...

    def read(self, line: bytes) -> tuple[int, Outcome]:
        """The number of a request, and its outcome. Raises: ValueError, KeyError, TypeError."""
        ...

    def forget(self, id: str) -> None:
        """Drop what is kept here of a batch that nobody needs again."""
        ...
