"""Runs, streams and batches over HTTP."""

import gzip
import json
from pathlib import Path

import pytest

from tests.test_serve.servers import JSON, events, served


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with served(tmp_path_factory.mktemp("desk")) as client:
        yield client


def test_a_result_and_what_it_used(client):
    got = client.post("/run/main", json={"question": "hello"}, headers={"X-Request-Id": "r-1"})
    assert got.status_code == 200
    assert got.json()["result"] == "you said hello"
    assert got.json()["usage"]["calls"] == 1
    assert got.headers["x-request-id"] == "r-1"
    assert got.headers["x-content-type-options"] == "nosniff"


def test_a_record(client):
    got = client.post("/run/desk/sort", json={"message": "help", "most": 2}).json()
    assert got["result"] == {"desk": "login", "queue": "calm", "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("path", "inputs", "status", "slug"),
    [
        ("/run/main", {}, 422, "missing-input"),
        ("/run/main", {"question": "a", "__proto__": {}}, 422, "unknown-input"),
        ("/run/main", {"question": 3}, 422, "invalid-input"),
        ("/run/sort", {"message": "a", "most": 99}, 422, "invalid-input"),
        ("/run/mian", {"question": "a"}, 404, "unknown-target"),
        ("/run/other/main", {"question": "a"}, 404, "unknown-program"),
        ("/run/sort", {"message": "wrong"}, 502, "call-failed"),
        ("/run/main", [], 400, "bad-json"),
        ("/run/look", {"picture": "/etc/passwd"}, 422, "invalid-input"),
        ("/run/look", {"picture": "http://127.0.0.1:1/a.png"}, 422, "invalid-input"),
        ("/jobs/main", {"rows": [{"question": "a"}]}, 422, "not-supported"),
        ("/nothing", {}, 404, "unknown-path"),
        ("/run/../etc/passwd", {}, 404, "unknown-path"),
    ],
)
def test_a_problem(client, path, inputs, status, slug):
    got = client.post(path, json=inputs)
    assert (got.status_code, got.json()["slug"]) == (status, slug)
    assert got.headers["content-type"] == "application/problem+json"
    told = got.json()
    assert told["type"] == f"/problems/{slug}" and told["instance"].endswith(
        got.headers["x-request-id"]
    )
    assert "Traceback" not in got.text and "/tmp" not in told["detail"]
    assert slug in client.get(told["type"]).text


def test_the_place_of_a_problem_has_no_folder(client):
    place = client.post("/run/main", json={}).json()["place"]
    assert place["file"] == "desk.lmp" and place["line"] == 20


def test_media_are_not_named_by_their_hash(client):
    known = {"media": "image/png", "sha256": "a" * 64, "bytes": 10}
    got = client.post("/run/look", json={"picture": known})
    assert got.status_code == 422 and "hash" in got.json()["detail"]


def test_an_image_as_data_url(client):
    pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YA"
        "AAAASUVORK5CYII="
    )
    assert client.post("/run/look", json={"picture": pixel}).status_code == 200


def test_events_of_a_text(client):
    got = client.post(
        "/run/main", json={"question": "one two"}, headers={"Accept": "text/event-stream"}
    )
    assert got.headers["content-type"].startswith("text/event-stream")
    names, data = zip(*events(got.text))
    assert set(names[:-1]) == {"delta"} and names[-1] == "result" and len(names) > 3
    assert (
        "".join(json.loads(d).get("text") or json.loads(d)["value"] for d in data[:-1])
        == (json.loads(data[-1])["result"])
    )


def test_events_of_a_record(client):
    got = client.post(
        "/run/sort?events=partial", json={"message": "m"}, headers={"Accept": "text/event-stream"}
    )
    *parts, (name, last) = events(got.text)
    assert {kind for kind, _ in parts} == {"partial"} and name == "result"
    assert json.loads(parts[-1][1])["value"] == json.loads(last)["result"]
    assert json.loads(parts[0][1])["value"].keys() < {"desk", "queue", "tags"}


def test_a_failure_after_the_stream_began(client):
    got = client.post(
        "/run/sort", json={"message": "wrong"}, headers={"Accept": "text/event-stream"}
    )
    name, data = events(got.text)[-1]
    assert (name, json.loads(data)["slug"]) == ("error", "call-failed")


def test_a_batch_keeps_the_order_and_the_failures(client):
    rows = [{"message": "a"}, {"message": "wrong"}, {"mesage": "b"}]
    got = client.post("/batch/sort", json={"rows": rows}).json()
    kinds = [one.get("error", {}).get("slug", "ok") for one in got["results"]]
    assert kinds == ["ok", "call-failed", "unknown-input"]
    assert got["usage"]["calls"] == 1


def test_a_batch_of_too_many_rows(tmp_path: Path):
    with served(tmp_path, batch_rows=2) as client:
        got = client.post("/batch/main", json={"rows": [{"question": "a"}] * 3})
        assert got.json()["slug"] == "too-many-rows"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b'{"question": NaN}', b'{"question": 1e999}', b"[" * 100_000,
        b'{"a":' * 5000, b"nul\0", b'{"question": ' + b"9" * 10_000 + b"}",
    ],
)  # fmt: skip
def test_a_body_that_is_not_json(client, body):
    got = client.post("/run/main", content=body, headers=JSON)
    assert got.status_code == 400 and got.json()["slug"] == "bad-json"


def test_halves_of_characters_come_back_as_problem_or_answer(client):
    got = client.post("/run/main", content=b'{"question": "\\ud800"}', headers=JSON)
    assert got.status_code in (200, 422)
    got.json()


def test_a_page_of_another_site_cannot_send_a_simple_request(client):
    got = client.post(
        "/run/main", content=b'{"question": "a"}', headers={"content-type": "text/plain"}
    )
    assert got.json()["slug"] == "not-json" and got.status_code == 415


def test_a_wrong_method_is_told_the_right_ones(client):
    for path, methods in (("/run/main", "POST"), ("/v1/models", "GET, HEAD"), ("/jobs/a", "")):
        got = client.request("PUT", path)
        assert got.status_code == 405 and got.headers["allow"].startswith(methods)
    assert got.headers["allow"] == "DELETE, GET, HEAD, POST"  # the path has several routes


def test_which_form_the_client_takes(client):
    for accept, kind in [
        ("text/event-stream", "text/event-stream"),
        ("application/json, Text/Event-Stream; q=0.5", "text/event-stream"),
        ("text/event-stream;q=0, application/json", "application/json"),
        ("text/event-stream; Q = 0.00", "application/json"),
        ("*/*", "application/json"),
    ]:
        got = client.post("/run/main", json={"question": "a"}, headers={"accept": accept})
        assert got.headers["content-type"].startswith(kind), accept
    got = client.post("/run/main?events=all", json={"question": "a"})
    assert got.status_code == 400 and "`partial`" in got.json()["detail"]


def test_a_compressed_body_is_refused_as_such(client):
    body = gzip.compress(b'{"question": "a"}')
    got = client.post("/run/main", content=body, headers={**JSON, "content-encoding": "gzip"})
    assert got.status_code == 415 and "Content-Encoding" in got.json()["help"]


def test_health_figures_and_documents(client):
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json()["status"] == "ready"
    text = client.get("/metrics").text
    assert 'lmc_runs_total{outcome="ok",program="desk",target="main"}' in text
    assert 'lmc_requests_total{route="/run/{target}",status="422"}' in text
    page = client.get("/docs")
    assert "http:" not in page.text and "https:" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/", follow_redirects=True).text.startswith("<!doctype html>")
