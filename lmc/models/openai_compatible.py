"""Chat completions over HTTP, as served by OpenAI, vLLM, SGLang, llama.cpp, Ollama and others."""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from lmc.consent import OWN
from lmc.diagnostics import LmcError
from lmc.models import border, quick_json
from lmc.models.adapter_loading import NOT_LOADED, VARIABLE, AdapterLoader
from lmc.models.adapters import is_adapter_id
from lmc.models.addresses import require_base_url
from lmc.models.base import Answer, ModelFailure, Price, Request
from lmc.models.batch_service import BatchService
from lmc.models.batch_wire import BatchWire, MistralBatches
from lmc.models.batched_chats import BatchedChats
from lmc.models.dialect import Dialect, dialect_of
from lmc.models.event_stream import EventStream, Listener
from lmc.models.http_failures import (
    error_message,
    failure_from_response,
    failure_in_answer,
    limit_wait_s,
    may_refuse,
)
from lmc.models.origins import Address, is_allowed, key_to_send, require_passing
from lmc.models.passed_on import Headers
from lmc.models.prices import known_price
from lmc.models.server_kinds import KINDS, OTHER, ServerKind, kind_at
from lmc.redaction import redact, remember

OPENAI_URL = "https://api.openai.com/v1"
OLLAMA_URL = "http://localhost:11434/v1"
MOST_BYTES = 32 << 20  # of one reply, unpacked
_CONNECT_TIMEOUT_S = 15.0
_KEEP_ALIVE_S = 30.0
_ASIDE_S = 120.0  # for requests beside the chats, such as one that loads weights
_PLAIN = ("", "identity")


