"""The protocol between the executor and whatever answers: one request, one answer a sample."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from lmc.frozen import frozen
from lmc.redaction import redact

Message = dict[str, str]
EMBEDDED = "input"  # role of the one message of a request for an embedding


@frozen
class Sampling:
    """Decoding settings, all part of the cache key; None leaves the choice to the backend."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@frozen
class Request:
    """One question to a model, `n` samples of it wanted, numbered from `index`.

    `model` is the name as the backend knows it (no provider prefix); `schema` is a JSON Schema that
    the answer must satisfy where the backend can constrain decoding; `adapter` names LoRA weights.
    A backend that can calls `on_text`, in any thread, with each piece of a single sample when it is
    there; the answer is whole all the same. A backend that sends more than one request for the same
    samples awaits `on_resend` before each further one; it raises where a budget leaves no room.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    schema: dict[str, Any] | None = None
    adapter: str | None = None
    n: int = 1
    index: int = 0
    logprobs: bool = False
    timeout_s: float | None = None
    on_text: Callable[[str], None] | None = field(default=None, compare=False, repr=False)
    on_resend: Callable[[], Awaitable[None]] | None = field(default=None, compare=False, repr=False)


@frozen
class Answer:
    """One sample; `logprobs` (natural) of the chosen tokens, where the backend gives them.

    `certainty` is the mean divergence of the tokens' distributions from the uniform one, in nats
    (self-certainty, Kang et al. 2025, arXiv 2502.18581). `finish_reason` is "stop" for an answer
    that is whole; `lmc.models.border` says what others mean. `retries` counts the requests that had
    to be sent again for it; `wait_s` is how long the server asks to send nothing more.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    finish_reason: str = "stop"
    logprobs: tuple[float, ...] | None = None
    latency_ms: float = field(default=0.0, compare=False)
    cached: bool = field(default=False, compare=False)
    certainty: float | None = None
    retries: int = field(default=0, compare=False)
    wait_s: float = field(default=0.0, compare=False)


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Drop what follows the first stop string, for servers that keep it or know no `stop`."""
    ends = [place for place in (text.find(mark) for mark in stop) if place >= 0]
    return text[: min(ends)] if ends else text


# Kinds of failure where the model said something, but no whole answer.
SAID = ("empty", "length", "content_filter", "refusal", "tool_calls")


class ModelFailure(Exception):
    """No whole answer; callers read `kind` and `retryable`, not the message.

    `kind` is one of auth, rate_limit, timeout, connection, server, bad_request, context_length,
    not_found, missing_extra, replay_miss, script_end, broken_stream, or one of `SAID`: the answer
    is empty, was cut at its limit, was held back by a filter, is a refusal, or calls a tool.

    `paid` are answers that were paid for and cannot be used. `outcomes` has what came of each
    sample, where some of a request are whole. `heard`: a listener was told a part of the text, so
    asking again would say it twice. `sent` is False where the request never left. `retries` counts
    the requests that were sent again before.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool,
        hint: str = "",
        retry_after_s: float | None = None,
        paid: Sequence[Answer] = (),
        heard: bool = False,
        sent: bool = True,
    ) -> None:
        message, hint = redact(message), redact(hint)  # a server may send the key back
        super().__init__(message)
        self.kind, self.message, self.retryable, self.hint = kind, message, retryable, hint
        self.retry_after_s = retry_after_s
        self.paid, self.heard, self.sent = tuple(paid), heard, sent
        self.outcomes: Sequence[Answer | ModelFailure] = ()
        self.retries = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _failure_again, (type(self), self.args, self.__dict__)


def _failure_again(
    cls: type[ModelFailure], args: tuple[Any, ...], state: dict[str, Any]
) -> ModelFailure:
    """A failure as it was, in another process."""
    failure = cls.__new__(cls, *args)
    failure.__dict__.update(state)
    return failure


@frozen
class Capabilities:
    """What a backend can do; the executor asks for no more."""

    json_schema: bool = False
    logprobs: bool = False
    multiple_samples: bool = False  # honours Request.n > 1 in one request
    adapters: bool = False
    seed: bool = False
    local: bool = False  # computes here: batches by itself, needs neither key nor network
    cacheable: bool = True  # False where equal requests may be meant to get different answers
    default_layout: str = "chat"  # of calls whose result is not a plain string


@frozen
class Price:
    """USD per million tokens."""

    input: float
    output: float

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Price | None:
        """Read the `price: {input: …, output: …}` of a model's settings, if there is one."""
        price = settings.get("price")
        if price is None:
            return None
        return cls(float(price.get("input", 0.0)), float(price.get("output", 0.0)))

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Say what so many tokens cost."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class Backend(Protocol):
    """One endpoint or engine. Coroutines run on lmc's own event loop only."""

    capabilities: Capabilities
    price: Price | None  # None: not known here

    @property
    def endpoint(self) -> str:
        """Identifies the server or engine in cache keys: two endpoints never share answers."""
        ...

    async def generate(self, request: Request) -> Sequence[Answer]:
        """`request.n` answers, in order of sample index. Raises: ModelFailure.

        The prompt tokens of one request are counted on its first answer only. Whoever calls keeps
        the time (`request.timeout_s`) and cancels.
        """
        ...

    async def close(self) -> None:
        """Release connections and memory."""
        ...
