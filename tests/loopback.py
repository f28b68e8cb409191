"""A real OpenAI-compatible server on a loopback port, scripted by a callable, with faults.

In tests: `with Loopback(script) as server: … server.url`. For benchmarks, in a process of its own:
`python -m tests.loopback --latency-ms 100` prints its base URL and serves until it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong instead of an answer."""

    status: int = 500
    message: str = "injected fault"
    retry_after: str | None = None
    code: str | None = None
    param: str | None = None
    disconnect: bool = False
    body: bytes | None = None  # sent as it is, with status 200 unless told otherwise
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: bool = False  # the connection ends in the middle of the body
    latency_s: float = 0.0  # before the answer


@dataclass(frozen=True)
class Events:
    """A stream: events as JSON or as text that is sent as it is, and how it ends."""

    events: Sequence[Any]
    end: str = "done"  # or "close", or "abort"


@dataclass(frozen=True)
class Late:
    """Another reply, after a while."""

    reply: Any
    latency_s: float


def disconnect() -> Fault:
    return Fault(disconnect=True)


def invalid_json() -> Fault:
    return Fault(status=200, body=b'{"choices": [{"mess')


def said(text: Any, finish: Any = "stop", **message: Any) -> dict[str, Any]:
    """The body of an answer of one choice, which may be none."""
    told = {"role": "assistant", "content": text, **message}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    choice = {"index": 0, "message": told, "finish_reason": finish}
    return {"choices": [choice], "usage": usage}


Reply = str | Fault | Events | Late | dict[str, Any] | Sequence[str]
Script = Callable[[dict[str, Any]], Reply]


def in_order(*replies: Reply) -> Script:
    """Replies one after another; the last one stays."""
    left = list(replies)
    return lambda payload: left.pop(0) if len(left) > 1 else left[0]


