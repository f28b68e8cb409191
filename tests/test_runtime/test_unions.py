"""Unions, sets, dicts and recursive records, from answers of models to results of programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmc.ir.graph import ProgramGraph
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.ir.verify import verify
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.failures import CallFailure
from tests.programs import lowered

TEXT = """
model m { name: "scripted/x" }
default { model: m repair: 1 }
record Refund { kind: "refund" = "refund", order: str, amount: float }
record Complaint { kind: "complaint", text: str, about: (Refund | int)? }
record Node(depth: 3) { label: str, children: list[Node] }
enum Topic { price, speed, taste }
type Expr = Num | Add
record Num { value: float }
record Add(depth: 3) { left: Expr, right: Expr }

generate decide(mail: str) -> Refund | Complaint
generate tree(mail: str) -> Node
generate topics(mail: str) -> list[Topic](1..3, unique)
generate counts(mail: str) -> dict[str, int | "many"]
generate formula(mail: str) -> Expr

pipeline main(mail: str) -> str {
  let x = decide(mail)
  return match x {
    Refund    => x.order,
    Complaint => match x.about { Refund => x.about.order, int => str(x.about + 1), none => x.text },
  }
}
pipeline deepest(mail: str) -> int {
  let root = tree(mail)
  let level = loop nodes: list[Node] = [root] for 3 until len(nodes) == 1 {
    yield [Node(label=n.label, children=[]) for n in nodes] + [c for c in root.children]
  }
  return len(level)
}
pipeline total(mail: str) -> int {
  let found = counts(mail)
  return sum([match n { int => n, "many" => 100 } for n in values(found)])
}
pipeline value_of(mail: str) -> float {
  let x = formula(mail)
  return match x {
    Num => x.value,
    Add => match x.left { Num => x.left.value, Add => 0.0 },
  }
}
"""
REFUND = {"kind": "refund", "order": "A1", "amount": 3.0}
LAYOUTS = ("chat", "json", "xml")


def in_layout(layout: str, value: Any) -> str:
    text = json.dumps(value)
    return {"chat": text, "json": f'{{"result": {text}}}', "xml": f"<result>{text}</result>"}[
        layout
    ]


def executor(program: ProgramGraph, *answers: str) -> tuple[Executor, Scripted]:
    backend = Scripted(list(answers))
    pool = ModelPool(program.models, program.default, backends={"m": backend})
    return Executor(program, pool), backend


def program(layout: str = "chat", *, passes: bool = True) -> ProgramGraph:
    made = lowered(TEXT.replace("repair: 1", f'repair: 1 layout: "{layout}"'))
    return run_passes(made) if passes else made


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("passes", [False, True])
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (REFUND, "A1"),
        ({"kind": "complaint", "text": "cold", "about": None}, "cold"),
        ({"kind": "complaint", "text": "cold", "about": 4}, "5"),
        ({"kind": "complaint", "text": "cold", "about": REFUND | {"order": "B"}}, "B"),
    ],
)
async def test_an_arm_takes_the_member_that_was_answered(
    layout: str, passes: bool, answer: Any, result: str
) -> None:
    ex, _ = executor(program(layout, passes=passes), in_layout(layout, answer))
    assert await ex.run("main", {"mail": "?"}) == result


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_an_answer_of_no_member_is_shown_its_problem(layout: str) -> None:
    wrong, right = {"kind": "other", "order": "A1", "amount": 3}, REFUND
    ex, backend = executor(program(layout), in_layout(layout, wrong), in_layout(layout, right))
    assert await ex.run("decide", {"mail": "?"}) == REFUND
    told = backend.requests[1].messages[-1]["content"]
    assert "`kind` that is one of: refund, complaint" in told


async def test_a_value_that_is_deeper_than_its_record_is_refused() -> None:
    node: dict[str, Any] = {"label": "x", "children": []}
    deep = node
    for _ in range(3):
        deep = {"label": "x", "children": [deep]}
    marked = f"[[label]] x\n[[children]] {json.dumps(deep['children'])}"
    ex, backend = executor(program(), marked, f"[[label]] x\n[[children]] [{json.dumps(node)}]")
    assert await ex.run("tree", {"mail": "?"}) == {"label": "x", "children": [node]}
    assert "`Node` may not nest deeper" in backend.requests[1].messages[-1]["content"]


async def test_sets_dicts_and_trees_are_values_of_programs() -> None:
    ex, _ = executor(program(), '["price", "Taste", "price"]')
    assert await ex.run("topics", {"mail": "?"}) == ["price", "taste"]
    ex, _ = executor(program(), '{"a": 2, "b": "many"}')
    assert await ex.run("total", {"mail": "?"}) == 102
    ex, _ = executor(program(), '{"left": {"value": 2}, "right": {"value": 3}}')
    assert await ex.run("value_of", {"mail": "?"}) == 2.0
    ex, _ = executor(program(), '[[label]] x\n[[children]] [{"label": "y", "children": []}]')
    assert await ex.run("deepest", {"mail": "?"}) == 1


async def test_an_answer_that_stays_wrong_fails_with_its_place() -> None:
    wrong = in_layout("chat", {"kind": "complaint", "text": "x", "about": {"kind": "refund"}})
    ex, _ = executor(program(), wrong, wrong, wrong, wrong)
    with pytest.raises(CallFailure, match="about"):
        await ex.run("decide", {"mail": "?"})


@pytest.mark.parametrize("by", [".kind", "[.kind]"])
async def test_a_vote_counts_a_field_that_all_members_have(by: str) -> None:
    complaint = {"kind": "complaint", "text": "cold", "about": None}
    vote = f"vote most(mail: str) -> Refund | Complaint {{ sample: decide(mail) n: 3 by: {by} }}"
    made = lowered(TEXT + vote)
    verify(made)
    answers = [json.dumps(x) for x in (complaint, REFUND, REFUND | {"order": "B"})]
    ex, _ = executor(run_passes(made), *answers)
    assert await ex.run("most", {"mail": "?"}) == REFUND


def test_a_graph_comes_back_from_its_file_as_it_was() -> None:
    made = program()
    again = graph_from_json(json.loads(json.dumps(graph_to_json(made))))
    assert graph_to_json(again) == graph_to_json(made)
    verify(again)
    assert str(again.graphs["topics"].result) == "list[Topic](1..3, unique)"
