"""A model of a program, bound to its backend, with its settings parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lmc.diagnostics import Diagnostic, error
from lmc.frozen import frozen
from lmc.models.base import Answer, Backend, Price, Request, Sampling
from lmc.models.media_parts import media_tokens
from lmc.models.passed_on import body_text, header_pairs
from lmc.models.tool_calls import message_data
from lmc.requests.budget import Budget
from lmc.requests.pacing import Gate
from lmc.requests.retry import RetryPolicy
from lmc.requests.usage import Usage

DEFAULT_CONCURRENCY = 64
_LOCAL_CONCURRENCY = 4096  # a local engine batches the waiting requests itself
_DEFERRED_CONCURRENCY = 1 << 20  # requests only wait for a batch
_TIMEOUT_S = 120.0
_LOCAL_TIMEOUT_S = 3600.0
# The `max_tokens` of programs without one, under a budget in tokens or money that needs a bound.
BUDGETED_MAX_TOKENS = 4096


@frozen
class BoundModel:
    """A model of the program, bound to its backend."""

    name: str  # as declared, or the full name
    backend: Backend
    model: str  # as the backend knows it
    settings: Mapping[str, Any]  # of the model; else those of the program
    sampling: Sampling
    retry: RetryPolicy
    price: Price | None
    timeout_s: float  # of one attempt, with its body or stream; a batch has a limit of its own
    deadline_s: float | None  # of all attempts and the waits between them
    gate: Gate
    budget: Budget | None = None  # the model's own
    given: bool = False  # a backend of the caller stands for it

    @property
    def shown(self) -> str:
        """The model in messages."""
        return f"the backend that was given for `{self.name}`" if self.given else f"`{self.name}`"

    @property
    def logprobs(self) -> bool:
        """Whether the model's settings ask for log-probabilities of its answers."""
        return bool(self.settings.get("logprobs")) and self.backend.capabilities.logprobs

    def keeping(self, cache: bool | str | None) -> bool | str:
        """Where answers are kept: True on disk, "memory", or False. A module's own setting wins."""
        keep: bool | str = self.settings.get("cache", True) if cache is None else cache
        return False if keep == "off" or not self.backend.capabilities.cacheable else keep

    def priced(self, answer: Answer) -> Answer:
        """The answer with its cost, if the price is known and the backend did not report a cost."""
        if self.price is None or answer.cost_usd:
            return answer
        tokens = answer.prompt_tokens, answer.completion_tokens
        cost_usd = self.price.cost_usd(*tokens, answer.details)
        return replace(answer, cost_usd=cost_usd) if cost_usd else answer

    def usage(self, calls: int, prompt_tokens: int, completion_tokens: int) -> Usage:
        """The usage of some calls, with its cost."""
        usd = self.price.cost_usd(prompt_tokens, completion_tokens) if self.price else 0.0
        return Usage(calls, 0, prompt_tokens, completion_tokens, usd)

    def worst_case(self, request: Request) -> Usage:
        """An upper bound for the usage of a request. No token is shorter than a byte."""
        said = (m["content"] + message_data(m) for m in request.messages)
        text = sum(len(words.encode("utf-8", "replace")) + 16 for words in said) + 16
        if request.schema is not None:
            text += len(str(request.schema))
        if request.tools:
            text += len(str(request.tools).encode("utf-8", "replace"))
        text += media_tokens(request.media)
        # A server that gives one sample per request reads the prompt for each.
        prompt = text if self.backend.capabilities.local else text * request.n
        most = request.sampling.max_tokens or BUDGETED_MAX_TOKENS
        worst = self.usage(request.n, prompt, most * request.n)
        if self.price is None:
            return worst
        audio = any(media.kind == "audio" for media in request.media)
        usd = self.price.most_usd(worst.prompt_tokens, worst.completion_tokens, audio=audio)
        return replace(worst, cost_usd=usd)


def bind(
    name: str, backend: Backend, model: str, settings: Mapping[str, Any], budget: Budget | None
) -> BoundModel:
    """Bind a model to its backend and parse its settings."""
    local, deferred = backend.capabilities.local, backend.capabilities.deferred
    deadline = None if deferred else settings.get("deadline")
    price = Price.from_settings(settings)
    return BoundModel(
        name, backend, model, settings, _sampling(settings),
        RetryPolicy.from_settings(settings.get("retry")),
        backend.price if price is None or deferred else price,
        float(settings.get("timeout") or (_LOCAL_TIMEOUT_S if local else _TIMEOUT_S)),
        float(deadline) if deadline else None,
        Gate(_DEFERRED_CONCURRENCY) if deferred else
        Gate(_concurrency(settings, local=local), settings.get("rpm"), settings.get("tpm")),
        budget,
    )  # fmt: skip


def merge(own: Sampling, given: Sampling) -> Sampling:
    """The settings of `own`; else those of `given`."""
    return Sampling(
        given.temperature if own.temperature is None else own.temperature,
        given.top_p if own.top_p is None else own.top_p,
        given.max_tokens if own.max_tokens is None else own.max_tokens,
        own.stop or given.stop,
        given.seed if own.seed is None else own.seed,
        given.reasoning if own.reasoning is None else own.reasoning,
        given.strict if own.strict is None else own.strict,
        own.extra or given.extra,
        own.headers or given.headers,
        given.cache_prompt if own.cache_prompt is None else own.cache_prompt,
    )


def fallbacks(value: Sequence[str] | str | None) -> list[str]:
    """The names in a `fallback:` setting."""
    return [value] if isinstance(value, str) else list(value or ())


def unknown_price(bound: BoundModel) -> Diagnostic:
    """The error for a budget in money on a model whose price is not known: it could not hold."""
    return error(
        "unknown-price",
        f"the price of model `{bound.name}` is not known, so a budget in US dollars cannot hold",
        help="add `price: {input: …, output: …}` in US dollars per million tokens to the model,"
        " with 0 if it costs nothing; or limit `calls` or `tokens`",
    )


def _sampling(settings: Mapping[str, Any]) -> Sampling:
    stop = settings.get("stop") or ()
    return Sampling(
        settings.get("temperature"),
        settings.get("top_p"),
        settings.get("max_tokens"),
        (stop,) if isinstance(stop, str) else tuple(stop),
        settings.get("seed"),
        settings.get("reasoning"),
        settings.get("strict"),
        body_text(settings),
        header_pairs(settings),
    )


def _concurrency(settings: Mapping[str, Any], *, local: bool) -> int:
    given = settings.get("concurrency")
    return max(1, int(given)) if given else _LOCAL_CONCURRENCY if local else DEFAULT_CONCURRENCY
