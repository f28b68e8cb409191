"""The blocks of an artifact: data, metric, target and tests from the sources that it holds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.job import settle
from lmc.optimizers.compilation.options import CompileOptions
from lmc.program.artifact import Artifact, Manifest
from lmc.program.task import find_target

DATA = """
record Row { word: str, size: int }
dataset rows: Row { source: "rows.jsonl", split: {train: 2, dev: 1, test: 1} }
metric near(gold: Row, pred: int) -> float { return if gold.size == pred then 0.25 else 0.0 }
"""
MAIN = '''from "lib/data.lmp" import Row, rows, near
model m { name: "scripted/answers.json" }
generate measure(word: str) -> int { """How long is it?""" model: m }
generate main(word: str) -> str { """Say it.""" model: m }
optimize measure { data: rows, metric: near, steps: [bootstrap(demos=1)] }
test "a word" {
  stub measure -> 3
  assert measure("one") == 3
}
'''
ROWS = [{"word": word, "size": len(word)} for word in ("one", "three", "seven", "eleven")]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answers(request: Any) -> str:
    """The right length."""
    text = request.messages[-1]["content"]
    return next(str(row["size"]) for row in ROWS if str(row["word"]) in text)


def pack(main: str = MAIN, data: str = DATA, *, write: bool = True) -> Path:
    """An artifact of a program with a file beneath, without the sources on disk."""
    from lmc.optimizers.compilation.job import _sources

    Path("lib").mkdir()
    Path("main.lmp").write_text(main)
    Path("lib/data.lmp").write_text(data)
    Path("answers.json").write_text('["3"]')
    program = lmc.load("main.lmp")
    sources = _sources(program)
    known = Manifest(lmc=lmc.__version__, entry="main.lmp", target="measure")
    Artifact(known, program.graph, sources=sources).write(Path("x.lmpc"))
    Path("main.lmp").unlink()
    Path("lib/data.lmp").unlink()
    if write:
        Path("lib/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Path("x.lmpc")


def test_data_and_metric_come_from_the_sources() -> None:
    path = pack()
    with lmc.load(path, backend=Scripted(answers), cache=False) as program:
        found = lmc.evaluate(program)
        assert (found.mean, found.rows) == (0.25, 1)  # the metric, the test row, the target
        assert lmc.evaluate(program, part="all").rows == 4
        assert lmc.evaluate(program, "data.rows", "accuracy(size)", part="all").mean == 1.0
        assert lmc.evaluate(program, ROWS, "accuracy(size)").mean == 1.0


def test_the_commands_take_them() -> None:
    path = pack()
    done = CliRunner().invoke(cli, ["eval", str(path), "--no-cache", "--json", "--split", "all"])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["rows"] == 4
    done = CliRunner().invoke(cli, ["test", str(path)])
    assert (done.exit_code, "1 test passed" in done.output) == (0, True)


def test_rows_lie_beside_the_artifact() -> None:
    path = pack()
    Path("far").mkdir()
    shutil.move(path, "far/x.lmpc")
    with pytest.raises(lmc.LmcError, match=r"cannot read the rows of .*far/lib/rows\.jsonl"):
        lmc.evaluate("far/x.lmpc", backend=Scripted(answers), cache=False)


def test_a_compilation_takes_all_but_the_steps() -> None:
    path = pack()
    Path("lib/rows.jsonl").write_text(
        "".join(json.dumps({"word": f"w{i}", "size": 2}) + "\n" for i in range(40))
    )
    declared = find_target(lmc.load(path), None).declared
    assert declared is not None
    assert (declared.data, declared.metric) == ("data.rows", "data.near")
    assert declared.steps == ()
    assert find_target(lmc.load(path), "main").declared is None
    given = CompileOptions(data="lib/rows.jsonl", metric="accuracy(size)", optimizer="bootstrap()")
    rows = replace(given, data=[{"word": f"w{i}", "size": 2} for i in range(200)])
    job = settle(path, rows)
    assert (job.target, job.name, sorted(job.sources)) == (
        "measure",
        "main.lmp",
        ["lib/data.lmp", "main.lmp"],
    )
    assert settle(lmc.load(path), rows).sources == job.sources


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda sources: {}, "no-data"),
        (lambda sources: {"main.lmp": MAIN.split("optimize")[0]}, "held-sources"),
        (lambda sources: {**sources, "main.lmp": "generate {"}, "held-sources"),
        (lambda sources: {"other.lmp": MAIN}, "held-sources"),
        (lambda sources: {"main.lmp": "pipeline main() -> int { return 1 }\n"}, "no-data"),
    ],
    ids=["none", "an import is missing", "damaged", "no entry", "no blocks"],
)
def test_sources_that_lack_the_blocks_say_so(change: Any, wanted: str) -> None:
    path = pack()
    artifact = Artifact.read(path)
    replace(artifact, sources=change(artifact.sources)).write(path)
    with lmc.load(path, backend=Scripted(answers), cache=False) as program:
        with pytest.raises(lmc.LmcError) as failure:
            lmc.evaluate(program, target="measure")
        assert failure.value.code == wanted
        assert "--data" in str(failure.value.diagnostics[0].help)
        # What is given needs no sources.
        found = lmc.evaluate(program, ROWS, "accuracy(size)", target="measure")
        assert found.mean == 1.0


def test_a_metric_is_not_guessed_where_the_sources_cannot_say() -> None:
    path = pack()
    artifact = Artifact.read(path)
    replace(artifact, sources={"main.lmp": "generate {"}).write(path)
    with pytest.raises(lmc.LmcError, match=r"they cannot be compiled here") as failure:
        lmc.evaluate(path, ROWS, target="measure", backend=Scripted(answers), cache=False)
    assert "--metric" in str(failure.value.diagnostics[0].help)
