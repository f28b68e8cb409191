"""How tracing is turned on, where spans go, and that nobody pays for it otherwise."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.scripted import Scripted
from lmc.telemetry import switch
from lmc.telemetry.switch import is_traced

ROOT = Path(__file__).parents[2]
CLI = "from lmc.cli.main import main; main()"
SOURCE = 'generate say(q: str) -> str { "Say it." }\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "say.lmp"
    file.write_text(SOURCE)
    return file


@pytest.mark.parametrize(
    ("option", "variable", "on"),
    [(None, "", False), (None, "1", True), (None, "true", True), (None, "0", False),
     (False, "1", False), (True, "", True)],
)  # fmt: skip
def test_the_switch(
    option: bool | None, variable: str, on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMC_OTEL", variable)
    assert is_traced(option) is on


def test_nothing_is_imported_while_it_is_off(path: Path) -> None:
    code = (
        "import sys, lmc\nfrom lmc.models.scripted import Scripted\n"
        "program = lmc.load('say.lmp', backend=Scripted(['x']), cache=False)\n"
        "assert program.say('q') == 'x' and program.spans is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'mlflow'))])"
    )
    assert run([sys.executable, "-c", code], path.parent).stdout.strip() == "[]"


def test_tracing_without_opentelemetry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "find_spec", lambda name: None)
    with pytest.raises(lmc.LmcError, match="missing-extra") as failed:
        lmc.load(path, otel=True)
    assert failed.value.diagnostics[0].help == 'pip install "lmc-lang[otel]"'


def test_the_application_has_its_own_tracing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import trace

    from tests.test_telemetry.recorded_spans import Recorded

    recorded = Recorded()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: recorded.provider)
    program = lmc.load(path, backend=Scripted(["x"]), cache=False, otel=True)
    program.say("q")
    assert recorded.tree() == ["generate say", "  chat tiny"]


class Collector(ThreadingHTTPServer):
    """A server that takes traces as OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.bodies: list[tuple[str, bytes]] = []
        self.wait_s, self.status = 0.0, 200
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(server.wait_s)
        server.bodies.append((self.path, body))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    made = Collector()
    yield made
    made.shutdown()
    made.server_close()


def run(
    command: list[str], folder: Path, *, fails: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = kept | {"PYTHONPATH": paths} | env
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


def lmc_run(folder: Path, *, fails: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "answers.json").write_text(json.dumps(["an answer"] * 3))
    command = [sys.executable, "-c", CLI, "run", "say.lmp", "--no-cache"]
    command += ["--model", "scripted/answers.json", "--q", "hello"]
    return run(command, folder, fails=fails, LMC_OTEL="1", **env)


def test_spans_reach_a_collector(path: Path, collector: Collector) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    done = lmc_run(
        path.parent,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_RESOURCE_ATTRIBUTES="service.version=7",
    )
    assert "an answer" in done.stdout
    assert done.stderr == ""
    ((where, body),) = collector.bodies
    assert where == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    told = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert (told["service.name"], told["service.version"]) == ("lmc", "7")
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("lmc", lmc.__version__)
    chat, say = scope.spans
    assert (say.name, chat.name) == ("generate say", "chat answers.json")
    assert chat.parent_span_id == say.span_id
    assert b"hello" not in body


def test_a_collector_that_hangs_delays_no_run(path: Path, collector: Collector) -> None:
    collector.wait_s = 60
    begun = time.monotonic()
    done = lmc_run(path.parent, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert "an answer" in done.stdout
    assert "some spans were not sent within 3 s" in done.stderr
    assert time.monotonic() - begun < collector.wait_s


def test_a_collector_that_is_not_there_fails_no_run(path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    done = lmc_run(path.parent, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert "an answer" in done.stdout
    assert done.stderr.count("\n") <= 2, done.stderr
    assert "not sent" in done.stderr


def test_an_exporter_that_does_not_exist(path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    done = lmc_run(path.parent, fails=True, OTEL_TRACES_EXPORTER="nobody")
    assert "error[cannot-trace]" in done.stderr
    assert "there is no exporter `nobody`" in done.stderr
