"""Evaluations and compilations as runs of MLflow, in a store of files."""

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.telemetry import tracking

NEEDS_MLFLOW = pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")
ROWS = [{"id": str(i), "q": f"{i}", "answer": f"{i}"} for i in range(4)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "it.lmp"
    file.write_text('generate main(q: str) -> str { "Say it." }\n')
    return file


def echo(request: Request) -> str:
    return request.messages[-1]["content"].strip().split()[-1]


def load(path: Path) -> lmc.Program:
    return lmc.load(path, backend=Scripted(echo), cache=False)


def test_a_tool_that_does_not_exist(path: Path) -> None:
    with pytest.raises(lmc.LmcError, match="unknown-tracker"):
        lmc.evaluate(load(path), ROWS, "accuracy", track="mlfow")


def test_mlflow_is_not_installed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(lmc.LmcError, match="missing-extra") as failed:
        lmc.evaluate(load(path), ROWS, "accuracy", track="mlflow")
    assert failed.value.diagnostics[0].help == 'pip install "lmc-lang[mlflow]"'


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    from mlflow.tracking import MlflowClient

    return MlflowClient()


def runs_of(client: Any, experiment: str = "lmc") -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], order_by=["start_time"]))


def artifact(client: Any, run: Any, name: str) -> str:
    return Path(client.download_artifacts(run.info.run_id, name)).read_text()


@NEEDS_MLFLOW
def test_an_evaluation(path: Path, client: Any) -> None:
    lmc.evaluate(load(path), ROWS, "accuracy", track="mlflow", budget={"calls": 20})
    (run,) = runs_of(client)
    assert (run.info.run_name, run.info.status) == ("eval main", "FINISHED")
    expected = {"program": "it.lmp", "target": "main", "metric": "accuracy", "rows": "4"}
    assert (
        expected | {"budget": "calls=20", "models": "lmc/tiny"}
    ).items() <= run.data.params.items()
    assert run.data.metrics["score"] == run.data.metrics["accuracy"] == 1.0
    assert run.data.metrics["calls"] == 4
    assert run.data.tags["lmc.version"] == lmc.__version__
    lines = artifact(client, run, "results.jsonl").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2", "3", "4"]


@NEEDS_MLFLOW
def test_a_run_of_the_caller_is_the_parent(path: Path, client: Any) -> None:
    import mlflow

    with mlflow.start_run(experiment_id=client.create_experiment("mine")) as parent:
        asyncio.run(lmc.aevaluate(load(path), ROWS, "accuracy", track="mlflow"))
        assert mlflow.active_run().info.run_id == parent.info.run_id
    (run,) = (r for r in runs_of(client, "mine") if r.info.run_id != parent.info.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


@NEEDS_MLFLOW
def test_a_failed_evaluation(path: Path, client: Any) -> None:
    with pytest.raises(lmc.LmcError, match="budget"):
        lmc.evaluate(load(path), ROWS, "accuracy", track="mlflow", budget={"calls": 1})
    (run,) = runs_of(client)
    assert run.info.status == "FAILED"


@NEEDS_MLFLOW
def test_the_command_line(path: Path, client: Any) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    Path("answers.json").write_text(json.dumps({"rules": [], "default": "2"}))
    command = f"eval {path} -d rows.jsonl --metric accuracy -m scripted/answers.json"
    done = CliRunner().invoke(cli, [*command.split(), "--track", "mlflow", "-o", "out.jsonl"])
    assert done.exit_code == 0, done.output
    (run,) = runs_of(client)
    assert run.data.metrics["score"] == 0.25
    assert run.data.params["models"] == "scripted/answers.json"
    assert len(artifact(client, run, "out.jsonl").splitlines()) == 4


@NEEDS_MLFLOW
def test_a_compilation(path: Path, client: Any) -> None:
    rows = [{"id": str(i), "q": f"{i}", "answer": f"{i}"} for i in range(80)]
    seen: list[Any] = []
    result = lmc.compile(
        path, data=rows, metric="accuracy", optimizer="labeled(demos=2)", out="it.lmpc",
        backend=Scripted(echo), cache=False, track="mlflow", progress=seen.append,
    )  # fmt: skip
    assert seen
    assert result.tracked is not None
    run = client.get_run(result.tracked.id)
    assert (run.info.run_name, run.info.status) == ("compile main", "FINISHED")
    assert run.data.params["steps"] == "labeled(demos=2)"
    assert "step.1" in run.data.tags
    assert run.data.tags["verdict"] == result.verdict()
    assert result.test is not None
    assert run.data.metrics["test.after"] == result.test.after.mean
    files = {found.path for found in client.list_artifacts(run.info.run_id)}
    assert {"it.lmpc", "summary.txt", "rows.jsonl", "candidates.tsv"} <= files


@NEEDS_MLFLOW
def test_a_server_that_goes_away_stops_nothing(
    path: Path, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.tracking import MlflowClient

    def gone(*_: Any, **__: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(MlflowClient, "log_batch", gone)
    found = lmc.evaluate(load(path), ROWS, "accuracy", track="mlflow")
    assert found.mean == 1.0
    assert caplog.text.count("MLflow takes nothing more of this run: OSError: gone") == 1


@NEEDS_MLFLOW
def test_a_server_that_is_not_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuch://place")
    with pytest.raises(lmc.LmcError, match="cannot-track"):
        lmc.evaluate(load(path), ROWS, "accuracy", track="mlflow")
