"""No server sends a request of lmc, with its prompt and key, on to another server."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure, Request
from lmc.models.embedding import embedding_request
from lmc.models.redirects import refused_redirects
from lmc.models.registry import open_backend
from tests.loopback import completion

SECRET = "sk-secret-of-the-test"
# `gemini` and `anthropic` send their keys in headers that httpx would pass on.
NAMES = (
    "openai/x",
    "litellm/openai/x",
    "gemini/gemini-1.5-pro",
    "anthropic/claude-3-haiku-20240307",
    "mistral/x",
    "embed/openai/x",
    "embed/gemini/x",
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
]


class Server(http.server.ThreadingHTTPServer):
    """Answers, or sends each request on to another server."""

    def __init__(self, status: int = 200, location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.location = status, location
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps what came: headers and body."""

    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(f"{self.headers}{body.decode()}")
        answer = json.dumps(completion({"model": "x", "messages": []}, ["stolen"])).encode()
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location + self.path)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def other() -> Iterator[Server]:
    """Where nothing may arrive. Its name is another one, though the machine is the same."""
    with serving(Server()) as server:
        yield server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", NAMES)
async def test_no_request_is_sent_on(
    other: Server, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    pytest.importorskip("litellm")
    monkeypatch.setenv("KEY_OF_THE_TEST", SECRET)
    request = Request("x", ({"role": "user", "content": "hello"},), timeout_s=60)
    if name.startswith("embed/"):
        request = embedding_request("hello")
    with serving(Server(status, f"http://localhost:{other.server_port}")) as server:
        consent = Consent(hosts=("127.0.0.1",))
        settings = {"base_url": f"{server.url}/v1", "api_key_env": "KEY_OF_THE_TEST"}
        backend, _ = open_backend(name, {**settings, "consent": consent})
        with pytest.raises(ModelFailure, match=f"{status}: a redirect, which lmc does") as failure:
            await backend.generate(request)
        await backend.close()
    assert not failure.value.retryable
    assert len(server.seen) == 1
    assert SECRET in server.seen[0]  # so the test would see it at the other
    assert other.seen == []


async def test_httpx_is_as_it_was_for_others(other: Server) -> None:
    httpx = pytest.importorskip("httpx")
    with serving(Server(307, other.url)) as server:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            with refused_redirects() as statuses:
                assert (await client.get(server.url)).status_code == 307
            assert statuses == [307]
            assert (await client.get(server.url)).status_code == 200
        with httpx.Client(follow_redirects=True) as blocking:
            with refused_redirects() as statuses:
                assert blocking.get(server.url).status_code == 307
            assert statuses == [307]
            assert blocking.get(server.url).status_code == 200
    assert len(other.seen) == 2


def test_a_client_of_litellm_that_follows_redirects_is_not_used() -> None:
    pytest.importorskip("litellm")
    with pytest.raises(LmcError, match="write `openai/x`"):
        open_backend("aiohttp_openai/x", {})
