"""The specification finds what is wrong, and says in which node and line."""

import math
from dataclasses import replace
from typing import Any

import pytest

from lmc.ir import verify as verifying
from lmc.ir.graph import Graph, Node, Port, ProgramGraph, all_nodes
from lmc.ir.type_rules import TypeRules, json_parts
from lmc.ir.verify import GraphFault, Verified, verify
from lmc.passes.pipeline import run_passes
from lmc.types import (
    FLOAT,
    INT,
    STR,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    StrType,
    Type,
)
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


@pytest.mark.parametrize(
    ("actual", "wanted", "fits"),
    [
        (ListType(INT), ListType(FLOAT), True),
        (ListType(FLOAT), ListType(INT), False),
        (LiteralType(("a" * 40 + "b",)), StrType(pattern="(a+)+$"), True),  # not tried
        (RecordType("A", (Field("x", INT),)), RecordType("B", (Field("x", FLOAT),)), True),
        (RecordType("A", (Field("y", INT),)), RecordType("B", (Field("x", FLOAT),)), False),
    ],
)
def test_types_are_compared_as_the_checker_does(actual: Type, wanted: Type, fits: bool) -> None:
    assert TypeRules().fits(actual, wanted) is fits


def test_comparing_types_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    one = RecordType("A", tuple(Field(f"f{i}", INT) for i in range(30)))
    other = RecordType("B", tuple(Field(f"f{i}", FLOAT) for i in range(30)))
    assert TypeRules().fits(one, other)
    monkeypatch.setattr("lmc.ir.type_rules.MOST_STEPS", 900)
    assert not TypeRules().fits(one, other)


@pytest.mark.parametrize(
    "type",
    [
        "str",
        StrType(min_len=-1),
        StrType(pattern="("),
        IntType(low="0"),  # type: ignore[arg-type]
        FloatType(high=math.inf),
        ListType("str"),  # type: ignore[arg-type]
        LiteralType(("a", 3)),  # type: ignore[arg-type]
        EnumType("E", ("a",), notes=("x", "y")),
        RecordType("R", (Field("a", INT), Field("a", INT))),
        RecordType("R", (Field("a", INT, has_default=True, default="x"),)),
    ],
    ids=repr,
)
def test_what_is_no_type_is_found(type: Any) -> None:
    rules = TypeRules()
    assert not rules.is_type(type)
    assert rules.is_type(INT)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (None, 1), (1.5, 1), ("x", 1), ([1, [2]], 4), ({"a": []}, 2),
        (math.nan, 0), ((1,), 0), ({1: 2}, 0), ([INT], 0), (object(), 0),
    ],
)  # fmt: skip
def test_json_is_told_from_what_is_none(value: Any, parts: int) -> None:
    assert json_parts(value) == parts


def test_a_built_record_has_checked_fields() -> None:
    """What a type does not tell of a field's refinements is checked; format 1 did not do so."""
    program = lowered("""
record Hop { query: str(1..120), cites: list[str](1..4) }
generate answer(hop: Hop) -> str
pipeline main(question: str) -> str {
  let first = answer(Hop(query=question, cites=["a"]))
  return answer(Hop(query=first, cites=[first])) + answer(Hop(query="?", cites=["b"]))
}
""")
    verify(program)
    verify(run_passes(program))  # where the last record is a constant
    graphs = {name: without("within", graph) for name, graph in program.graphs.items()}
    with pytest.raises(GraphFault, match="`query` is of the field's type"):
        verify(replace(program, graphs=graphs))
    verify(replace(program, graphs=graphs, version=1))
    verify(forged("within", (INT,), IntType(0, 5), name="S.a"))
    with pytest.raises(GraphFault, match="of its type but for refinements"):
        verify(forged("within", (STR,), IntType(0, 5), name="S.a"))


NARROW, WIDE = "record A { x: int }\n", "record B { x: int, y: int }\n"
WIDER = {  # how a wider record goes where a narrower one is asked for
    "result": "pipeline main(b: B) -> A { return b }",
    "argument": "pipeline same(a: A) -> A { return a }\n"
    "pipeline main(b: B) -> A { return same(b) }",
    "items": "pipeline main(bs: list[B]) -> list[A] { return bs }",
    "optional": "pipeline main(b: B?) -> A? { return b }",
    "field": "record Box { a: A }\npipeline main(b: B) -> Box { return Box(a=b) }",
    "branch": "pipeline main(b: B, q: bool) -> A { return if q then b else A(x=1) }",
    "item of a list": "pipeline main(b: B) -> list[A] { return [A(x=1), b] }",
    "map": "pipeline main(bs: list[B]) -> list[A] { return [b for b in bs] }",
    "loop": "pipeline main(b: B) -> A { return loop a: A = b for 2 { yield b } }",
}