class OpenAICompatible:
    """One endpoint that speaks /chat/completions.

    The key is read from the environment at the first request and kept only in the headers of the
    session. Messages, cache keys and the `repr` of this object never contain it.
    """

    through_proxy = True  # if the environment names one

    def __init__(
        self,
        base_url: str,
        *,
        key_env: str | None = "OPENAI_API_KEY",
        kind: ServerKind | None = None,
    ) -> None:
        self.kind = kind or kind_at(base_url)
        self._url = URL(base_url.rstrip("/") + "/chat/completions")
        self.endpoint = str(URL(base_url.rstrip("/")).with_user(None).with_query(None))
        self.capabilities = self.kind.capabilities
        self.price: Price | None = None
        self.key_env = key_env
        self.requests = 0  # chats that were sent
        self.adapters: AdapterLoader | None = None  # if lmc loads its own into the server
        self.batches: BatchedChats | None = None  # if chats go by its batch API
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def official(self) -> bool:
        """Whether this is a provider's own host, which always needs a key."""
        return self._url.host in self.kind.hosts

    def by_batches(
        self, settings: Mapping[str, Any], share: float, service: BatchService | None = None
    ) -> None:
        """Send chats as batches from now on, which takes a share of the usual price.

        Without a service, it is the server's batch API. Raises: LmcError[headers-in-batch].
        """
        form = MistralBatches if self.kind.name == "mistral" else BatchWire
        own = form(self._url.parent.parent, self.endpoint, self.key_env, self._open_session)
        self.batches = BatchedChats(service or own, settings, self.price, share)
        self.capabilities = replace(self.capabilities, deferred=True)
        self.price = self.batches.reserved

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Ask once for all samples, then again for those that the server left out."""
        if self.batches is not None and request.on_text is not None:
            request = replace(request, on_text=None)  # nothing is heard before the whole answer
        if request.adapter is not None and is_adapter_id(request.adapter):
            return await self._adapted(request, request.adapter)
        return await self._generate(request)

    async def _adapted(self, request: Request, id: str) -> Sequence[Answer]:
        """The answers of an adapter of lmc, loaded before, and again if the server lost it."""
        if self.adapters is not None:
            await self.adapters.load(id)
        try:
            return await self._generate(request)
        except ModelFailure as failure:
            if failure.kind != "not_found":
                raise
            if self.adapters is None:
                failure.hint = NOT_LOADED
                raise
        self.adapters.forget(id)
        await _count_resend(request)
        await self.adapters.load(id)
        return await self._generate(request)

    async def _generate(self, request: Request) -> Sequence[Answer]:
        dialect = dialect_of(self.endpoint, request.model, self.kind)
        if request.tools and "tools" in dialect.refused:
            raise self._no_tools(sent=False)
        if request.n == 1:
            return await self._ask(request, dialect)
        answers = await self._ask(request, dialect) if request.n <= dialect.most_n else []
        if answers and len(answers) < request.n:  # Ollama and others take `n`, but give one choice
            dialect.gives_at_most(len(answers))
        return answers + await self._ask_in_parts(request, dialect, len(answers))

    async def listed(self) -> tuple[Mapping[str, str], Any]:
        """The headers and the body of the list of models. Raises: ModelFailure."""
        status, headers, raw = await self._received("GET", "models")
        text = raw.decode("utf-8", "replace")
        if status != 200:
            raise failure_from_response(self.endpoint, status, headers, text, self.key_env)
        try:
            return headers, quick_json.decode(raw)
        except (ValueError, RecursionError):
            raise self._bad_reply(f"sent no valid JSON: {raw[:80]!r}") from None

    async def _received(
        self, method: str, path: str, payload: Mapping[str, Any] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """The reply to a request beside the chats. Raises: ModelFailure if there is none."""
        url = self._url.parent.parent / path
        data = None if payload is None else quick_json.encode(dict(payload))
        session = self._open_session()
        try:
            async with (
                asyncio.timeout(_ASIDE_S),
                session.request(method, url, data=data, allow_redirects=False) as response,
            ):
                return response.status, response.headers, await self._body(response)
        except TimeoutError:
            raise _unreachable("timeout", f"{self.endpoint} took too long to answer") from None
        except (aiohttp.ClientError, OSError) as e:
            message = f"{self.endpoint}: {self._redact(str(e) or type(e).__name__)}"
            raise _unreachable("connection", message) from None

    async def close(self) -> None:
        """Close the connections."""
        if self.batches is not None:
            await self.batches.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, request: Request, dialect: Dialect) -> list[Answer]:
        """The answers to one HTTP request, which may be fewer than asked for."""
        while True:
            start_s = time.perf_counter()
            payload = dialect.payload(request)
            batches = self.batches
            late = await batches.ask(payload, request.index) if batches else None
            status, headers, raw = late or await self._at_once(payload, request)
            latency_ms = (time.perf_counter() - start_s) * 1000
            try:
                answers = self._answered(status, headers, raw, request, latency_ms)
                return batches.priced(answers) if batches and late else answers
            except ModelFailure as failure:
                text = raw.decode("utf-8", "replace")
                if status == 200 and failure.kind == "bad_request":
                    status = 400  # a router sends the error of a provider as its own success
                if request.tools and not dialect.may_offer(payload, status, text):
                    raise self._no_tools() from None
                if not may_refuse(status, text) or not dialect.adapt(payload, text):
                    raise
            if request.n > dialect.most_n:
                await _count_resend(request)
                return []
            await _count_resend(request)

    async def _at_once(
        self, payload: dict[str, Any], request: Request
    ) -> tuple[int, Mapping[str, str], bytes]:
        """The reply to a chat the ordinary way, for one that a batch left some at a time."""
        listen = request.on_text if "stream" in payload else None
        passed_on = request.sampling.headers
        if self.batches is None:
            return await self._exchange(payload, listen, passed_on)
        try:
            async with self.batches.at_once(request.timeout_s):
                return await self._exchange(payload)
        except TimeoutError:
            raise _unreachable("timeout", f"{self.endpoint} took too long to answer") from None

    def _answered(
        self,
        status: int,
        headers: Mapping[str, str],
        raw: bytes,
        request: Request,
        latency_ms: float,
    ) -> list[Answer]:
        """The answers of one response. Raises: ModelFailure."""
        if status == 200:
            return self._read(raw, headers, request, latency_ms)
        text = self._redact(raw.decode("utf-8", "replace"))
        raise failure_from_response(self.endpoint, status, headers, text, self.key_env)

    def _read(
        self, raw: bytes, headers: Mapping[str, str], request: Request, latency_ms: float
    ) -> list[Answer]:
        try:
            body = quick_json.decode(raw)
            found = border.error_in(body)
            answers = None if found else border.read_completion(body, request, latency_ms)
        except border.WrongReply as wrong:
            raise self._bad_reply(f"sent an invalid reply: {wrong}{_words(body)}") from None
        except (ValueError, RecursionError):
            raise self._bad_reply(f"sent no valid JSON: {raw[:80]!r}") from None
        if answers is None:
            raise failure_in_answer(self.endpoint, self._redacted(found), self.key_env)
        wait_s = limit_wait_s(headers)
        return [replace(answer, wait_s=wait_s) for answer in answers] if wait_s else answers

    async def _ask_in_parts(self, request: Request, dialect: Dialect, first: int) -> list[Answer]:
        """The samples from `first` on, by requests that ask for no more than the server gives.

        If one fails, the failure has the answers of the others, which were paid for.
        """
        most, starts = dialect.most_n, range(first, request.n, dialect.most_n)
        parts = (
            replace(request, index=request.index + i, n=min(most, request.n - i)) for i in starts
        )
        found = await asyncio.gather(*map(self._generate, parts), return_exceptions=True)
        failures = [part for part in found if isinstance(part, BaseException)]
        answers = [a for part in found if not isinstance(part, BaseException) for a in part]
        if failures:
            if isinstance(failures[0], ModelFailure):
                failures[0].paid = (*failures[0].paid, *answers)
            raise failures[0]
        return answers

    async def _exchange(
        self,
        payload: dict[str, Any],
        listen: Listener | None = None,
        passed_on: Headers = (),
    ) -> tuple[int, Mapping[str, str], bytes]:
        data, more = quick_json.encode(payload), dict(passed_on) or None
        session = self._open_session()
        self.requests += 1
        post = session.post(self._url, data=data, headers=more, allow_redirects=False)
        try:
            async with post as response:
                streamed = response.content_type == "text/event-stream"
                if listen is None or not streamed or response.status != 200:
                    return response.status, response.headers, await self._body(response)
                return 200, response.headers, await self._listen(response, listen)
        except TimeoutError:
            raise _unreachable("timeout", f"{self.endpoint} took too long to answer") from None
        except (aiohttp.ClientError, OSError) as e:
            reason = str(e) or type(e).__name__
            sent = not isinstance(e, aiohttp.ClientConnectorError)
            message = f"{self.endpoint}: {self._redact(reason)}"
            raise _unreachable("connection", message, sent=sent) from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The unpacked body. Raises: ModelFailure if it is larger than `MOST_BYTES`."""
        packing = response.headers.get("Content-Encoding", "").lower()
        if packing in _PLAIN and (response.content_length or MOST_BYTES) < MOST_BYTES:
            return await response.read()
        raw = bytearray()
        async for data in response.content.iter_any():
            raw += data
            if len(raw) > MOST_BYTES:
                raise self._too_large()
        return bytes(raw) if packing in _PLAIN else self._unpacked(bytes(raw), packing)

    def _unpacked(self, raw: bytes, packing: str) -> bytes:
        """Unpack a body that the server compressed against the request."""
        if packing not in ("gzip", "deflate"):
            raise self._bad_reply(f"compressed its reply as {packing[:20]!r}")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            body = unpack.decompress(raw, MOST_BYTES)
        except zlib.error as e:
            raise self._bad_reply(f"sent a reply that cannot be decompressed ({e})") from None
        if unpack.unconsumed_tail:
            raise self._too_large()
        return body

    async def _listen(self, response: aiohttp.ClientResponse, listen: Listener) -> bytes:
        """Pass the pieces on, and return the body as if the server had not streamed."""
        events, size = EventStream(listen), 0
        try:
            async for data in response.content.iter_any():
                size += len(data)
                if size > MOST_BYTES:
                    raise self._too_large()
                events.feed(data)
                if events.over:
                    break
        except (aiohttp.ClientError, OSError) as e:
            events.broke(str(e) or type(e).__name__)
        if events.failure is not None:
            failure = failure_in_answer(self.endpoint, self._redacted(events.failure), self.key_env)
        elif problem := events.missing():
            message = f"{self.endpoint} {self._redact(problem)}"
            failure = ModelFailure("broken_stream", message, retryable=True)
        else:
            return events.body()
        if not events.heard:
            raise failure
        # The listener has a part of the text, which a retry would repeat.
        raise ModelFailure("broken_stream", failure.message, retryable=False, heard=True)

    def _no_tools(self, *, sent: bool = True) -> ModelFailure:
        message = f"{self.endpoint} does not take `tools` for this model"
        return ModelFailure("no_tools", message, retryable=False, sent=sent)

    def _bad_reply(self, what: str) -> ModelFailure:
        return ModelFailure("server", f"{self.endpoint} {self._redact(what)}", retryable=True)

    def _too_large(self) -> ModelFailure:
        message = f"{self.endpoint} sent a reply of more than {MOST_BYTES >> 20} MiB"
        return ModelFailure("server", message, retryable=False)

    def _open_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop, self._session = loop, self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lmc",
            "Accept-Encoding": "identity",  # a small body may unpack to a huge one
        }
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        return aiohttp.ClientSession(
            # The caller limits the requests in flight, so there is no second limit here.
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=300
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            trust_env=self.through_proxy and _behind_proxy(),
            auto_decompress=False,
        )

    def _key(self) -> str | None:
        if not self.key_env:
            return None
        key = os.environ.get(self.key_env)
        remember(self.key_env, key)
        return key

    def _redact(self, text: str) -> str:
        self._key()  # what the environment has now is known from here on
        return redact(text)

    def _redacted(self, found: Any) -> Any:
        return quick_json.decode(self._redact(quick_json.encode(found).decode()))


