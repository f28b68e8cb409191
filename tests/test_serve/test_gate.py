"""Limits, keys, hosts, clients that leave, and connections that stay half open."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from lmc.diagnostics import LmcError
from lmc.serve.keys import ApiKeys, given_keys
from lmc.serve.options import ServeOptions
from tests.test_serve.servers import JSON, served

KEY, OTHER = "k" * 32, "o" * 32


class Slow:
    """A model that answers when it is told to, and counts who waits and who left."""

    def __init__(self) -> None:
        self.waiting = self.left = 0
        self.may_answer = threading.Event()

    async def __call__(self, request):
        self.waiting += 1
        try:
            while not self.may_answer.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.waiting -= 1
        return "done"

    def expect(self, **counts):
        until = time.monotonic() + 10
        while any(getattr(self, name) != n for name, n in counts.items()):
            assert time.monotonic() < until, (vars(self), counts)
            time.sleep(0.01)


@pytest.fixture
def slow():
    slow = Slow()
    yield slow
    slow.may_answer.set()


def ask(client: httpx.Client, n: str, **more) -> httpx.Response:
    return client.post("/run/main", json={"question": n}, **more)


def test_what_does_not_run_waits_and_what_does_not_wait_is_refused(tmp_path, slow):
    with served(tmp_path, slow, runs=2, queue=1) as client, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, client, str(i)) for i in range(2)]
        slow.expect(waiting=2)
        asked.append(pool.submit(ask, client, "third"))
        while client.get("/health/ready").json()["waiting"] != 1:
            time.sleep(0.01)
        assert client.get("/health/ready").status_code == 503
        refused = ask(client, "fourth")
        assert (refused.status_code, refused.json()["slug"]) == (503, "too-busy")
        assert refused.headers["retry-after"] == "1"
        slow.may_answer.set()
        assert [one.result().status_code for one in asked] == [200] * 3


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("path", ["/run/main", "/batch/main", "/v1/chat/completions"])
def test_a_client_that_leaves_stops_its_calls(tmp_path, slow, accept, path):
    if path != "/run/main" and accept != "application/json":
        return
    chat = {"model": "desk", "messages": [{"role": "user", "content": "a"}]}
    body = {"/run/main": {"question": "a"}, "/batch/main": {"rows": [{"question": "a"}] * 3}}
    with served(tmp_path, slow) as client:
        text = json.dumps(body.get(path, chat)).encode()
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n"
            raw.sendall(
                f"{head}Content-Type: application/json\r\nAccept: {accept}\r\n\r\n".encode()
            )
            raw.sendall(text)
            calls = 3 if path == "/batch/main" else 1
            slow.expect(waiting=calls)
        slow.expect(waiting=0, left=calls)
        assert 'outcome="left"' in client.get("/metrics").text


def test_a_client_that_leaves_the_queue_frees_its_place(tmp_path, slow):
    with served(tmp_path, slow, runs=1, queue=1) as client:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(ask, client, "a")
            slow.expect(waiting=1)
            with pytest.raises(httpx.ReadTimeout):
                ask(client, "b", timeout=0.2)
            while client.get("/health/ready").json()["waiting"]:
                time.sleep(0.01)
            slow.may_answer.set()
            assert first.result().status_code == 200
        assert ask(client, "c").status_code == 200


def test_a_run_that_takes_too_long_is_stopped(tmp_path, slow):
    with served(tmp_path, slow, timeout_s=0.2) as client:
        got = ask(client, "a")
        assert (got.status_code, got.json()["slug"]) == (504, "too-slow")
        slow.expect(waiting=0, left=1)


def test_the_budget_of_each_request_and_of_all(tmp_path):
    with served(tmp_path, budget={"calls": 1}, total_budget={"calls": 3}) as client:
        assert [ask(client, str(n)).status_code for n in range(5)] == [200, 200, 200, 402, 402]
    with served(tmp_path, budget={"tokens": 1}) as client:
        got = ask(client, "a")
        assert (got.status_code, got.json()["slug"]) == (402, "budget-exceeded")


def test_only_who_has_a_key_is_served(tmp_path):
    with served(tmp_path, keys=[f"ann:{KEY}", OTHER]) as client:
        refused = ask(client, "a")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        for header in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": OTHER}):
            assert ask(client, "a", headers=header).status_code == 200
        for wrong in (KEY[:-1], KEY + "x", "x", "é" * 20):
            headers = {"Authorization": f"Bearer {wrong}".encode()}
            got = ask(client, "a", headers=headers)
            assert got.status_code == 401 and (not wrong or wrong not in got.text)
        assert client.get("/health/live").status_code == 200
        for path in ("/metrics", "/docs", "/openapi.json", "/v1/models"):
            assert client.get(path).status_code == 401
        assert client.post("/mcp", json={}).status_code == 401


def test_keys_of_a_file_and_of_the_environment(tmp_path: Path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text(f"# team\nann: {KEY}\n\n{OTHER}\n")
    keys = ApiKeys(given_keys(file))
    assert keys.owner(KEY) == "ann" and keys.owner(OTHER) and keys.owner("ann") is None
    monkeypatch.setenv("LMC_SERVE_KEYS", f"{KEY},bob:{OTHER}")
    assert ApiKeys(given_keys(None)).owner(OTHER) == "bob"
    with pytest.raises(LmcError, match="bad-keys"):
        ApiKeys(["short"])


def test_hosts_and_origins(tmp_path):
    options = {"hosts": ["127.0.0.1", "desk.example"], "origins": ["https://app.example"]}
    with served(tmp_path, **options) as client:
        assert ask(client, "a").status_code == 200
        assert ask(client, "a", headers={"Host": "desk.example:99"}).status_code == 200
        assert ask(client, "a", headers={"Host": "evil.example"}).json()["slug"] == "wrong-host"
        evil = {"Origin": "https://evil.example"}
        assert ask(client, "a", headers=evil).json()["slug"] == "wrong-origin"
        good = ask(client, "a", headers={"Origin": "https://app.example"})
        assert good.headers["access-control-allow-origin"] == "https://app.example"
        asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        assert client.options("/run/main", headers=asks).status_code == 200


def test_without_cors_no_page_may_read(tmp_path):
    with served(tmp_path) as client:
        got = ask(client, "a", headers={"Origin": "https://evil.example"})
        assert not [name for name in got.headers if name.startswith("access-control")]


def test_a_body_that_is_too_large_or_too_slow(tmp_path):
    with served(tmp_path, body_bytes=1000, body_s=0.2) as client:
        assert ask(client, "a" * 2000).status_code == 413
        pieces = (b'{"question": "' for _ in range(100))  # its length is not told
        assert client.post("/run/main", content=pieces, headers=JSON).status_code == 413
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            head = "POST /run/main HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n"
            raw.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
            assert raw.recv(4000).startswith(b"HTTP/1.1 408")


def test_a_client_that_leaves_within_its_body_is_no_fault(tmp_path, caplog):
    with served(tmp_path) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            head = "POST /run/main HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n"
            raw.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        counted = 'lmc_requests_total{route="/run/{target}",status="499"}'
        until = time.monotonic() + 20
        while counted not in client.get("/metrics").text:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_connection_that_sends_no_whole_head_is_closed(tmp_path):
    from lmc.serve.application import app
    from tests.test_serve.servers import loaded, running

    with loaded(tmp_path) as program, running(app(program), header_s=0.3) as client:
        for said in (b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: b"):
            with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
                raw.sendall(said)
                raw.settimeout(5)
                assert raw.recv(4000) == b""
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            raw.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            said = b""
            while b"live" not in said:
                said += raw.recv(4000)
            raw.sendall(b"GET /health/live HTTP/1.1\r\nHos")
            raw.settimeout(5)
            assert raw.recv(4000) == b""


def test_a_header_of_a_client_is_not_sent_back_if_it_may_not(tmp_path):
    with served(tmp_path) as client:
        for wrong in ("a b", "x" * 65, "é"):
            got = ask(client, "a", headers={"X-Request-Id": wrong.encode()})
            assert len(got.headers["x-request-id"]) == 24


def test_a_bug_is_told_without_its_words(tmp_path, caplog):
    def broken(request):
        raise RuntimeError("secret of the house")

    with served(tmp_path, broken) as client:
        got = ask(client, "a")
    assert got.status_code == 500 and got.json()["slug"] == "internal-error"
    assert "secret" not in got.text and got.headers["x-request-id"] in got.text
    assert "secret of the house" in caplog.text


@pytest.mark.parametrize(
    "options", [{"runs": 0}, {"queue": -1}, {"timeout_s": 0}, {"budget": {"call": 3}}]
)
def test_limits_that_make_no_sense(options):
    with pytest.raises(LmcError):
        ServeOptions(**options)
