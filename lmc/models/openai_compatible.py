"""Chat completions over HTTP, as OpenAI, vLLM, SGLang, llama.cpp, Ollama and others serve them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from lmc.diagnostics import LmcError
from lmc.models import quick_json
from lmc.models.base import Answer, Capabilities, ModelFailure, Price, Request, cut_at_stop
from lmc.models.event_stream import EventStream, Listener
from lmc.models.http_failures import failure_from_response, refused_parameter
from lmc.models.origins import Address, key_to_send

_log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
OLLAMA_URL = "http://localhost:11434/v1"
_CONNECT_TIMEOUT_S = 15.0
_KEEP_ALIVE_S = 30.0
# Left out for good once the server refuses them; every other refused parameter is an error.
_OPTIONAL = ("temperature", "top_p", "seed", "stop", "logprobs", "response_format", "n")
# Newer models of OpenAI want the second name, other servers know only the first.
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class OpenAICompatible:
    """One endpoint that speaks /chat/completions.

    The key is read from the environment at the first request and kept in the headers of the session
    only: it is in no message, no cache key and no representation of this object.
    """

    def __init__(self, base_url: str, *, key_env: str | None = "OPENAI_API_KEY") -> None:
        self._url = URL(base_url.rstrip("/") + "/chat/completions")
        self.endpoint = str(URL(base_url.rstrip("/")).with_user(None).with_query(None))
        self.capabilities = Capabilities(
            json_schema=True, logprobs=True, multiple_samples=True, adapters=True, seed=True
        )
        self.price: Price | None = None
        self.key_env = key_env
        self._limit_name = "max_completion_tokens" if self.official else "max_tokens"
        self._refused: set[str] = set()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def official(self) -> bool:
        """Whether this is OpenAI itself, where nothing goes without a key."""
        return self._url.host == "api.openai.com"

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Ask once for all samples, or again for those that the server left out."""
        answers = await self._ask(request) if "n" not in self._refused or request.n == 1 else []
        if len(answers) < request.n:  # Ollama and others take `n` and give one choice
            self._refused.add("n")
            answers += await self._ask_singly(request, len(answers))
        return answers[: request.n]

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, request: Request) -> list[Answer]:
        start_s = time.perf_counter()
        payload = self._payload(request)
        listen = request.on_text if request.n == 1 and "stream" not in self._refused else None
        if listen is not None:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        body = await self._post(payload, listen)
        try:
            return _answers(body, request, (time.perf_counter() - start_s) * 1000)
        except (KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError) as e:
            message = f"{self.endpoint} sent an answer without choices ({type(e).__name__}: {e})"
            raise ModelFailure("server", message, retryable=True) from None

    async def _ask_singly(self, request: Request, first: int) -> list[Answer]:
        places = range(first, request.n)
        singles = (replace(request, index=request.index + i, n=1) for i in places)
        answers = await asyncio.gather(*(self._ask(one) for one in singles))
        return [samples[0] for samples in answers]

    async def _post(self, payload: dict[str, Any], listen: Listener | None = None) -> Any:
        while True:
            status, headers, raw = await self._exchange(payload, listen)
            if status == 200:
                return self._decode(raw)
            text = raw.decode("utf-8", "replace")
            if status not in (400, 422) or not self._adapt(payload, text):
                raise failure_from_response(
                    self.endpoint, status, headers, self._redact(text), self.key_env
                )

    async def _exchange(
        self, payload: dict[str, Any], listen: Listener | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        data = quick_json.encode(payload)
        try:
            async with self._open_session().post(self._url, data=data) as response:
                streamed = response.content_type == "text/event-stream"
                if listen is None or not streamed or response.status != 200:
                    return response.status, response.headers, await response.read()
                return 200, response.headers, await self._listen(response, listen)
        except TimeoutError:
            raise _unreachable("timeout", f"{self.endpoint} took too long to answer") from None
        except (aiohttp.ClientError, OSError) as e:
            reason = str(e) or type(e).__name__
            raise _unreachable("connection", f"{self.endpoint}: {self._redact(reason)}") from None

    async def _listen(self, response: aiohttp.ClientResponse, listen: Listener) -> bytes:
        """Pass the pieces on; give the body that the server would have sent in one piece."""
        events = EventStream(listen)
        try:
            async for data in response.content.iter_any():
                events.feed(data)
        except (aiohttp.ClientError, OSError) as e:
            if not events.heard:
                raise
            # Said aloud already: to ask again would say it twice.
            message = f"{self.endpoint} broke off in the middle of its answer: {e}"
            raise ModelFailure("broken_stream", message, retryable=False) from None
        return events.body()

    def _decode(self, raw: bytes) -> Any:
        try:
            return quick_json.decode(raw)
        except ValueError:
            message = f"{self.endpoint} sent no valid JSON: {raw[:80]!r}"
            raise ModelFailure("server", message, retryable=True) from None

    def _payload(self, request: Request) -> dict[str, Any]:
        sampling, refused = request.sampling, self._refused
        payload: dict[str, Any] = {
            "model": request.adapter or request.model,
            "messages": request.messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._limit_name: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": None if sampling.seed is None else sampling.seed + request.index,
            "logprobs": request.logprobs or None,
            "response_format": _response_format(request.schema),
            "n": request.n if request.n > 1 else None,
        }
        return {k: v for k, v in payload.items() if v is not None and k not in refused}

    def _adapt(self, payload: dict[str, Any], error_text: str) -> bool:
        """Change the payload to what the server takes, from now on too; False if it cannot."""
        refused = refused_parameter(error_text, payload)
        if refused == self._limit_name:
            self._refused.add(refused)
            self._limit_name = _OTHER_LIMIT[refused]
            payload[self._limit_name] = payload.pop(refused)
            return self._limit_name not in self._refused
        if refused is None or refused not in _OPTIONAL:
            return False
        _log.warning("%s refuses `%s`; it is no longer sent", self.endpoint, refused)
        self._refused.add(refused)
        del payload[refused]
        return True

    def _open_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop, self._session = loop, self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        key = os.environ.get(self.key_env) if self.key_env else None
        headers = {"Content-Type": "application/json", "User-Agent": "lmc"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return aiohttp.ClientSession(
            # How many requests are in flight is the caller's decision: no second limit here.
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=300
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            trust_env=_behind_proxy(),
        )

    def _redact(self, text: str) -> str:
        key = os.environ.get(self.key_env) if self.key_env else None
        return text.replace(key, "***") if key else text


def open_openai(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`openai/…`: OpenAI itself, or whatever `base_url` or OPENAI_BASE_URL names."""
    usual = os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    return _open(Address.of(settings, usual), settings, "OPENAI")


def open_ollama(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`ollama/…`: a local Ollama, or the one at `base_url`."""
    return _open(Address.of(settings, OLLAMA_URL), settings, "OLLAMA")


def open_vllm(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`hosted_vllm/…` and `vllm/…`: a server at `base_url` or HOSTED_VLLM_API_BASE.

    Raises: LmcError[missing-base-url].
    """
    address = Address.of(settings, os.environ.get("HOSTED_VLLM_API_BASE"))
    if address is None:
        raise LmcError.of(
            "missing-base-url",
            f"the address of the server for model `{model}` is not known",
            help='add `base_url: "http://host:8000/v1"` or set HOSTED_VLLM_API_BASE',
        )
    return _open(address, settings, "HOSTED_VLLM")


def _open(address: Address | None, settings: Mapping[str, Any], provider: str) -> OpenAICompatible:
    """Open a server, with a key only where that belongs. Raises: LmcError, as `key_to_send`."""
    assert address is not None
    key_env = key_to_send(address, provider, f"{provider}_API_KEY", settings)
    backend = OpenAICompatible(address.url, key_env=key_env)
    needed = backend.official or settings.get("api_key_env")
    if key_env and needed and not os.environ.get(key_env):
        raise LmcError.of(
            "missing-key",
            f"{backend.endpoint} needs a key, and {key_env} is not set",
            help=f"export {key_env}=…, or name another variable with `api_key_env`",
        )
    return backend


def _response_format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "result", "schema": schema}}


def _answers(body: Any, request: Request, latency_ms: float) -> list[Answer]:
    choices = sorted(body["choices"], key=lambda choice: choice.get("index") or 0)
    usage = body.get("usage") or {}
    share, rest = divmod(usage.get("completion_tokens") or 0, len(choices))
    prompt_tokens = usage.get("prompt_tokens") or 0
    return [
        _answer(choice, request, prompt_tokens if i == 0 else 0, share + (i < rest), latency_ms)
        for i, choice in enumerate(choices)
    ]


def _answer(
    choice: Mapping[str, Any],
    request: Request,
    prompt_tokens: int,
    completion_tokens: int,
    latency_ms: float,
) -> Answer:
    message = choice["message"]
    text = message.get("content") or message.get("refusal") or ""
    finish = "refusal" if message.get("refusal") else choice.get("finish_reason") or "stop"
    tokens = (choice.get("logprobs") or {}).get("content") if request.logprobs else None
    logprobs = tuple(token["logprob"] for token in tokens) if tokens else None
    text = cut_at_stop(text, request.sampling.stop)
    return Answer(text, prompt_tokens, completion_tokens, 0.0, finish, logprobs, latency_ms)


def _unreachable(kind: str, message: str) -> ModelFailure:
    hint = "is the server running, and is its address right?" if kind == "connection" else ""
    return ModelFailure(kind, message, retryable=True, hint=hint)


def _behind_proxy() -> bool:
    # Asking aiohttp to look at the environment costs time on each request.
    return any(
        os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
    )
