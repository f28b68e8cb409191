"""Models that llama.cpp runs beside this process: `llama.cpp/<file.gguf>`.

llama.cpp keeps the weights in the bits of the file, which suits models of more than about a billion
parameters. The package xllamacpp has its server. The server is a process of its own, on a free port
of this machine. It takes no request without a key that only this process knows, and ends with it.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Capabilities, ModelFailure, Price, Request
from lmc.models.gguf import find_gguf, tensor_count
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import KINDS
from lmc.redaction import remember

SLOTS = 8  # requests that are answered at once, if the model has no `concurrency:`
CONTEXT = 16_384  # tokens that are kept, of all slots together
_START_S = 600.0  # to read a large file from a slow disk
_STOP_S = 5.0
_HEAD_BYTES = 1 << 20
_MOST_WORDS = 600
_SIDE = Path(__file__).with_name("llamacpp_side.py")


class LlamaCpp:
    """A GGUF file that llama.cpp serves. Programs of a process share the server.

    Without a temperature, sample 0 is greedy and further samples are drawn at 0.7, as with models
    that lmc runs itself. Without a seed, it is 0. Equal requests can differ in the last digits of
    their logits, by what else is in the batch.
    """

    price: Price | None = Price(0.0, 0.0)
    capabilities = Capabilities(
        json_schema=True,
        logprobs=True,
        multiple_samples=True,
        seed=True,
        local=True,
        default_layout="json",
    )

    def __init__(self, file: Path, *, slots: int = SLOTS) -> None:
        self.file, self.slots = file, slots
        self._server: LlamaServer | None = None
        self._client: _Client | None = None
        self._room: asyncio.Semaphore | None = None

    @cached_property
    def endpoint(self) -> str:
        """Identifies the file. Its beginning is read at the first access."""
        stat = self.file.stat()
        digest = hashlib.sha256(f"{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with self.file.open("rb") as opened:
            digest.update(opened.read(_HEAD_BYTES))
        return f"llama.cpp:{digest.hexdigest()[:32]}"

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Answer each sample with a request of its own seed. Raises: ModelFailure."""
        client = await self._ready()
        singles = [self._single(request, request.index + i) for i in range(request.n)]
        found = await asyncio.gather(*(self._ask(client, one) for one in singles))
        return [found[0], *(replace(answer, prompt_tokens=0) for answer in found[1:])]

    async def close(self) -> None:
        """End the server if nobody else uses it."""
        client, self._client = self._client, None
        server, self._server = self._server, None
        if client is not None:
            await client.close()
        if server is None:
            return
        server.users -= 1
        if server.users == 0:
            _servers.pop((self.endpoint, self.slots), None)
            await asyncio.to_thread(server.stop)

    @staticmethod
    def _single(request: Request, index: int) -> Request:
        given = request.sampling
        sampling = replace(given, temperature=request.heat(index), seed=given.seed or 0)
        return replace(request, n=1, index=index, sampling=sampling, adapter=None)

    async def _ask(self, client: _Client, request: Request) -> Answer:
        assert self._room is not None
        async with self._room:
            (answer,) = await client.generate(request)
        return answer

    async def _ready(self) -> _Client:
        """The client of a running server. A server that has ended is started again."""
        if self._server is None:
            key = self.endpoint, self.slots
            self._server = _servers.setdefault(key, LlamaServer(self.file, self.slots))
            self._server.users += 1
            self._room = asyncio.Semaphore(2 * self.slots)  # others wait here, not in a socket
        address = await self._server.running()
        if self._client is None or self._client.address != address:
            stale, self._client = self._client, _Client(address, self._server.key)
            if stale is not None:
                await stale.close()
        return self._client


class _Client(OpenAICompatible):
    """The server's own protocol, with the key that it was started with."""

    through_proxy = False  # it is on this machine

    def __init__(self, address: str, key: str) -> None:
        super().__init__(f"{address}/v1", key_env=None, kind=KINDS["llama.cpp"])
        self.address, self._secret = address, key

    def _key(self) -> str | None:
        return self._secret


class LlamaServer:
    """A server of llama.cpp in a process of its own."""

    def __init__(self, file: Path, slots: int) -> None:
        self.file, self.slots, self.users = file, slots, 0
        self.key = secrets.token_urlsafe(32)
        self._process: subprocess.Popen[str] | None = None
        self._address = ""
        self._starting = asyncio.Lock()
        remember("llama.cpp", self.key)

    async def running(self) -> str:
        """The address of the server, which is started if need be. Raises: ModelFailure."""
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                await asyncio.to_thread(self._start)
        return self._address

    def stop(self) -> None:
        """End the server."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        self._close_pipes(process)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def leave(self) -> None:
        """Let go of the server in a forked child, which would else keep it alive."""
        if self._process is not None:
            self._close_pipes(self._process)

    def _start(self) -> None:
        self.stop()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            process = subprocess.Popen(  # noqa: S603  (this file's own neighbour)
                [sys.executable, "-P", str(_SIDE)],  # the folder of the script is no import path
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )
            self._process = process
            atexit.register(self.stop)
            answer = self._answer(process)
            if "address" not in answer:
                process.wait()
                raise self._failure(process, answer.get("problem", ""), errors)
        self._address = str(answer["address"])

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """What the server says once it has read the file. Empty if it ends before that."""
        asked = {"file": str(self.file), "key": self.key, "slots": self.slots, "context": CONTEXT}
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(_START_S, process.kill)
        late.start()
        try:
            print(json.dumps(asked), file=process.stdin, flush=True)
            found = json.loads(process.stdout.readline())
        except (OSError, ValueError):
            found = {}
        finally:
            late.cancel()
        return found if isinstance(found, dict) else {}

    def _failure(
        self, process: subprocess.Popen[str], problem: str, errors: IO[str]
    ) -> ModelFailure:
        errors.seek(0)
        words = " ".join((problem or f"it ended with code {process.returncode}").split())
        last = " ".join(errors.read().split())[-_MOST_WORDS:]
        message = f"llama.cpp cannot load {self.file}: {words[:_MOST_WORDS]}"
        hint = f"llama.cpp says: {last}" if last else "is the file whole, and is there memory?"
        return ModelFailure("not_found", message, retryable=False, hint=hint)

    @staticmethod
    def _close_pipes(process: subprocess.Popen[str]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


_servers: dict[tuple[str, int], LlamaServer] = {}  # by endpoint; touched on the event loop only


def _after_fork() -> None:
    for server in _servers.values():
        server.leave()
    _servers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def open_llamacpp(model: str, settings: Mapping[str, Any]) -> LlamaCpp:
    """Open a GGUF file, found as for `gguf/`. Nothing is started yet.

    Raises: LmcError[missing-extra, not-a-gguf], else as `lmc.models.gguf.find_gguf`.
    """
    file = find_gguf(model, settings, prefix="llama.cpp/")
    tensor_count(file)  # it is none if this fails
    if find_spec("xllamacpp") is None:
        message = f"model `llama.cpp/{model}` needs xllamacpp"
        help = 'pip install "lmc-lang[llamacpp]", or give a running llama-server as `base_url`'
        raise LmcError.of("missing-extra", message, help=help)
    return LlamaCpp(file.resolve(), slots=int(settings.get("concurrency") or SLOTS))
