"""The standard library: each program names its paper, stands in the docs, and runs on lmc/tiny."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.ir.dot import to_dot
from lmc.ir.mermaid import to_mermaid
from lmc.ir.printer import print_program
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.program.program import lower_file

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "programs").glob("*.lmp"))
INPUTS: dict[str, Any] = {
    "question": "Add 29 and 66.",
    "text": "Ana lives in Rome.",
    "labels": ["travel", "sport"],
    "fields": ["name"],
    "passages": ["Ana lives in Rome.", "Cows eat grass."],
    "answer": "95",
    "task": "Write double(x).",
    "tests": ["assert double(2) == 4"],
}


def test_the_library_is_whole() -> None:
    assert len(PROGRAMS) >= 48


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_each_names_its_paper_and_stands_in_the_docs(path: Path) -> None:
    head = "\n".join(line for line in path.read_text("utf-8").splitlines() if line.startswith("#"))
    assert re.search(r"arXiv \d{4}\.\d{5}", head.replace("\n# ", " "))
    assert f'from "lmc/{path.stem}" import' in head
    assert f"`{path.stem}`" in (ROOT / "docs" / "reference" / "programs.md").read_text("utf-8")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_each_can_be_drawn(path: Path) -> None:
    graph = lower_file(path)
    for name in graph.exports:
        assert name in print_program(graph)
        assert to_mermaid(graph, name).startswith("flowchart")
        assert to_dot(graph, name).startswith("digraph")
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph


@pytest.fixture(scope="module")
def loaded() -> Iterator[None]:
    """Holds the weights of the model in the box, so that not each program loads them anew."""
    with lmc.load(ROOT / "programs" / "classify.lmp", model="lmc/tiny", cache=False) as program:
        program.main(text="Cows eat grass.", labels=["travel", "farming"])
        yield


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_each_runs_on_the_model_in_the_box(path: Path, loaded: None) -> None:
    with lmc.load(path, model="lmc/tiny", cache=False, stores="memory") as program:
        ports = program.main.graph.inputs
        given = {port.name: INPUTS[port.name] for port in ports if port.name in INPUTS}
        (result,) = program.main.batch([given], return_exceptions=True)
    # So small a model may fail to answer in the form asked for; nothing else may go wrong.
    assert not isinstance(result, lmc.LmcError) or result.code == "call-failed"


def test_a_project_can_start_with_one(tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["new", str(tmp_path / "x"), "--from", "debate"])
    assert made.exit_code == 0
    source = (ROOT / "programs" / "debate.lmp").read_text("utf-8")
    assert (tmp_path / "x" / "main.lmp").read_text("utf-8") == source