def last_user(payload: dict[str, Any]) -> str:
    return text_of(payload["messages"][-1])


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, without its other parts."""
    content = message["content"]
    if not isinstance(content, list):  # none beside calls of tools
        return content or ""
    return "".join(part["text"] for part in content if part["type"] == "text")


class Loopback:
    """The server, on an event loop and thread of its own.

    `payloads` are the requests in order, `counts` how many there were of each last user message,
    `keys` the Authorization headers, `headers` all of them, `most_in_flight` the greatest number at
    one time. `models` is what it lists, None if it has no list; `server` its header. It loads
    weights as vLLM does if `adapters` is a dictionary, which gets their folders by name.
    """

    def __init__(self, script: Script | Reply = "ok", *, latency_s: float = 0.0, port: int = 0):
        self.script: Script = script if callable(script) else lambda payload: script
        self.latency_s, self.port, self.pause_s = latency_s, port, 0.0
        self.payloads: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.keys: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.models: list[dict[str, Any]] | None = None
        self.server = ""
        self.adapters: dict[str, str] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Loopback:
        self._thread.start()
        self._runner, self.port = self._call(self._start())
        return self

    def __exit__(self, *exc: object) -> None:
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, coro: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result(10)

    async def _start(self) -> tuple[web.AppRunner, int]:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/embeddings", self._embed)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/{path:.*}/messages", self._message)
        runner = web.AppRunner(app, shutdown_timeout=0.2, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=2048)
        await site.start()
        return runner, site._server.sockets[0].getsockname()[1]

    async def _list(self, request: web.Request) -> web.Response:
        if self.models is None:
            raise web.HTTPNotFound
        headers = {"Server": self.server} if self.server else {}
        return web.json_response({"object": "list", "data": self.models}, headers=headers)

    async def _load(self, request: web.Request) -> web.Response:
        """As vLLM, in its words; without VLLM_ALLOW_RUNTIME_LORA_UPDATING there is no route."""
        if self.adapters is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        given = await request.json()
        name, path = given.get("lora_name"), given.get("lora_path")
        if not name or not path:
            words, status = "Both 'lora_name' and 'lora_path' must be provided.", 400
        elif name in self.adapters:
            words, status = f"The lora adapter '{name}' has already been loaded.", 400
        elif not (Path(path) / "adapter_config.json").is_file():
            words, status = f"Loading lora {name} failed: No adapter found for {path}", 404
        else:
            self.adapters[name] = path
            return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")
        error = {"message": words, "type": "InvalidUserInput", "param": None, "code": status}
        return web.json_response({"error": error}, status=status)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        payload = await request.json()
        self.payloads.append(payload)
        self.counts[last_user(payload)] += 1
        self.keys.append(request.headers.get("Authorization"))
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            reply = self.script(payload)
            if isinstance(reply, Late):
                await asyncio.sleep(reply.latency_s)
                reply = reply.reply
            if isinstance(reply, Events):
                return await self._events(request, reply)
            if isinstance(reply, Fault) and reply.cut:
                return await _cut(request, reply)
            if payload.get("stream") and isinstance(reply, str):
                return await self._stream(request, payload, reply)
            return self._respond(request, payload, reply)
        finally:
            self.in_flight -= 1

    async def _message(self, request: web.Request) -> web.StreamResponse:
        """The protocol of Anthropic; the script gives the body of the reply."""
        payload = await request.json()
        self.payloads.append(payload)
        self.keys.append(request.headers.get("x-api-key"))
        reply = self.script(payload)
        return _fail(request, reply) if isinstance(reply, Fault) else web.json_response(reply)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        """Vectors of texts; the script is asked with the payload and gives one for each text."""
        payload = await request.json()
        self.payloads.append(payload)
        self.keys.append(request.headers.get("Authorization"))
        vectors = self.script(payload)
        if isinstance(vectors, Fault):
            return _fail(request, vectors)
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        used = sum(len(text.split()) for text in payload["input"])
        usage = {"prompt_tokens": used, "total_tokens": used}
        body = {"object": "list", "model": payload["model"], "data": data, "usage": usage}
        return web.json_response(body)

    async def _stream(
        self, request: web.Request, payload: dict[str, Any], text: str
    ) -> web.StreamResponse:
        """Word by word, as server-sent events; a text that ends in `<cut>` breaks off there."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in re.findall(r"\s*\S+", text.removesuffix("<cut>")):
            event = {"choices": [{"index": 0, "delta": {"content": word}}]}
            await response.write(f": ping\n\ndata: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(self.pause_s)
        if text.endswith("<cut>"):
            request.transport.close()
            return response
        whole = completion(payload, [text])
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        for event in (end, {"choices": [], "usage": whole["usage"]}):
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _events(self, request: web.Request, reply: Events) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in reply.events:
            text = event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n"
            await response.write(text.encode())
            await asyncio.sleep(self.pause_s)
        if reply.end == "done":
            await response.write(b"data: [DONE]\n\n")
        elif reply.end == "abort":
            assert request.transport is not None
            request.transport.abort()
        return response

    def _respond(
        self, request: web.Request, payload: dict[str, Any], reply: Reply
    ) -> web.StreamResponse:
        if isinstance(reply, Fault):
            return _fail(request, reply)
        if isinstance(reply, dict):
            return web.json_response(reply)
        texts = [reply] * payload.get("n", 1) if isinstance(reply, str) else list(reply)
        return web.json_response(completion(payload, texts))


def completion(payload: dict[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """The body of a good answer; words count as tokens."""
    prompt = sum(len(text_of(message).split()) for message in payload["messages"])
    written = sum(len(text.split()) for text in texts)
    return {
        "id": "loopback",
        "object": "chat.completion",
        "created": 0,
        "model": payload["model"],
        "choices": [_choice(payload, i, text) for i, text in enumerate(texts)],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        },
    }


def _choice(payload: dict[str, Any], index: int, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": index, "message": message, "finish_reason": "stop"}
    if payload.get("logprobs"):
        tokens = [{"token": word, "logprob": -0.5, "top_logprobs": []} for word in text.split()]
        choice["logprobs"] = {"content": tokens}
    return choice


def _fail(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.disconnect:
        assert request.transport is not None
        request.transport.close()
        return web.Response()
    if fault.body is not None:
        return web.Response(
            body=fault.body,
            status=fault.status,
            content_type=fault.content_type,
            headers=fault.headers,
        )
    error = {"message": fault.message, "type": "error", "code": fault.code, "param": fault.param}
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    headers |= fault.headers
    body = json.dumps({"error": error})
    return web.Response(
        text=body, status=fault.status, headers=headers, content_type="application/json"
    )


async def _cut(request: web.Request, fault: Fault) -> web.StreamResponse:
    """A body that is announced in full, and half of it."""
    whole = fault.body or b'{"choices": [{"message": {"content": "whole"}}]}'
    headers = {"Content-Type": "application/json", "Content-Length": str(len(whole))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--answer", default="42")
    args = parser.parse_args()
    with Loopback(args.answer, latency_s=args.latency_ms / 1000, port=args.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
