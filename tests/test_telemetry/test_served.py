"""A server of programs goes on with the trace of its client."""

from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the SDK of OpenTelemetry is not installed")
pytest.importorskip("starlette")

from opentelemetry.trace import SpanKind, StatusCode

import lmc
from lmc.models.scripted import Scripted
from lmc.serve.application import app
from tests.test_serve.servers import running
from tests.test_telemetry.recorded_spans import Recorded, facts

SOURCE = 'generate say(q: str) -> str { "Say it." }\n'
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def program(tmp_path: Path) -> lmc.Program:
    path = tmp_path / "say.lmp"
    path.write_text(SOURCE)
    return lmc.load(path, backend=Scripted(lambda request: "x"), cache=False)


def test_a_request_goes_on_the_trace_of_its_client(program: lmc.Program) -> None:
    recorded = Recorded()
    recorded.attach(program)
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    with running(app({"say": program})) as client:
        assert client.post("/run/say", json={"q": "hello"}, headers=headers).json()["result"] == "x"
        assert client.get("/health/live").status_code == 200
        client.post("/run/nothing", json={})
    first, second = recorded.named("POST /run/{target}")
    assert first.kind is SpanKind.SERVER
    assert first.parent is not None
    assert f"{first.parent.span_id:x}" == SPAN
    assert second.parent is None
    assert {f"{s.context.trace_id:032x}" for s in recorded.spans} > {TRACE}
    say = recorded.one("generate say")
    assert say.parent is not None
    assert say.parent.span_id == first.context.span_id
    assert (facts(first)["http.route"], facts(first)["http.response.status_code"]) == (
        "/run/{target}",
        200,
    )
    assert facts(second)["http.response.status_code"] == 404
    assert second.status.status_code is StatusCode.UNSET


def test_strangers_make_no_spans(program: lmc.Program) -> None:
    recorded = Recorded()
    recorded.attach(program)
    with running(app({"say": program}, keys=["a-key-of-the-tests"])) as client:
        assert client.post("/run/say", json={"q": "hello"}).status_code == 401
    assert not recorded.spans
