"""Retries: when to send a failed request again, and how long to wait before."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from lmc.frozen import frozen
from lmc.models.base import SAID, ModelFailure

LONGEST_WAIT_S = 300.0  # if a server asks for more, the request fails
_LONGEST_BACKOFF_S = 30.0
_LIVELY_BACKOFF_S = 0.5  # while the model answers other requests
_MOST_BUSY = 8  # attempts at a server that answers nobody; over two minutes
# Retries of one request while the model answers other requests. Chance failures get many retries.
# Failures that the prompt may cause get fewer.
_MOST_LIVELY = {"connection": 24, "server": 24, "broken_stream": 24, "empty": 12}
_MOST_SAID = 6


@frozen
class RetryPolicy:
    """Up to `max` retries, the first after about `backoff` seconds, with doubling pauses.

    `on` restricts retries to some kinds of failure; empty means all retryable kinds. `strict` means
    that the user chose `max`, so it holds even if the server answers other requests.
    """

    max: int = 3
    backoff: float = 1.0
    on: tuple[str, ...] = ()
    strict: bool = False

    @classmethod
    def from_settings(cls, value: Any) -> RetryPolicy:
        """Read a `retry:` setting: nothing, a number of attempts, or {max, backoff, on}."""
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            return cls(int(value), strict=True)
        given = cls()
        on = value.get("on") or ()
        return cls(
            int(value.get("max", given.max)),
            float(value.get("backoff", given.backoff)),
            (on,) if isinstance(on, str) else tuple(on),
            "max" in value,
        )

    def allows(self, failure: ModelFailure) -> bool:
        """Whether the policy retries this failure."""
        return self.max > 0 and failure.retryable and (not self.on or failure.kind in self.on)


class Retries:
    """The attempts of one request so far."""

    def __init__(self, policy: RetryPolicy, *, local: bool = False) -> None:
        self.policy, self._local = policy, local
        self.count = self._stuck = 0
        self._failed = Counter[str]()  # attempts by kind of failure

    def wait_s(self, failure: ModelFailure, *, lively: bool, moved: bool) -> float | None:
        """Seconds before the next attempt; None if there is none.

        `lively`: the model answered other requests recently. `moved`: it answered some since this
        attempt began. Then a busy server makes progress, and this request waits for its turn.
        """
        kind = failure.kind
        if not self.policy.allows(failure) or (failure.looped and self._local):
            return None
        if kind == "rate_limit":
            lively = moved
        self._stuck = 0 if lively else self._stuck + 1
        if not (kind == "rate_limit" and moved):
            self._failed[kind] += 1
        asked_s = failure.retry_after_s
        if self._over(kind, lively=lively) or (asked_s or 0.0) > LONGEST_WAIT_S:
            return None
        self.count += 1
        return self._pause_s(kind, asked_s, lively=lively)

    def _over(self, kind: str, *, lively: bool) -> bool:
        most, failed = self.policy.max, self._failed
        if self.policy.strict:
            return failed.total() > most
        if kind == "rate_limit":
            return self._stuck > _MOST_BUSY
        if kind in SAID and self._local:
            return failed.total() > (1 if kind == "length" else most)
        if not lively:
            return failed.total() > most
        each = _MOST_LIVELY.get(kind, _MOST_SAID if kind in SAID else most)
        return failed[kind] > each or failed.total() > max(_MOST_LIVELY.values())

    def _pause_s(self, kind: str, asked_s: float | None, *, lively: bool) -> float:
        if kind in SAID:  # the server is well
            return 0.0
        backoff_s = self.policy.backoff
        if lively:
            backoff_s = min(backoff_s, _LIVELY_BACKOFF_S)
        else:
            backoff_s = min(backoff_s * 2.0 ** (self._stuck - 1), _LONGEST_BACKOFF_S)
        if asked_s is None:
            return backoff_s * random.uniform(0.5, 1.5)
        return asked_s + random.uniform(0, min(0.1, backoff_s))
