"""All providers of litellm, for model names without another backend."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from lmc.consent import OWN, Consent
from lmc.diagnostics import LmcError, did_you_mean
from lmc.media.content import KINDS
from lmc.models.addresses import require_base_url, without_secrets
from lmc.models.base import (
    NO_DETAILS,
    Answer,
    Capabilities,
    Message,
    ModelFailure,
    Price,
    Request,
    Sampling,
    ToolCall,
    cut_at_stop,
)
from lmc.models.border import (
    WrongReply,
    content_text,
    dollars,
    is_number,
    read_usage,
    reasoning_in,
)
from lmc.models.dialect import response_format
from lmc.models.http_failures import CONTEXT_EXCEEDED, failure_from_response, retry_after_s
from lmc.models.media_parts import with_parts
from lmc.models.origins import (
    Address,
    is_allowed,
    require_address,
    require_passing,
    require_variable,
)
from lmc.models.passed_on import merged, passes_on
from lmc.models.prices import known_price
from lmc.models.prompt_caches import Beginnings
from lmc.models.redirects import refused_redirects
from lmc.models.thinking_budgets import OFF, effort
from lmc.models.tool_calls import (
    read_calls,
    refuses_choice,
    refuses_tools,
    wire_message,
    without_tool_turns,
)
from lmc.redaction import redact, remember

if TYPE_CHECKING:
    from lmc.models.litellm_batches import MessageBatches

# Two releases on PyPI were malicious. Releases below the minimum have known vulnerabilities.
_MALICIOUS = ("1.82.7", "1.82.8")
_FLOOR = (1, 83, 10)
_BATCHING = "anthropic"  # the provider whose batches lmc knows
_FOLLOWS_REDIRECTS = "aiohttp_openai/"  # another client for `openai/`, which is not httpx's
# Exceptions of litellm by name (subclasses before their bases): kind, and whether to retry.
_KINDS: Mapping[str, tuple[str, bool]] = {
    "ContextWindowExceededError": ("context_length", False),
    "ContentPolicyViolationError": ("content_filter", False),
    "AuthenticationError": ("auth", False),
    "PermissionDeniedError": ("auth", False),
    "NotFoundError": ("not_found", False),
    "RateLimitError": ("rate_limit", True),
    "Timeout": ("timeout", True),
    "APIConnectionError": ("connection", True),
    "ServiceUnavailableError": ("server", True),
    "BadGatewayError": ("server", True),
    "InternalServerError": ("server", True),
    "BadRequestError": ("bad_request", False),
    "UnprocessableEntityError": ("bad_request", False),
    "APIError": ("server", True),
}


class LiteLLM:
    """One model behind litellm's SDK. Calls run on the caller's event loop."""

    embeds = False  # whether answers are vectors, which cost nothing beside their prompts

    def __init__(
        self, litellm: Any, model: str, *, base_url: str | None = None, key_env: str | None = None
    ) -> None:
        self._litellm, self._model = litellm, model
        self._base_url, self._key_env = base_url, key_env
        self._beginnings = Beginnings()
        self.provider = str(litellm.get_llm_provider(model)[1])
        self.endpoint = f"litellm:{without_secrets(base_url) or 'default'}"
        self.capabilities = _capabilities(litellm, model)
        self._thinks_by_tokens = "thinking" in _parameters(litellm, model)
        own = _table_price(litellm, model, base_url, embeds=self.embeds)
        self._litellm_prices = own is None
        self.price: Price | None = own or _price(litellm, model, embeds=self.embeds)
        self.batches: MessageBatches | None = None  # if messages go by a batch API

    def leave_prices(self) -> None:
        """Say no costs, as the user gave a price."""
        self._litellm_prices = False

    def by_batches(self, settings: Mapping[str, Any]) -> None:
        """Send messages by Anthropic's batch API from now on.

        Raises: LmcError[headers-in-batch].
        """
        from lmc.models.litellm_batches import MessageBatches

        self.batches = MessageBatches(settings, self._key_env, self.price)
        self.capabilities = replace(self.capabilities, deferred=True)
        self.price = self.batches.chats.reserved

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Ask through litellm, without its own retries. Raises: ModelFailure."""
        arguments = self._arguments(request)
        start_s = time.perf_counter()
        if self.batches is None:
            response, late = await self._completed(arguments), False
        else:
            response, late = await self._late(arguments, request.index)
        latency_ms = (time.perf_counter() - start_s) * 1000
        answers = self._answers(response, request, latency_ms)
        return self.batches.chats.priced(answers) if self.batches and late else answers

    async def _late(self, arguments: dict[str, Any], index: int) -> tuple[Any, bool]:
        """The reply, and whether a batch gave it."""
        from lmc.models.litellm_batches import carrying

        assert self.batches is not None
        with carrying(index) as carried:
            response = await self._completed({**arguments, "client": self.batches.client()})
        return response, carried.late

    async def _completed(self, arguments: dict[str, Any]) -> Any:
        """The reply. Where the model may not be made to call a tool, it is only offered them."""
        try:
            return await self._asked(self._litellm.acompletion, arguments)
        except ModelFailure as failure:
            if failure.kind != "bad_request" or "tools" not in arguments:
                raise
            told = failure.message
        if refuses_choice(400, told):
            del arguments["tool_choice"]
            return await self._asked(self._litellm.acompletion, arguments)
        kind = "no_tools" if refuses_tools(400, told) else "bad_request"
        raise ModelFailure(kind, told, retryable=False)

    async def _asked(self, ask: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
        """Ask without following redirects. Raises: ModelFailure."""
        with refused_redirects() as statuses:
            try:
                response = await ask(**arguments)
            except Exception as e:  # litellm lets through whatever its providers' clients raise
                carried = self.batches.failure() if self.batches else None
                raise carried or self._redirected(statuses) or self._failure(e) from None
        if redirected := self._redirected(statuses):
            raise redirected
        return response

    def _redirected(self, statuses: Sequence[int]) -> ModelFailure | None:
        return failure_from_response(self._model, statuses[0], {}, "", None) if statuses else None

    async def close(self) -> None:
        """Close the connections that litellm keeps."""
        if self.batches is not None:
            await self.batches.close()
        from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

        await close_litellm_async_clients()

    def _arguments(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        arguments: dict[str, Any] = {
            "messages": self._messages(request),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": None if sampling.seed is None else sampling.seed + request.index,
            "logprobs": request.logprobs or None,
            "n": request.n if request.n > 1 else None,
            "response_format": response_format(request.schema),
            "tools": list(request.tools) or None,
            "tool_choice": "required" if request.tools else None,
            # litellm's own gateway to MCP servers would want the package `mcp`.
            "_skip_mcp_handler": True if request.tools else None,
        }
        body = {**self._connection(request), **_given(arguments), "drop_params": True}
        return {**body, **_wished(sampling, by_tokens=self._thinks_by_tokens)}

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        turns = with_parts(_taken(request), request.media)
        messages: Sequence[Mapping[str, Any]] = [wire_message(message) for message in turns]
        wish: Any = request.sampling.cache_prompt
        if wish and "claude" in self._model.lower():  # others cache by themselves
            messages = self._beginnings.marked(messages, wish)
        return [dict(message) for message in messages]

    def _connection(self, request: Request) -> dict[str, Any]:
        """The arguments of any request: model, server, key, timeout, and no retries by litellm."""
        arguments = {
            "model": self._named(request.adapter),
            "timeout": request.timeout_s,
            "api_base": self._base_url,
            "api_key": os.environ.get(self._key_env) if self._key_env else None,
        }
        return {**_given(arguments), "num_retries": 0, "max_retries": 0}

    def _named(self, adapter: str | None) -> str:
        """The model, or an adapter of the same provider, since another would get its key."""
        if adapter is None:
            return self._model
        own = self._model.partition("/")[0]
        if "://" in adapter or adapter.partition("/")[0] != own:
            message = f"the adapter `{adapter}` is not one of the provider `{own}`"
            raise ModelFailure("not_found", message, retryable=False)
        return adapter

    def _answers(self, response: Any, request: Request, latency_ms: float) -> list[Answer]:
        """Read litellm's reply, which it builds without checking types."""
        choices = list(getattr(response, "choices", None) or ())[: request.n]
        if not choices:
            message = f"{self._model}: the reply has no choices"
            raise ModelFailure("server", message, retryable=True)
        prompt_tokens, completion, details = read_usage(_as_dict(getattr(response, "usage", None)))
        share, rest = divmod(completion, len(choices))
        cost_usd = self._cost_usd(response)
        try:
            said = [_said(choice, request) for choice in choices]
        except (WrongReply, AttributeError, TypeError) as wrong:
            message = f"{self._model}: an invalid reply ({wrong})"
            raise ModelFailure("server", message, retryable=True) from None
        return [
            Answer(
                text,
                prompt_tokens if i == 0 else 0,
                share + (i < rest),
                cost_usd if i == 0 else 0.0,
                finish,
                logprobs,
                latency_ms,
                tool_calls=calls,
                reasoning=reasoning_in(_as_dict(choices[i].message)),
                details=details if i == 0 else NO_DETAILS,
            )
            for i, (text, finish, logprobs, calls) in enumerate(said)
        ]

    def _cost_usd(self, response: Any) -> float:
        """The cost by litellm's table; 0 where the price is that of another table."""
        if not self._litellm_prices:
            return 0.0
        try:
            return dollars(self._litellm.completion_cost(response, model=self._model))
        except Exception:  # the price of this model is not known
            return 0.0

    def _failure(self, e: Exception) -> ModelFailure:
        names = [cls.__name__ for cls in type(e).__mro__]
        kind, retryable = next((_KINDS[n] for n in names if n in _KINDS), ("bad_request", False))
        if kind == "bad_request" and CONTEXT_EXCEEDED.search(str(e)):
            kind = "context_length"
        hint = f"check the key in {self._key_env or 'the environment'}" if kind == "auth" else ""
        headers = getattr(getattr(e, "response", None), "headers", None) or {}
        return ModelFailure(
            kind,
            f"{self._model}: {self._redact(str(e))[:600]}",
            retryable=retryable,
            hint=hint,
            retry_after_s=retry_after_s(headers) if retryable else None,
        )

    def _redact(self, text: str) -> str:
        if self._key_env:
            remember(self._key_env, os.environ.get(self._key_env))
        return redact(text)


def _wished(sampling: Sampling, *, by_tokens: bool) -> dict[str, Any]:
    """How much to think, and what is passed on, as litellm takes it for every provider."""
    found: dict[str, Any] = {}
    if sampling.extra:
        found["extra_body"] = merged({}, sampling.extra)
    if sampling.headers:
        found["extra_headers"] = dict(sampling.headers)
    wanted = sampling.reasoning
    if isinstance(wanted, int) and wanted > 0 and by_tokens:
        found["thinking"] = {"type": "enabled", "budget_tokens": wanted}
    elif wanted is not None:
        word = effort(wanted)
        found["reasoning_effort"] = "none" if word == OFF else word
    return found


def open_litellm(model: str, settings: Mapping[str, Any]) -> LiteLLM:
    """Open a model by its litellm name.

    Raises: LmcError[missing-extra, unknown-model, missing-key, host-not-allowed, key-not-allowed].
    """
    backend = open_with(LiteLLM, model, settings)
    if settings.get("batch_api") is not None and backend.provider == _BATCHING:
        backend.by_batches(settings)
    return backend


def open_with(kind: type[_Kind], model: str, settings: Mapping[str, Any]) -> _Kind:
    """Open a model as the given kind of litellm backend. Raises: as `open_litellm`."""
    refuse_bad_version(version("litellm"))
    litellm = _imported()
    _known_provider(litellm, model)
    key_env, base_url = _reached(litellm, model, settings)
    missing = _missing_keys(litellm, model, key_env, base_url)
    if missing:
        raise LmcError.of(
            "missing-key",
            f"model `{model}` needs a key: {' and '.join(missing)} not set",
            help=f"export {missing[0]}=…, or name another variable with `api_key_env`",
        )
    backend = kind(litellm, model, base_url=base_url, key_env=key_env)
    if Price.from_settings(settings):
        backend.leave_prices()
    return backend


def _reached(
    litellm: Any, model: str, settings: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """The key variable and the address for litellm, which reads all others by itself.

    lmc cannot know which keys would go to an address. So a program that names one needs consent.
    """
    consent: Consent = settings.get("consent") or OWN
    address, key_env = Address.of(settings, None), settings.get("api_key_env")
    if address is not None:
        require_base_url(address.url)
        require_address(address, consent)
    if key_env and not settings.get("users") and not (address and is_allowed(address, consent)):
        provider = str(litellm.get_llm_provider(model)[1])
        require_variable(str(key_env), provider, consent)
    if passes_on(settings):
        provider = str(litellm.get_llm_provider(model)[1])
        allowed = is_allowed(address, consent) if address else provider in consent.allowed_hosts()
        require_passing(address.host if address else provider, allowed, settings)
    return key_env, address.url if address else None


def refuse_bad_version(installed: str) -> None:
    """Refuse a bad release before it is imported. Raises: LmcError[missing-extra]."""
    numbers = tuple(int(n) for n in re.findall(r"\d+", installed)[:3])
    if numbers >= _FLOOR:
        return
    known = "malicious" if installed in _MALICIOUS else "a release with known vulnerabilities"
    raise LmcError.of(
        "missing-extra",
        f"litellm {installed} is {known}, so lmc does not import it",
        help='pip install -U "lmc-lang[litellm]"',
    )


_Kind = TypeVar("_Kind", bound=LiteLLM)


def _imported() -> Any:
    # Without this, the import of litellm downloads its price map.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


def _known_provider(litellm: Any, model: str) -> None:
    if "://" in model:  # some providers of litellm accept an address as the name
        message = f"the name of the model `{model}` contains an address"
        raise LmcError.of("unknown-model", message, help="write `base_url` for the address")
    if model.startswith(_FOLLOWS_REDIRECTS):
        help = f"write `openai/{model.removeprefix(_FOLLOWS_REDIRECTS)}`"
        raise LmcError.of("unknown-model", f"model `{model}` is not for lmc", help=help)
    try:
        litellm.get_llm_provider(model)
    except Exception:
        providers = [str(getattr(p, "value", p)) for p in litellm.provider_list]
        provider = model.partition("/")[0]
        near = did_you_mean(provider, [*providers, "hf", "openai", "hosted_vllm", "ollama"])
        help = f"did you mean `{near}/`?" if near else "`lmc models` lists the providers"
        message = f"model `{model}` has no known provider"
        raise LmcError.of("unknown-model", message, help=help) from None


def _missing_keys(litellm: Any, model: str, key_env: str | None, base_url: str | None) -> list[str]:
    if key_env:
        return [] if os.environ.get(key_env) else [key_env]
    if base_url:  # a user's own server may need no key
        return []
    return list(litellm.validate_environment(model)["missing_keys"])


def _parameters(litellm: Any, model: str) -> set[str]:
    """The parameters that litellm knows of a model; none if its provider is in no table."""
    try:
        return set(litellm.get_supported_openai_params(model=model) or ())
    except Exception:  # litellm has no table for this provider
        return set()


def _capabilities(litellm: Any, model: str) -> Capabilities:
    try:
        taken = set(litellm.get_supported_openai_params(model=model) or ())
        schemas = bool(litellm.supports_response_schema(model))
    except Exception:  # litellm has no table for this provider
        taken, schemas = set(), False
    return Capabilities(
        json_schema=schemas,
        logprobs="logprobs" in taken,
        multiple_samples="n" in taken,
        seed="seed" in taken,
        continues=_continues(litellm, model),
        tools="tools" in taken,
        media=_media(litellm, model),
    )


def _continues(litellm: Any, model: str) -> bool:
    """Whether a model goes on with a last message of the assistant, as far as litellm knows."""
    try:
        return bool(litellm.get_model_info(model).get("supports_assistant_prefill"))
    except Exception:  # litellm does not know the model
        return False


def _media(litellm: Any, model: str) -> tuple[str, ...]:
    """The kinds of media that a model takes by litellm's table; all if it is not in there."""
    ask = {"image": "supports_vision", "audio": "supports_audio_input", "pdf": "supports_pdf_input"}
    try:
        litellm.get_model_info(model)
    except Exception:  # not in the table: the provider decides
        return KINDS
    return tuple(kind for kind in KINDS if getattr(litellm.utils, ask[kind])(model))


def _table_price(litellm: Any, model: str, base_url: str | None, *, embeds: bool) -> Price | None:
    """The price by the table that all providers share. A server of one's own is in no table."""
    name, provider, *_ = litellm.get_llm_provider(model)
    if base_url:
        return known_price(str(name), url=base_url, embeds=embeds)
    return known_price(str(name), provider=str(provider), embeds=embeds)


def _price(litellm: Any, model: str, *, embeds: bool) -> Price | None:
    try:
        info = litellm.get_model_info(model)
    except Exception:  # not in the price map
        return None
    given, said = info.get("input_cost_per_token"), info.get("output_cost_per_token")
    return Price(given * 1e6, (said or 0.0) * 1e6) if given and (said or embeds) else None


def _taken(request: Request) -> Sequence[Message]:
    """The messages, with calls of tools as text if none are offered.

    Anthropic's API and others take such turns only together with `tools`.
    """
    return request.messages if request.tools else without_tool_turns(request.messages)


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


_Said = tuple[str, str, tuple[float, ...] | None, tuple[ToolCall, ...]]


def _said(choice: Any, request: Request) -> _Said:
    """Text, finish reason, log-probabilities and calls of one choice. Raises: WrongReply."""
    message = choice.message
    text = content_text(message.content)
    finish = choice.finish_reason or "stop"
    if refusal := getattr(message, "refusal", None):
        text, finish = text or str(refusal), "refusal"
    elif not text and getattr(message, "tool_calls", None) and finish != "length":
        finish = "tool_calls"
    text = cut_at_stop(text, request.sampling.stop)
    logprobs = _logprobs(choice) if request.logprobs else None
    return text, str(finish), logprobs, _calls(message) if request.tools and not refusal else ()


def _calls(message: Any) -> tuple[ToolCall, ...]:
    """The calls of a message."""
    return read_calls(_as_dict(message))


def _as_dict(part: Any) -> dict[str, Any]:
    """A part of a reply. litellm makes them pydantic models, whatever the provider sent."""
    if part is None or isinstance(part, dict):
        return part or {}
    dump = getattr(part, "model_dump", None)
    found = dump() if dump is not None else vars(part)
    return found if isinstance(found, dict) else {}


def _logprobs(choice: Any) -> tuple[float, ...] | None:
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    values = [token.logprob for token in content or ()]
    return tuple(map(float, values)) if values and all(map(is_number, values)) else None
