"""Weights as a parameter: trained from accepted runs, raced, confirmed, kept in the artifact."""

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("peft")

import lmc
from examples.tiny.rows import DESKS, draw_rows
from lmc.cli.main import cli
from lmc.diagnostics import LmcError
from lmc.models.adapters import WEIGHTS, adapter_store
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.optimizers.lessons.groups import groups
from lmc.optimizers.lessons.weights import as_lessons, training_rows
from lmc.program.artifact import Artifact
from lmc.prompts.spec import Demo
from tests.loopback import Loopback
from tests.lora_files import adapter_files

ROUTE = 'generate route(message: str) -> str { """Which desk handles the message?""" }\n'
TEAM = '''
generate first(text: str) -> str { """Shorten.""" adapter: writer }
generate second(text: str) -> str { """Translate.""" adapter: writer reason: true }
generate third(text: str) -> str { """Check.""" }
pipeline main(text: str) -> str { return third(second(first(text))) }
'''


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))


def test_labels_go_into_the_weights_and_with_the_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("route.lmp").write_text(ROUTE)
    rows = list(draw_rows("triage", 200, 1))
    result = lmc.compile(
        "route.lmp",
        metric="accuracy",
        data=[{"message": r["message"], "desk": r["desk"]} for r in rows],
        optimizer="lora(epochs=10)",
        model="lmc/tiny",
        out="route.lmpc",
    )
    assert result.improved, result.summary()
    assert result.test is not None
    assert result.test.before.mean < 0.1
    assert result.test.after.mean > 0.6
    id = result.artifact.parameters.modules["route"].adapter
    with zipfile.ZipFile("route.lmpc") as archive:
        assert f"adapters/{id}/{WEIGHTS}" in archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
    assert f"adapters/{id}/{WEIGHTS}" in manifest["parts"]
    shown = CliRunner().invoke(cli, ["show", "route.lmpc"])
    assert f"adapter: {id}" in shown.output
    monkeypatch.setenv("LMC_CACHE_DIR", "elsewhere")  # another machine
    program = lmc.load("route.lmpc")
    assert adapter_store().find(str(id)).id == id
    assert program.route(message=str(rows[0]["message"])) in DESKS.values()


def test_weights_that_were_changed_are_refused() -> None:
    files = adapter_files()
    id = adapter_store().add_files(files).id
    Path("route.lmp").write_text(ROUTE)
    program = lmc.load("route.lmp")
    from lmc.program.artifact import Manifest
    from lmc.runtime.parameters import ModuleParameters, Parameters

    parameters = Parameters({"route": ModuleParameters(adapter=id)})
    Artifact(Manifest(lmc="0", entry="route.lmp"), program.graph, parameters).write(Path("a.lmpc"))
    assert Artifact.read(Path("a.lmpc")).parameters == parameters
    data = Path("a.lmpc").read_bytes()
    assert data.count(b"weights") >= 1
    Path("b.lmpc").write_bytes(data.replace(b"weights", b"WEIGHTS"))
    with pytest.raises(LmcError) as found:
        Artifact.read(Path("b.lmpc"))
    assert found.value.diagnostics[0].code == "artifact-damaged"


def test_weights_that_lie_elsewhere_are_refused_before_any_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Loopback() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        Path("route.lmp").write_text(
            f'model far {{ name: "openai/gpt", base_url: "{server.url}" }}\n'
            + ROUTE.replace(" }", " model: far }")
        )
        data = [{"message": r["message"], "desk": r["desk"]} for r in draw_rows("triage", 80, 1)]
        with pytest.raises(LmcError) as found:
            lmc.compile("route.lmp", metric="accuracy", data=data, optimizer="lora")
        assert found.value.diagnostics[0].code == "cannot-train"
        assert not server.payloads


def test_modules_of_one_adapter_are_trained_together() -> None:
    Path("team.lmp").write_text(TEAM)
    executor = lmc.load("team.lmp").executor
    found = {group.name: group.modules for group in groups(executor, "main")}
    assert found == {"writer": ("first", "second"), "third": ("third",)}


def test_rows_are_what_the_module_is_asked_and_writes() -> None:
    Path("team.lmp").write_text(TEAM)
    executor = lmc.load("team.lmp").executor
    first, second = groups(executor, "main")[0].calls
    pool = DemoPool()
    pool.add("first", Demo({"text": "a long text"}, {"result": "text"}))
    pool.add("second", Demo({"text": "bare label"}, {"result": "text"}))
    pool.add("second", Demo({"text": "whole"}, {"reasoning": "It is.", "result": "ganz"}))
    (row,) = training_rows(first, as_lessons(pool))
    assert list(row.messages) == first.prompt({"text": "a long text"})
    assert row.answer == "text"
    (row,) = training_rows(second, as_lessons(pool))
    assert "It is." in row.answer
    assert "ganz" in row.answer
