"""The protocol between the executor and a backend: one request, one answer per sample."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from lmc.frozen import frozen
from lmc.media.content import Media
from lmc.redaction import redact

Message = dict[str, Any]  # role and content, and calls of tools in the form of the protocol
_FURTHER_HEAT = 0.7  # temperature of further samples, if none is given
EMBEDDED = "input"  # role of the only message in an embedding request


@frozen
class Sampling:
    """Decoding settings, all but `cache_prompt` part of the cache key.

    None leaves the choice to the backend. `reasoning` is how much the model thinks before: "off",
    "minimal", "low", "medium", "high", or a number of tokens. `strict` demands that a server keeps
    to the schema by the letter; None where it is known to. `extra` is JSON that is passed on in the
    body, and `headers` are passed on too; both are what the model's settings say. `cache_prompt`
    says what prompts share (`lmc.models.prompt_caches`), for providers that cache only what is
    marked; it changes no answer.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning: str | int | None = None
    strict: bool | None = None
    extra: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    cache_prompt: str | None = field(default=None, compare=False)


@frozen
class Request:
    """One request for `n` samples, numbered from `index`.

    `media` are the files whose marks (`Media.mark`) stand in the contents of messages. A backend
    sends their bytes in the place of the marks, and no others.

    `model` is the backend's own name for the model, without the provider prefix. `schema` is a JSON
    Schema for the answer, and `grammar` is its grammar in llguidance's Lark form; a backend uses
    one of them if it can constrain decoding. `adapter` names LoRA weights. A backend that streams
    calls `on_text`, in any thread, with each piece of a single sample; it still returns the
    complete answer. If the last message is the assistant's, the answer goes on where it ends, and
    is what follows it only. A backend that sends further requests for the same samples awaits
    `on_resend` before each one. `on_resend` raises if a budget has no room. `tools` are offered to
    the model, in the form of the protocol, and it must call one or more of them. A backend without
    the ability `tools` leaves them out.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    schema: dict[str, Any] | None = None
    grammar: str | None = None
    adapter: str | None = None
    n: int = 1
    index: int = 0
    logprobs: bool = False
    timeout_s: float | None = None
    on_text: Callable[[str], None] | None = field(default=None, compare=False, repr=False)
    on_resend: Callable[[], Awaitable[None]] | None = field(default=None, compare=False, repr=False)
    tools: tuple[Mapping[str, Any], ...] = ()
    media: tuple[Media, ...] = ()

    def heat(self, index: int) -> float:
        """The temperature of a sample of a model that runs here. 0 is greedy."""
        given = self.sampling.temperature
        if given is None:
            return 0.0 if index == 0 else _FURTHER_HEAT
        return given if given > 1e-4 else 0.0


@frozen
class ToolCall:
    """A call of a tool that a model asks for. `arguments` is text, which should be a JSON object.

    `extra` is what the provider wants back with the call.
    """

    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@frozen
class TokenDetails:
    """Tokens of a kind of their own, which may have a price of their own.

    `cached`, `written` and `audio` are among the prompt tokens: read from the provider's cache,
    written into it, and of audio. `reasoning` and `spoken` are among the completion tokens: of
    thoughts, which the provider may hide, and of audio.
    """

    cached: int = 0
    written: int = 0
    audio: int = 0
    reasoning: int = 0
    spoken: int = 0

    def __add__(self, other: TokenDetails) -> TokenDetails:
        if other is NO_DETAILS:
            return self
        if self is NO_DETAILS:
            return other
        return TokenDetails(
            self.cached + other.cached,
            self.written + other.written,
            self.audio + other.audio,
            self.reasoning + other.reasoning,
            self.spoken + other.spoken,
        )

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Where nothing is known, what comes back from a pickle is `NO_DETAILS` itself."""
        figures = (self.cached, self.written, self.audio, self.reasoning, self.spoken)
        return (TokenDetails, figures) if any(figures) else "NO_DETAILS"


NO_DETAILS = TokenDetails()


