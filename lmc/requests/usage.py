"""Usage totals of model calls: calls, tokens, money and time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from lmc.frozen import frozen
from lmc.models.base import NO_DETAILS, Answer, TokenDetails


@frozen
class Usage:
    """Totals over model calls. A call is one sample of one request, cached or not.

    `seconds` is the sum of the times of all calls, even if calls ran at once. `retries` counts
    requests that were sent again because a server was busy or gave no complete answer. Their cost
    is in the other figures. `details` has the tokens that the provider had cached, and others of a
    kind of their own.
    """

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = field(default=0.0, compare=False)
    retries: int = field(default=0, compare=False)
    details: TokenDetails = field(default=NO_DETAILS, compare=False)

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Usage:
        """Add up the usage of some answers. A cached answer counts with its original usage."""
        calls = cached = prompt = completion = retries = 0
        cost_usd = latency_ms = 0.0
        details = NO_DETAILS
        for answer in answers:
            calls += 1
            cached += answer.cached
            prompt += answer.prompt_tokens
            completion += answer.completion_tokens
            cost_usd += answer.cost_usd
            latency_ms += answer.latency_ms
            retries += answer.retries
            if answer.details is not NO_DETAILS:
                details += answer.details
        return cls(calls, cached, prompt, completion, cost_usd, latency_ms / 1000, retries, details)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.cached_calls + other.cached_calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_usd + other.cost_usd,
            self.seconds + other.seconds,
            self.retries + other.retries,
            self.details + other.details,
        )
