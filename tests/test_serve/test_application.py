"""Several programs, reloading, mounting, traces, and the command."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Mount

from lmc.cli.main import cli
from lmc.diagnostics import LmcError
from lmc.models.scripted import Scripted
from lmc.serve.application import app, serve_app
from lmc.serve.hosted import Loading, hosted_programs
from lmc.serve.options import ServeOptions
from lmc.serve.server import Listening, RunningServer
from lmc.traces.store import Filter, TraceStore
from tests.test_serve.servers import loaded, served
from tests.test_serve.test_gate import Slow, ask

ONE = 'generate main(question: str) -> str { """Answer {question} of ONE.""" }'


def program(folder: Path, name: str, text: str = ONE) -> Path:
    path = folder / name
    path.write_text(text.replace("{question}", "the question"))
    return path


def client_of(server: RunningServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=20)


def test_a_folder_of_programs(tmp_path):
    for name in ("a.lmp", "b c.lmp"):
        program(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no program")
    loading = Loading({"backend": Scripted(lambda request: "said"), "cache": False})
    serving = serve_app(hosted_programs(tmp_path, loading), ServeOptions(), loading)
    with RunningServer(serving, Listening(port=0)) as server, client_of(server) as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/run/a/main", "/run/b-c/main"} <= set(paths) and "/run/main" not in paths
        assert client.post("/run/b-c/main", json={"question": "q"}).json()["result"] == "said"
        assert ask(client, "q").json()["slug"] == "unknown-program"
        names = [one["id"] for one in client.get("/v1/models").json()["data"]]
        assert names == ["a", "a/main", "b-c", "b-c/main"]


def test_names_that_are_taken_and_folders_without_programs(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(LmcError, match="nothing-to-serve"):
        app(tmp_path / "x")
    path = program(tmp_path, "a.lmp")
    with pytest.raises(LmcError, match="name-taken"):
        app([path, path])


def test_a_reload_drops_no_request_and_keeps_what_works(tmp_path):
    path, slow = program(tmp_path, "a.lmp"), Slow()
    loading = Loading({"backend": Scripted(slow), "cache": False})
    serving = serve_app(hosted_programs(path, loading), ServeOptions(), loading)
    with RunningServer(serving, Listening(port=0)) as server, client_of(server) as client:
        old = serving.state.programs.find("a").program
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, client, "old")
            slow.expect(waiting=1)
            program(tmp_path, "a.lmp", ONE + '\ngenerate more(x: int) -> int { """More.""" }')
            server.reload().result(20)
            assert serving.state.programs.find("a").program is not old
            assert "/run/more" in client.get("/openapi.json").json()["paths"]
            assert "pool" in old.__dict__  # it is in use
            slow.may_answer.set()
            assert running.result().json()["result"] == "done"
        until = time.monotonic() + 10
        while "pool" in old.__dict__:
            assert time.monotonic() < until
            time.sleep(0.01)
        program(tmp_path, "a.lmp", "generate main(")
        server.reload().result(20)
        assert ask(client, "still").json()["result"] == "done"
        assert 'lmc_reloads_total{outcome="failed"} 1.0' in client.get("/metrics").text


def test_a_changed_file_is_loaded_again(tmp_path):
    path = program(tmp_path, "a.lmp")
    loading = Loading({"backend": Scripted(lambda request: "said"), "cache": False})
    serving = serve_app(hosted_programs(path, loading), ServeOptions(), loading)
    with RunningServer(serving, Listening(port=0, watch=True)) as server:
        time.sleep(0.1)
        program(tmp_path, "a.lmp", ONE.replace("main", "other"))
        with client_of(server) as client:
            until = time.monotonic() + 20
            while "/run/other" not in client.get("/openapi.json").json()["paths"]:
                assert time.monotonic() < until
                time.sleep(0.05)


def refused_soon(client: httpx.Client) -> bool:
    """Whether a new request is refused, as a problem or by the closed connection."""
    for _ in range(100):  # until the loop has seen the signal
        try:
            got = client.post("/run/main", json={}, timeout=5)
        except httpx.TransportError:
            return True
        if got.json()["slug"] == "stopping":
            return True
    return False


def test_a_stop_waits_for_what_runs_and_takes_nothing_new(tmp_path):
    slow = Slow()
    with loaded(tmp_path, slow) as one:
        server = RunningServer(app({"desk": one}), Listening(port=0))
        server.wait_ready()
        with client_of(server) as client, ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, client, "a")
            slow.expect(waiting=1)
            with client_of(server) as other:
                other.get("/health/live")  # a connection that stays
                server.stop()
                assert refused_soon(other)
            threading.Timer(0.1, slow.may_answer.set).start()
            assert running.result().json()["result"] == "done"
        server.wait()


def test_what_takes_longer_than_the_grace_is_cancelled(tmp_path):
    slow = Slow()
    with loaded(tmp_path, slow) as one:
        server = RunningServer(app({"desk": one}), Listening(port=0, grace_s=1))
        server.wait_ready()
        with client_of(server) as client, ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, client, "a")
            slow.expect(waiting=1)
            server.stop()
            server.wait()
            slow.expect(waiting=0, left=1)
            assert running.exception() is not None or running.result().status_code >= 500


async def test_mounted_in_another_application_without_its_lifespan(tmp_path):
    with loaded(tmp_path) as one:
        inner = app({"desk": one}, jobs=tmp_path / "jobs.db")
        site = Starlette(routes=[Mount("/in", app=inner)])
        transport = httpx.ASGITransport(app=site)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            got = await client.post("/in/run/main", json={"question": "a"})
            assert got.json()["result"] == "you said a"
            got = await client.post("/in/run/main", json={})
            assert got.json()["type"] == "/in/problems/missing-input"
            assert (await client.get(got.json()["type"])).status_code == 200
            assert (await client.get("/in/openapi.json")).json()["servers"] == [{"url": "/in"}]
            got = await client.post("/in/v1/chat/completions", json={"model": "x"})
            assert "error" in got.json()
            got = await client.post("/in/jobs/main", json={"rows": [{"question": "a"}]})
            assert got.headers["location"].startswith("/in/jobs/")
        await inner.stop()


def test_runs_are_kept_in_the_trace_store(tmp_path):
    place = tmp_path / "traces.db"
    with served(tmp_path, traces=place) as client:
        ask(client, "a", headers={"X-Request-Id": "first"})
        client.post("/run/sort", json={"message": "wrong"})
    store = TraceStore(str(place))
    runs = list(store.runs(Filter()))
    store.close()
    assert [(run.target, run.failed) for run in runs] == [("main", ""), ("sort", "model")]
    assert (runs[0].row, runs[0].pred, runs[0].values) == ("first", "you said a", {"question": "a"})
    assert runs[0].trace.calls[0].module == "answer"


def test_an_unknown_option_of_the_application_is_told():
    with pytest.raises(TypeError, match="unknown-option"):
        app([], runz=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "slug"),
    [
        (["--host", "0.0.0.0"], "keys-needed"),
        (["--host", "256.0.0.1", "--without-keys"], "cannot-listen"),
        (["--keys", "missing"], "cannot-read"),
        (["--timeout", "0"], "bad-limit"),
        (["--engine", "nobody"], "unknown-model"),
        (["-m", "openai/m", "--allow-host", "x"], "missing-key"),
        (["-m", "ollama/nobody", "--budget", "usd=1"], "unknown-price"),
    ],
)
def test_what_stops_the_command(tmp_path, monkeypatch, arguments, slug):
    for name in [name for name in os.environ if name.endswith("_KEY") or name.startswith("LMC_S")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    program(tmp_path, "a.lmp")
    got = CliRunner().invoke(cli, ["serve", "a.lmp", "--port", "0", "--jobs", "off", *arguments])
    assert isinstance(got.exception, LmcError) and got.exception.code == slug


def test_nothing_to_serve_is_told():
    got = CliRunner().invoke(cli, ["serve"])
    assert got.exception.code == "nothing-to-serve"


def test_the_options_of_the_application_are_typed():
    import inspect

    names = list(inspect.signature(app).parameters)
    assert names[0] == "given" and "budget" in names