def continued(messages: Sequence[Message]) -> str:
    """The beginning that an answer goes on with; empty if it starts anew."""
    last = messages[-1] if messages else {"role": ""}
    return last["content"] if last["role"] == "assistant" else ""


@frozen
class SampledTokens:
    """The tokens that an answer was sampled as, up to and with the end of the turn if it came.

    They are ids of the tokenizer with this digest. `logprobs` are those of the model alone, in nats
    at temperature 1; there are none where a grammar chose too. `begin` is what the answer went on
    from, after the prompt.
    """

    tokenizer: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    begin: str = ""

    def to_json(self, logprobs: Sequence[float] | None) -> list[Any]:
        """The tokens as JSON, beside the log-probabilities of their answer, which often are its."""
        own = None if self.logprobs and self.logprobs == logprobs else self.logprobs
        return [self.tokenizer, self.ids, own, self.begin]

    @classmethod
    def from_json(cls, data: Any, logprobs: Sequence[float] | None) -> SampledTokens:
        """Read the tokens. Raises: ValueError, TypeError."""
        tokenizer, ids, own, begin = data
        known = logprobs if own is None else own
        if not isinstance(tokenizer, str) or not isinstance(begin, str):
            raise TypeError("`tokenizer` and `begin` are texts")
        return cls(tokenizer, tuple(map(int, ids)), tuple(map(float, known or ())), begin)


@frozen
class Answer:
    """One sample. `logprobs` are those of the chosen tokens in nats, if the backend gives them.

    `certainty` is the mean divergence of the tokens' distributions from the uniform one, in nats
    (self-certainty, Kang et al. 2025, arXiv 2502.18581). `finish_reason` is "stop" for a complete
    answer; `lmc.models.border` defines the others. `retries` counts the requests that were sent
    again for it. `wait_s` is how many seconds the server asks to pause. `tool_calls` are those that
    the model asks for, where tools were offered. `reasoning` is what it thought before, if the
    server sends that beside the text. The first answer of a request has its `details`. `sampled`
    are its tokens, from an engine that is asked for log-probabilities.
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
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = field(default="", compare=False)
    details: TokenDetails = field(default=NO_DETAILS, compare=False)
    sampled: SampledTokens | None = field(default=None, compare=False)


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Cut a text at its first stop string, for servers that keep it or ignore `stop`."""
    ends = [place for place in (text.find(mark) for mark in stop) if place >= 0]
    return text[: min(ends)] if ends else text


# Kinds of failure where the model replied, but not with a complete answer.
SAID = ("empty", "length", "content_filter", "refusal", "tool_calls")


