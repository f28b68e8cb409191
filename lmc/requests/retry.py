"""When a request that failed is sent again, and how long that waits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from lmc.frozen import frozen
from lmc.models.base import SAID, ModelFailure

LONGEST_WAIT_S = 300.0  # a server that asks for more is not waited for
_LONGEST_BACKOFF_S = 30.0
_LIVELY_BACKOFF_S = 0.5  # while the model answers others
_MOST_BUSY = 8  # attempts at a server that is too busy for everybody: two minutes and more
# Further attempts of one request while the model answers others: what fails by chance is asked
# again. What the prompt may be to blame for is asked less often.
_MOST_LIVELY = {"connection": 24, "server": 24, "broken_stream": 24, "empty": 12}
_MOST_SAID = 6


@frozen
class RetryPolicy:
    """Up to `max` further attempts, the first after about `backoff` seconds, then doubling.

    `on` restricts it to some kinds of failure; empty means all that are retryable. `strict` says
    that `max` was chosen, and so holds however well the server does.
    """

    max: int = 3
    backoff: float = 1.0
    on: tuple[str, ...] = ()
    strict: bool = False

    @classmethod
    def from_settings(cls, value: Any) -> RetryPolicy:
        """From a `retry:` setting: nothing, a number of attempts, or {max, backoff, on}."""
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
        """Whether this failure may go away by itself."""
        return self.max > 0 and failure.retryable and (not self.on or failure.kind in self.on)


class Retries:
    """The attempts of one request so far."""

    def __init__(self, policy: RetryPolicy, *, local: bool = False) -> None:
        self.policy, self._local = policy, local
        self.count = self._stuck = 0
        self._failed = Counter[str]()  # attempts by the kind of their failure

    def wait_s(self, failure: ModelFailure, *, lively: bool, moved: bool) -> float | None:
        """Seconds before the next attempt, None where there is none.

        `lively`: the model has answered others lately. `moved`: it did since this attempt began, so
        a server that was too busy for this one is at work, and this one waits its turn.
        """
        kind = failure.kind
        if not self.policy.allows(failure):
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
