"""What a tracing tool hears of a run: its parts and its requests, as they begin and end.

Nothing here knows the tool. `lmc.telemetry` speaks to OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lmc.models.base import Answer, Request
    from lmc.requests.bound import BoundModel


class SpannedRegion(Protocol):
    """A call of a module, pipeline or tool, or a refine or vote, while it runs and afterwards."""

    kind: str
    name: str
    inputs: dict[str, Any]
    result: Any
    detail: dict[str, Any]

    @property
    def id(self) -> str:
        """The same in every run with the same inputs."""
        ...


class RequestSpan(Protocol):
    """A request in progress."""

    def answered(self, answers: Sequence[Answer]) -> None:
        """Take the answers: one for each sample."""
        ...


class ServerSpan(Protocol):
    """A request to a server in progress. `status` is that of the answer, once it is known."""

    status: int


class Spans(Protocol):
    """Hears of the parts of runs. Each part is the parent of those that begin inside its `with`.

    No method raises, and none waits for anything.
    """

    def region(self, region: SpannedRegion, *, outermost: bool) -> AbstractContextManager[object]:
        """A part of a run. The outermost one is the run."""
        ...

    def asking(self, facts: Mapping[str, str | int]) -> AbstractContextManager[object]:
        """The requests inside are made for this: module, role, sample, attempt."""
        ...

    def request(
        self, bound: BoundModel, full_name: str, request: Request
    ) -> AbstractContextManager[RequestSpan]:
        """One request to a model, with all attempts until its answers are complete."""
        ...

    def exchange(self, scope: Mapping[str, Any]) -> AbstractContextManager[ServerSpan]:
        """A request to a server of lmc's, by its ASGI scope. It goes on the client's trace."""
        ...

    def retried(self, kind: str, wait_s: float) -> None:
        """The request is sent again, after a wait, because of a failure of this kind."""
        ...

    def repaired(self, attempt: int, problem: str) -> None:
        """An answer cannot be used, so the model is asked again."""
        ...
