"""When a failed request is sent again, and how long that waits."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lmc.frozen import frozen
from lmc.models.base import ModelFailure

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

_LONGEST_BACKOFF_S = 30.0
_LONGEST_RETRY_AFTER_S = 300.0


@frozen
class RetryPolicy:
    """Up to `max` further attempts, the first after about `backoff` seconds, then doubling.

    `on` restricts it to some kinds of failure; empty means all that are retryable.
    """

    max: int = 3
    backoff: float = 1.0
    on: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, value: Any) -> RetryPolicy:
        """From a `retry:` setting: nothing, a number of attempts, or {max, backoff, on}."""
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            return cls(int(value))
        given = cls()
        on = value.get("on") or ()
        return cls(
            int(value.get("max", given.max)),
            float(value.get("backoff", given.backoff)),
            (on,) if isinstance(on, str) else tuple(on),
        )

    def allows(self, failure: BaseException) -> bool:
        """Whether this failure may go away by itself."""
        return (
            isinstance(failure, ModelFailure)
            and failure.retryable
            and (not self.on or failure.kind in self.on)
        )

    def wait_s(self, attempt: int, failure: BaseException | None) -> float:
        """Seconds before the next attempt; attempts count from 1. What the server asks for wins."""
        backoff_s = min(self.backoff * 2.0 ** (attempt - 1), _LONGEST_BACKOFF_S)
        jittered_s = backoff_s * random.uniform(0.5, 1.5)
        asked_s = failure.retry_after_s if isinstance(failure, ModelFailure) else None
        if asked_s is None:
            return jittered_s
        return min(asked_s, _LONGEST_RETRY_AFTER_S) + random.uniform(0, min(0.1, backoff_s))

    async def run(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send until it succeeds, the failure is final, or the attempts are used up."""
        try:  # tenacity costs more than the rest of a call, and most need none
            return await send()
        except ModelFailure as failure:
            if self.max < 1 or not self.allows(failure):
                raise
            first = failure
        return await self._run_again(send, first)

    async def _run_again(self, send: Callable[[], Awaitable[T]], first: ModelFailure) -> T:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        pending: list[ModelFailure] = [first]

        async def attempt() -> T:
            if pending:  # the attempt that was made outside counts as the first
                raise pending.pop()
            return await send()

        def wait_s(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            return self.wait_s(state.attempt_number, failure)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.max + 1),
            wait=wait_s,
            retry=retry_if_exception(self.allows),
            reraise=True,
        )
        return await retrying(attempt)
