"""llama.cpp beside this process: a package that stands in for xllamacpp serves in the real process.

Where xllamacpp is installed, `test_the_real_library` asks SmolLM2.
"""

import asyncio
import json
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest

from lmc.diagnostics import LmcError
from lmc.models import llamacpp_local
from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.llamacpp_local import LlamaCpp
from lmc.models.packaged import SMOLLM2, is_installed, packaged_file
from lmc.models.registry import capabilities_of, open_backend

# Answers with what it was asked and how it was started.
STAND_IN = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

print("the library writes to the output")

class CommonParams(SimpleNamespace):
    def __init__(self):
        super().__init__(model=SimpleNamespace(), sampling=SimpleNamespace(),
                         cpuparams=SimpleNamespace(n_threads=-1),
                         cpuparams_batch=SimpleNamespace(n_threads=-1))

class Server:
    def __init__(self, params):
        told = open(params.model.path, "rb").read()
        if b"broken" in told:
            os.write(2, b"tensor 7 is out of bounds")
            raise RuntimeError("cannot load")
        if b"crash" in told:
            os._exit(11)

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_): pass
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                right = self.headers["Authorization"] == f"Bearer {params.api_keys[0]}"
                if asked["messages"][-1]["content"] == "die":
                    os._exit(3)
                asked |= {"pid": os.getpid(), "slots": params.n_parallel,
                          "threads": params.cpuparams.n_threads}
                message = {"role": "assistant", "content": json.dumps(asked)}
                body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
                raw = json.dumps(body if right else {"error": {"message": "key"}}).encode()
                self.send_response(200 if right else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        server = ThreadingHTTPServer(("127.0.0.1", params.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"
"""
ASKED = Request("m", ({"role": "user", "content": "hello"},))
HEADER = b"GGUF" + bytes(20)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A folder with a model, and the stand-in on the path of this process and of the server."""
    package = tmp_path / "packages" / "xllamacpp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}{os.pathsep}{os.environ.get('PYTHONPATH')}")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(llamacpp_local, "_servers", {})
    (tmp_path / "model.gguf").write_bytes(HEADER)
    return tmp_path


def opened(place: Path, **settings: object) -> LlamaCpp:
    backend, _ = open_backend(f"llama.cpp/{place}", {"users": True, **settings})
    assert isinstance(backend, LlamaCpp)
    return backend


async def said(backend: LlamaCpp, request: Request = ASKED) -> list[dict]:
    return [json.loads(answer.text) for answer in await backend.generate(request)]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_samples_have_seeds_of_their_own_and_the_first_is_greedy(stand_in):
    backend = opened(stand_in / "model.gguf", concurrency=3)
    request = replace(ASKED, n=3, index=0, sampling=Sampling(max_tokens=9))
    first, *others = await said(backend, request)
    assert first["temperature"] == 0.0
    assert [other["temperature"] for other in others] == [0.7, 0.7]
    assert [one["seed"] for one in (first, *others)] == [0, 1, 2]
    assert first["slots"] == 3
    answers = await backend.generate(request)
    assert [answer.prompt_tokens for answer in answers] == [5, 0, 0]
    await backend.close()


async def test_a_proxy_of_the_environment_is_not_asked(stand_in, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    backend = opened(stand_in / "model.gguf")
    assert (await said(backend))[0]["messages"] == list(ASKED.messages)
    await backend.close()


async def test_nobody_else_may_ask_the_server(stand_in):
    backend = opened(stand_in / "model.gguf")
    await said(backend)
    assert backend._client is not None
    url = f"{backend._client.address}/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "hello"}]}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
        assert reply.status == 401
    await backend.close()


async def test_programs_share_a_server_which_ends_with_the_last(stand_in):
    one, two = (opened(stand_in / "model.gguf") for _ in range(2))
    (first,), (second,) = await asyncio.gather(said(one), said(two))
    assert first["pid"] == second["pid"] != os.getpid()
    await one.close()
    assert (await said(two))[0]["pid"] == first["pid"]
    await two.close()
    assert not is_running(first["pid"])


async def test_a_server_that_died_is_started_again(stand_in):
    backend = opened(stand_in / "model.gguf")
    (before,) = await said(backend)
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(replace(ASKED, messages=({"role": "user", "content": "die"},)))
    assert failure.value.retryable
    assert backend._server is not None
    assert backend._server._process is not None
    backend._server._process.wait(10)
    (after,) = await said(backend)
    assert after["pid"] != before["pid"]
    await backend.close()


async def test_a_server_ends_with_the_process_that_started_it(stand_in):
    backend = opened(stand_in / "model.gguf")
    (answer,) = await said(backend)
    assert backend._server is not None
    assert backend._server._process is not None
    backend._server._process.stdin.close()  # as the system does when this process is killed
    backend._server._process.wait(10)
    assert not is_running(answer["pid"])
    await backend.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"broken", "tensor 7 is out of bounds"), (b"crash", "ended with code 11")],
)
async def test_a_file_that_cannot_be_loaded_says_why(stand_in, content, words):
    file = stand_in / "bad.gguf"
    file.write_bytes(HEADER + content)
    backend = opened(file)
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(ASKED)
    assert not failure.value.retryable
    assert words in failure.value.message + failure.value.hint
    await backend.close()


async def test_numerical_threads_are_those_of_the_environment(stand_in, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    backend = opened(stand_in / "model.gguf")
    assert (await said(backend))[0]["threads"] == 5
    await backend.close()


def test_another_file_is_another_endpoint(stand_in):
    other = stand_in / "other.gguf"
    other.write_bytes(HEADER + b"x")
    assert opened(other).endpoint != opened(stand_in / "model.gguf").endpoint


def test_what_is_no_gguf_is_refused_before_anything_starts(stand_in):
    (stand_in / "page.gguf").write_text("<html>")
    with pytest.raises(LmcError) as failure:
        opened(stand_in / "page.gguf")
    assert failure.value.code == "not-a-gguf"


def test_without_the_package_the_command_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(llamacpp_local, "find_spec", lambda name: None)
    (tmp_path / "model.gguf").write_bytes(HEADER)
    with pytest.raises(LmcError) as failure:
        open_backend(f"llama.cpp/{tmp_path}", {"users": True})
    assert failure.value.code == "missing-extra"
    assert "lmc-lang[llamacpp]" in (failure.value.diagnostics[0].help or "")


def test_with_an_address_it_is_a_server():
    settings = {"base_url": "http://localhost:1/v1", "users": True}
    backend, name = open_backend("llama.cpp/any", settings)
    assert (backend.endpoint, name) == ("http://localhost:1/v1", "any")
    assert not capabilities_of("llama.cpp/any", settings).local
    assert capabilities_of("llama.cpp/any", {}).local


@pytest.mark.skipif(
    find_spec("xllamacpp") is None or not is_installed(SMOLLM2), reason="needs xllamacpp"
)
async def test_the_real_library():
    backend = opened(packaged_file(SMOLLM2), concurrency=2)
    question = {"role": "user", "content": "What is the capital of France?"}
    schema = {"type": "string", "enum": ["Paris", "Rome"]}
    request = Request("m", (question,), Sampling(max_tokens=16, seed=3), schema=schema)
    (bound,) = await backend.generate(request)
    assert json.loads(bound.text) in schema["enum"]
    drawn = replace(request, schema=None, n=3, sampling=Sampling(temperature=1.5, max_tokens=12))
    assert len({answer.text for answer in await backend.generate(drawn)}) == 3
    await backend.close()
