"""The datasets and `optimize` blocks in an artifact's sources are a stranger's claims."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.models.scripted import Scripted
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, lower_checked

SPY = "open('PWNED', 'w').close()\n\n\ndef score(gold, pred):\n    return 1.0\n"
GENERATE = 'generate main(q: str) -> str { """Answer.""" }\n'
ROW = "record Row { q: str, answer: str }\n"
BLOCKS = 'dataset rows: Row { source: "rows.jsonl" }\noptimize main { data: rows, metric: close }\n'
PYTHON = 'metric close(gold: Row, pred: str) -> float from "spy:score"\n'
BODY = "metric close(gold: Row, pred: str) -> float { return 0.5 }\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for place in (Path("rows.jsonl"), tmp_path / "secret.jsonl"):
        place.write_text(json.dumps({"q": "a", "answer": "b"}) + "\n")
    Path("spy.py").write_text(SPY)


def pack(program: str, sources: dict[str, str], entry: str = "p.lmp") -> Path:
    """An artifact whose graph is one program, and whose sources are others."""
    Path("p.lmp").write_text(program)
    graph = lower_checked(check_file("p.lmp"))
    Path("p.lmp").unlink()
    known = Manifest(lmc=lmc.__version__, entry=entry, target="main")
    Artifact(known, graph, sources=sources).write(Path("p.lmpc"))
    return Path("p.lmpc")


def measured(path: Path, **options: Any) -> Any:
    """The score, or the slug of the failure."""
    try:
        answered = Scripted(lambda request: "b")
        return lmc.evaluate(path, backend=answered, cache=False, **options).mean
    except lmc.LmcError as failure:
        return failure.code


def test_a_metric_of_the_sources_needs_consent() -> None:
    text = ROW + GENERATE + PYTHON + BLOCKS
    path = pack(text, {"p.lmp": text})
    assert measured(path) == "tool-not-allowed"
    done = CliRunner().invoke(cli, ["eval", str(path), "--model", "scripted/none.json"])
    assert isinstance(done.exception, lmc.LmcError)
    assert done.exception.code == "tool-not-allowed"
    assert not Path("PWNED").exists()
    assert measured(path, tools="close") == 1.0


def test_the_graph_decides_what_a_metric_is() -> None:
    """Whatever the sources say of it."""
    path = pack(ROW + GENERATE + PYTHON, {"p.lmp": ROW + GENERATE + BODY + BLOCKS})
    assert measured(path) == "tool-not-allowed"
    assert not Path("PWNED").exists()
    path = pack(ROW + GENERATE + BODY, {"p.lmp": ROW + GENERATE + PYTHON + BLOCKS})
    assert measured(path) == 0.5
    assert not Path("PWNED").exists()


@pytest.mark.parametrize("key", ["metric: __call__", "guards: [__call__]"])
def test_a_name_of_a_metric_is_no_python_function(key: str) -> None:
    """The file `spy:score.lmp` makes the name `spy:score.__call__`, which could be imported."""
    lib = ROW + BODY.replace("close", "__call__")
    main = f'from "spy:score.lmp" import Row, __call__\n{GENERATE}'
    block = BLOCKS.replace("metric: close", key)
    path = pack(ROW + GENERATE, {"p.lmp": main + block, "spy:score.lmp": lib})
    assert measured(path) == "held-sources"
    assert not Path("PWNED").exists()


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        ("../secret.jsonl", "p.lmp"),
        ("{above}/secret.jsonl", "p.lmp"),
        ("~/secret.jsonl", "p.lmp"),
        ("link.jsonl", "p.lmp"),
        ("secret.jsonl", "../p.lmp"),
        ("secret.jsonl", "{above}/p.lmp"),
    ],
)
def test_rows_are_read_from_the_folder_of_the_artifact(
    source: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    block = BLOCKS.replace("rows.jsonl", source.format(above=tmp_path))
    text = ROW + GENERATE + BODY + block
    name = entry.format(above=tmp_path)
    path = pack(ROW + GENERATE + BODY, {"p.lmp": text})
    artifact = Artifact.read(path)
    known = artifact.manifest.model_copy(update={"entry": name})
    program = lmc.load(path, backend=Scripted(lambda request: "b"), cache=False)
    program.artifact = Artifact(known, artifact.graph, sources={name: text})
    with program, pytest.raises(lmc.LmcError) as failure:
        lmc.evaluate(program)
    assert failure.value.code == "outside-folder"
    if entry == "p.lmp":
        assert measured(path, paths=[tmp_path]) == 0.5


def test_steps_of_the_sources_are_not_taken() -> None:
    """They may name teachers: other artifacts anywhere on the disk."""
    steps = 'metric: close, steps: [bootstrap(teacher="../secret.lmpc")]'
    text = ROW + GENERATE + BODY + BLOCKS.replace("metric: close", steps)
    program = lmc.load(pack(text, {"p.lmp": text}))
    assert [block.steps for block in program.blocks.optimizes] == [()]


def test_a_source_in_an_artifact_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmc.program.artifact.MOST_SOURCE_BYTES", 1000)
    path = pack(GENERATE, {"p.lmp": GENERATE + "#" * 1000})
    with pytest.raises(lmc.LmcError, match=r"`sources/p\.lmp` is too large"):
        lmc.load(path)