def _words(body: Any) -> str:
    """What a reply without choices says instead; it is often an error in words of its own."""
    if isinstance(body, dict) and body.get("choices"):
        return ""
    return f"; it says: {error_message(quick_json.encode(body).decode())}"


async def _count_resend(request: Request) -> None:
    if request.on_resend is not None:
        await request.on_resend()


def open_openai(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`openai/…`: OpenAI itself, or the server that `base_url` or OPENAI_BASE_URL names."""
    usual = os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    return _open(model, Address.of(settings, usual), settings, "OPENAI")


def open_ollama(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`ollama/…`: an Ollama on this machine or at `base_url`."""
    return _open(model, Address.of(settings, OLLAMA_URL), settings, "OLLAMA", KINDS["ollama"])


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
    backend = _open(model, address, settings, "HOSTED_VLLM", KINDS["vllm"])
    backend.capabilities = replace(backend.capabilities, continues=True)
    return backend


def open_llamacpp(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`llama.cpp/…` with a `base_url`: a llama-server."""
    return _open(model, Address.of(settings, None), settings, "LLAMA", KINDS["llama.cpp"])


def open_provider(kind: ServerKind, model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`groq/…` and the like: a provider at its usual address, or at `base_url`."""
    return _open(model, Address.of(settings, kind.base_url), settings, kind.name.upper(), kind)


def _open(
    model: str,
    address: Address | None,
    settings: Mapping[str, Any],
    provider: str,
    usual: ServerKind = OTHER,
) -> OpenAICompatible:
    """Open a server, with a key only if it may go there. Raises: LmcError, as `key_to_send`."""
    assert address is not None
    require_base_url(address.url)
    key_env = key_to_send(address, provider, f"{provider}_API_KEY", settings)
    require_passing(address.host, is_allowed(address, settings.get("consent") or OWN), settings)
    kind = _kind(address.url, usual, settings.get("dialect"))
    backend = OpenAICompatible(address.url, key_env=key_env, kind=kind)
    backend.price = known_price(model, url=address.url)
    if settings.get("batch_api") is not None and kind.batch_price is not None:
        backend.by_batches(settings, kind.batch_price)
    if settings.get("load_adapters") or os.environ.get(VARIABLE) == "1":
        backend.adapters = AdapterLoader(backend.endpoint, backend._received)
    needed = backend.official or settings.get("api_key_env")
    if key_env and needed and not os.environ.get(key_env):
        raise LmcError.of(
            "missing-key",
            f"{backend.endpoint} needs a key, and {key_env} is not set",
            help=f"export {key_env}=…, or name another variable with `api_key_env`",
        )
    return backend


def _kind(url: str, usual: ServerKind, named: str | None) -> ServerKind:
    """The kind that the program names, else that of the host, else that of the model's prefix."""
    if named is not None:
        return KINDS[named]
    found = kind_at(url)
    return usual if found is OTHER else found


def _unreachable(kind: str, message: str, *, sent: bool = True) -> ModelFailure:
    hint = "is the server running, and is its address right?" if kind == "connection" else ""
    return ModelFailure(kind, message, retryable=True, hint=hint, sent=sent)


def _behind_proxy() -> bool:
    # Letting aiohttp read the environment would cost time on each request.
    return any(
        os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
    )
