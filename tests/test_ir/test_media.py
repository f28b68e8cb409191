"""Graphs with media and turns: written, read, and refused where they break the rules."""

from dataclasses import replace
from pathlib import Path

import pytest

from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.ir.verify import GraphFault, verify
from lmc.types import MESSAGE, STR, MediaType
from tests.programs import lowered

PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
SOURCE = f'''
generate look(photo: image, talk: messages) -> str {{ """Look.""" keep: 9 tokens }}
example look(image("{PNG}"), [user("a", image("{PNG}")), assistant("b")]) -> "c"
pipeline main(q: str) -> str {{ return look(image("{PNG}"), [user(q)]) }}
'''


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProgramGraph:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    return lowered(SOURCE)


def test_they_are_written_and_read(program: ProgramGraph) -> None:
    again = graph_from_json(graph_to_json(program))
    assert again == program
    verify(again)


def changed(program: ProgramGraph, graph: str, op: str, **parts: object) -> ProgramGraph:
    """The program with other parts in the nodes of an operation."""
    old = program.graphs[graph]

    def change(node: Node) -> Node:
        return replace(node, **parts) if op in (node.op, node.attrs.get("fn")) else node

    new: Graph = replace(old, nodes=tuple(map(change, old.nodes)))
    return replace(program, graphs={**program.graphs, graph: new})


def test_no_model_gives_media_or_turns(program: ProgramGraph) -> None:
    for type in (MediaType("image"), MESSAGE):
        with pytest.raises(GraphFault, match="what a model can write"):
            verify(changed(program, "look", "model", type=type))


def test_a_turn_is_made_of_text_and_is_a_message(program: ProgramGraph) -> None:
    with pytest.raises(GraphFault, match="a turn"):
        verify(changed(program, "main", "user", type=STR))


@pytest.mark.parametrize(
    "value", [{"media": "text/html", "sha256": "0" * 64, "bytes": 1}, "/etc/passwd", 5,
              {"media": "image/png", "sha256": "0" * 64, "bytes": 1, "path": "/etc/passwd"}],
)  # fmt: skip
def test_a_constant_is_media_and_nothing_else(program: ProgramGraph, value: object) -> None:
    with pytest.raises(GraphFault, match="its value is of its type"):
        verify(changed(program, "main", "const", attrs={"value": value}))


def test_an_unknown_kind_is_no_type(program: ProgramGraph) -> None:
    with pytest.raises(GraphFault):
        verify(changed(program, "main", "const", type=MediaType("video")))
