"""The specification finds what is wrong, and says in which node and line."""

from dataclasses import replace
from typing import Any

import pytest

from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.ir.verify import GraphFault, verify
from lmc.types import INT
from tests.programs import lowered

PROGRAM = """
generate answer(question: str) -> str
pipeline main(question: str) -> str {
  let said = answer(question)
  return if len(said) > 0 then said else "nothing"
}
"""


def with_nodes(change: Any) -> ProgramGraph:
    """The program with the nodes of `main` changed."""
    program = lowered(PROGRAM)
    main = program.graphs["main"]
    changed = replace(main, nodes=tuple(change(list(main.nodes))))
    return replace(program, graphs={**program.graphs, "main": changed})


def replaced(op: str, **fields: Any) -> Any:
    return lambda nodes: [replace(n, **fields) if n.op == op else n for n in nodes]


def test_lowered_programs_hold() -> None:
    verify(lowered(PROGRAM))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda nodes: nodes[::-1], "inputs precede their uses"),
        (lambda nodes: nodes[:-1], "the last node is the return"),
        (replaced("call", attrs={"target": "nobody"}), "calls a graph with as many inputs"),
        (replaced("call", inputs=()), "calls a graph with as many inputs"),
        (replaced("op", attrs={"fn": "launch"}), "its function is known"),
        (replaced("cond", bodies={}), "has the bodies"),
        (replaced("cond", attrs={"free": ()}), "the values of `free` follow"),
        (replaced("const", attrs={}), "has the attributes value"),
        (replaced("call", type=INT), "what it returns is of the graph's type"),
    ],
)
def test_faults_are_found(change: Any, words: str) -> None:
    if words.startswith("what it returns"):
        program = lowered(
            "generate answer(q: str) -> str\npipeline main(q: str) -> str { return answer(q) }"
        )
        main = program.graphs["main"]
        nodes = tuple(replace(n, type=INT) if n.op == "call" else n for n in main.nodes)
        program = replace(program, graphs={**program.graphs, "main": replace(main, nodes=nodes)})
    else:
        program = with_nodes(change)
    with pytest.raises(GraphFault) as fault:
        verify(program)
    assert words in str(fault.value)
    assert "main" in str(fault.value)


def test_a_circle_of_calls_is_found() -> None:
    program = lowered(PROGRAM)
    loop = Graph(
        "answer",
        program.graphs["main"].inputs,
        program.graphs["main"].result,
        (
            program.graphs["main"].nodes[0],
            Node("%1", "call", program.graphs["main"].result, ("%0",), {"target": "main"}),
            Node("%2", "return", program.graphs["main"].result, ("%1",)),
        ),
        "pipeline",
    )
    with pytest.raises(GraphFault, match=r"answer -> main -> answer|main -> answer -> main"):
        verify(replace(program, graphs={**program.graphs, "answer": loop}))