class ModelFailure(Exception):
    """A request without a complete answer. Callers read `kind` and `retryable`, not the message.

    `kind` is one of auth, rate_limit, timeout, connection, server, bad_request, context_length,
    not_found, missing_extra, media, replay_miss, script_end, broken_stream, no_tools (it cannot be
    offered tools), or one of `SAID`. The kinds of `SAID` mean that the answer is empty, was cut at
    its limit, was held back by a filter, is a refusal, or calls a tool. `media` means that the
    model does not take what it is given.

    `paid` are unusable answers that were paid for. `outcomes` has the outcome of each sample, if
    some of a request are complete. `heard`: a listener received a part of the text, so a retry
    would repeat it. `sent` is False if the request was never sent. `retries` counts the requests
    that were sent again before. `looped`: the answer repeats itself, so more tokens do not end it.
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
        message, hint = redact(message), redact(hint)  # a server may echo the key
        super().__init__(message)
        self.kind, self.message, self.retryable, self.hint = kind, message, retryable, hint
        self.retry_after_s = retry_after_s
        self.paid, self.heard, self.sent = tuple(paid), heard, sent
        self.outcomes: Sequence[Answer | ModelFailure] = ()
        self.retries, self.looped = 0, False

    def __reduce__(self) -> tuple[Any, ...]:
        return _failure_again, (type(self), self.args, self.__dict__)


def _failure_again(
    cls: type[ModelFailure], args: tuple[Any, ...], state: dict[str, Any]
) -> ModelFailure:
    """Restore a pickled failure in another process."""
    failure = cls.__new__(cls, *args)
    failure.__dict__.update(state)
    return failure


@frozen
class Capabilities:
    """The abilities of a backend. The executor asks for nothing else."""

    json_schema: bool = False
    logprobs: bool = False
    multiple_samples: bool = False  # gives `Request.n` samples in one request
    adapters: bool = False
    seed: bool = False
    local: bool = False  # runs in this process: batches itself, needs no key or network
    cacheable: bool = True  # False if equal requests may get different answers
    default_layout: str = "chat"  # of calls whose result is not a plain string
    tools: bool = False  # may be offered tools, and its answers call them
    grammar: bool = False  # enforces `Request.grammar`, so types in every layout
    embeds: bool = False  # answers texts with vectors, and no prompts
    continues: bool = False  # goes on with a last message of the assistant
    media: tuple[str, ...] = ()  # the kinds that it takes: "image", "audio", "pdf"
    deferred: bool = False  # answers come by a batch, hours later: no timeout holds


@frozen
class Price:
    """USD per million tokens. What is None costs as much as other tokens of its side.

    `cached` and `written` are tokens that a provider reads from its cache of prompts, and writes
    into it. `audio` is of prompts, `spoken` of answers. Of a prompt with more tokens than a start
    in `tiers`, all tokens have the price there.
    """

    input: float
    output: float
    cached: float | None = None
    written: float | None = None
    audio: float | None = None
    spoken: float | None = None
    tiers: tuple[tuple[int, Price], ...] = ()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Price | None:
        """Read `price: {input: …, output: …}` from a model's settings, if both are set."""
        price = settings.get("price")
        if price is None or price.get("input") is None or price.get("output") is None:
            return None  # one of them alone would let a budget pass what the other one costs
        more: Any = {n: float(price[n]) for n in PRICED if price.get(n) is not None}
        return cls(float(price["input"]), float(price["output"]), **more)

    def cost_usd(
        self, prompt_tokens: int, completion_tokens: int, details: TokenDetails = NO_DETAILS
    ) -> float:
        """The cost of some tokens in US dollars."""
        price = self._of(prompt_tokens)
        usd = prompt_tokens * price.input + completion_tokens * price.output
        if details is not NO_DETAILS:
            for name in PRICED:
                if (own := getattr(price, name)) is not None:
                    usual = price.output if name == "spoken" else price.input
                    usd += getattr(details, name) * (own - usual)
        return max(usd, 0.0) / 1e6

    def most_usd(self, prompt_tokens: int, completion_tokens: int, *, audio: bool) -> float:
        """The most that some tokens may cost: all are written into a cache, or are of audio."""
        price = self._of(prompt_tokens)
        kinds = [price.input, price.written, price.audio if audio else None]
        dearest = max(dollars for dollars in kinds if dollars is not None)
        return (prompt_tokens * dearest + completion_tokens * price.output) / 1e6

    def scaled(self, share: float) -> Price:
        """The price at a share of this one."""
        more: Any = {n: None if (p := getattr(self, n)) is None else p * share for n in PRICED}
        tiers = tuple((start, price.scaled(share)) for start, price in self.tiers)
        return Price(self.input * share, self.output * share, tiers=tiers, **more)

    def _of(self, prompt_tokens: int) -> Price:
        """The price for a prompt of a length."""
        for start, price in reversed(self.tiers):
            if prompt_tokens > start:
                return price
        return self


PRICED = ("cached", "written", "audio", "spoken")  # kinds of tokens with a price of their own


class Backend(Protocol):
    """One endpoint or engine. Its coroutines run on lmc's own event loop only."""

    capabilities: Capabilities
    price: Price | None  # None if not known

    @property
    def endpoint(self) -> str:
        """Identifies the server or engine in cache keys. Two endpoints never share answers."""
        ...

    async def generate(self, request: Request) -> Sequence[Answer]:
        """`request.n` answers, in order of sample index. Raises: ModelFailure.

        The first answer alone counts the prompt tokens of the request. The caller enforces
        `request.timeout_s` and cancels.
        """
        ...

    async def close(self) -> None:
        """Release connections and memory."""
        ...
