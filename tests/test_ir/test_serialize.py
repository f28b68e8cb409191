"""Graphs survive JSON; damaged JSON gives a diagnostic."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmc.diagnostics import LmcError
from lmc.ir.serialize import graph_from_json, graph_to_json
from tests.golden import Case, read_cases
from tests.programs import lowered

CASES = read_cases(Path(__file__).parents[1] / "cases" / "ir" / "lowering.md")


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.title)
def test_round_trip(case: Case) -> None:
    program = lowered(case.blocks["lmp"])
    text = json.dumps(graph_to_json(program))
    again = graph_from_json(json.loads(text))
    assert again == program
    assert json.dumps(graph_to_json(again)) == text
    spans = [node.span for graph in again.graphs.values() for node in graph.nodes]
    assert [str(s) for s in spans] == [
        str(n.span) for graph in program.graphs.values() for n in graph.nodes
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("graphs"),
        lambda data: data.update(version=99),
        lambda data: data.update(graphs={"$": "Unknown"}),
        lambda data: data.update(graphs={"$": "type", "index": 7}),
        lambda data: data.update(sources=3),
        lambda data: data.update(tools={"$": "Tool", "nonsense": 1}),
    ],
)
def test_damage_is_told(damage: Any) -> None:
    data = graph_to_json(lowered("generate answer(question: str) -> str"))
    damage(data)
    with pytest.raises(LmcError) as failure:
        graph_from_json(data)
    assert failure.value.code == "unreadable-graph"