def without(fn: str, graph: Graph) -> Graph:
    """The graph with each operation of a function passing on its input."""
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(renamed.get(id, id) for id in node.inputs)
        bodies = {name: without(fn, body) for name, body in node.bodies.items()}
        if node.op == "op" and node.attrs["fn"] == fn:
            renamed[node.id] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs, bodies=bodies))
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("text", WIDER.values(), ids=WIDER)
def test_a_wider_record_must_be_projected(text: str) -> None:
    program = lowered(NARROW + WIDE + text)
    verify(program)
    graphs = {name: without("project", graph) for name, graph in program.graphs.items()}
    with pytest.raises(GraphFault):
        verify(replace(program, graphs=graphs))


def forged(fn: str, inputs: tuple[Type, ...], type: Type, **attrs: Any) -> ProgramGraph:
    """A program whose `main` gives the result of one operation on its inputs."""
    ports = tuple(Port(f"i{place}", type) for place, type in enumerate(inputs))
    nodes = [
        *(Node(f"%{p.name}", "input", p.type, attrs={"name": p.name}) for p in ports),
        Node("%op", "op", type, tuple(f"%{p.name}" for p in ports), {"fn": fn, **attrs}),
        Node("%out", "return", type, ("%op",)),
    ]
    program = lowered("pipeline main() -> int { return 1 }")
    main = replace(program.graphs["main"], inputs=ports, result=type, nodes=tuple(nodes))
    return replace(program, graphs={"main": main})


A = RecordType("A", (Field("x", INT),))
B = RecordType("B", (Field("x", INT), Field("y", INT)))
BOX = RecordType("Box", (Field("b", B),))


@pytest.mark.parametrize(
    ("fn", "inputs", "type", "attrs"),
    [
        ("present", (OptionalType(B),), A, {}),
        ("add", (ListType(A), ListType(B)), ListType(A), {}),
        ("unique", (ListType(B),), ListType(A), {}),
        ("first", (ListType(B),), OptionalType(A), {}),
        ("index", (ListType(B), INT), A, {}),
        ("list", (A, B), ListType(A), {}),
        ("attr", (BOX,), A, {"name": "b"}),
    ],
)
def test_no_operation_passes_a_wider_record_on(
    fn: str, inputs: tuple[Type, ...], type: Type, attrs: dict[str, Any]
) -> None:
    with pytest.raises(GraphFault, match="a wider record is projected first"):
        verify(forged(fn, inputs, type, **attrs))
    verify(forged("project", (B,), A))


def test_a_constant_has_the_fields_of_its_type() -> None:
    assert TypeRules().holds({"x": 1}, A)
    assert not TypeRules().holds({"x": 1, "y": 2}, A)
    assert not TypeRules().holds([{"x": 1, "y": 2}], ListType(A))


# --- forms of one program, one after the other ---


def looked_at(forms: list[ProgramGraph], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes were held against the rules in each form."""
    counts, seen, real = [], Verified(), verifying._broken

    def counted(site: Any) -> str | None:
        counts[-1] += 1
        return real(site)

    monkeypatch.setattr(verifying, "_broken", counted)
    for form in forms:
        counts.append(0)
        verify(form, seen=seen)
    return counts


def test_what_stays_the_same_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    program = lowered(PROGRAM)
    first, second = looked_at([program, program], monkeypatch)
    named = [n for g in program.graphs.values() for n in all_nodes(g)]
    again = [n for n in named if n.op in ("call", "model", "return")]
    assert first == len(named)
    assert second == len(again)


def test_what_was_moved_or_names_what_is_gone_is_checked_again() -> None:
    program = lowered(PROGRAM)
    seen = Verified()
    verify(program, seen=seen)
    without = replace(program, graphs={"main": program.graphs["main"]}, exports=("main",))
    with pytest.raises(GraphFault, match="calls a graph with as many inputs"):
        verify(without, seen=seen)
    main = program.graphs["main"]
    [condition] = [n for n in main.nodes if n.op == "cond"]
    said = next(n for n in main.nodes if n.op == "call")
    nodes = [replace(n, id=condition.inputs[0]) if n is said else n for n in main.nodes]
    changed = [n for n in nodes if n.op not in ("op", "const")]
    graphs = {**program.graphs, "main": replace(main, nodes=tuple(changed))}
    with pytest.raises(GraphFault):
        verify(replace(program, graphs=graphs), seen=seen)
