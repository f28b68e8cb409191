"""A record goes where its own type is asked for, and nothing more."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.check.subtyping import narrows
from lmc.check.width import project
from lmc.ir.graph import ProgramGraph
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_sync
from lmc.values import validate
from tests.programs import lowered

RECORDS = "record A { x: int }\nrecord B { x: int, y: int }\nrecord Box { it: A }\n"


def run(program: ProgramGraph, name: str, **inputs):
    pool = ModelPool(program.models, program.default)
    return run_sync(Executor(program, pool).run(name, inputs))


WIDE = "B(x=n, y=2)"
PLACES = {
    "return": ("A", f"return {WIDE}"),
    "let": ("A", f"let a: A = {WIDE}\n  return a"),
    "argument": ("A", f"return same({WIDE})"),
    "field": ("Box", f"return Box(it={WIDE})"),
    "item": ("list[A]", f"return [A(x=1), {WIDE}]"),
    "list": ("list[A]", f"let bs = [{WIDE}]\n  return bs"),
    "sum of lists": ("list[A]", f"return [A(x=1)] + [{WIDE}]"),
    "comprehension": ("list[A]", f"return [{WIDE} for i in [1, 2]]"),
    "if": ("A", f"return if n > 1 then A(x=n) else {WIDE}"),
    "statement": ("A", f"if n > 1 {{ return {WIDE} }}\n  return A(x=n)"),
    "match": ("A", f'return match str(n) {{ "1" => {WIDE}, _ => A(x=n) }}'),
    "default": ("A", f"return first([A(x=1)]) ?? {WIDE}"),
    "optional": ("A?", f"return first([{WIDE}])"),
    "loop": ("A", f"return loop a: A = {WIDE} for 2 {{ yield B(x=a.x, y=3) }}"),
    "tune": ("A", "return tune[B(x=1, y=2), A(x=1)]"),
    "vote": ("A", "return voted(n)"),
    "route": ("A", "return routed(n)"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("passes", [False, True])
def test_a_wider_record_loses_its_other_fields(place, passes):
    result, body = PLACES[place]
    program = lowered(f"""{RECORDS}
pipeline same(a: A) -> A {{ return a }}
pipeline wide(n: int) -> B {{ return {WIDE} }}
vote voted(n: int) -> A {{ sample: wide(n) n: 3 }}
route routed(n: int) -> A {{ by: kind(n) to: {{one: wide(n), two: wide(n)}} }}
pipeline kind(n: int) -> "one" | "two" {{ return "one" }}
pipeline main(n: int) -> {result} {{
  {body}
}}""")
    program = run_passes(program) if passes else program
    assert '"y"' not in json.dumps(run(program, "main", n=1))


@pytest.mark.parametrize(
    "condition",
    [
        "B(x=n, y=2) == A(x=n)",
        "A(x=n) == B(x=n, y=2)",
        "not (B(x=n, y=2) != A(x=n))",
        "[B(x=n, y=2)] == [A(x=n)]",
        "B(x=n, y=2) in [A(x=n)]",
        "A(x=n) in [B(x=n, y=2)]",
        "count([B(x=n, y=2)], A(x=n)) == 1",
    ],
)
def test_records_are_compared_by_the_fields_that_both_have(condition):
    program = lowered(f"{RECORDS}pipeline main(n: int) -> bool {{ return {condition} }}")
    assert run(program, "main", n=1) is True
    assert run(run_passes(program), "main", n=1) is True


def test_constants_have_the_fields_of_their_type():
    program = lowered(f"""{RECORDS}
generate f(a: A = B(x=1, y=2)) -> Box {{ \"\"\"D.\"\"\" }}
example f(a=B(x=3, y=4)) -> Box(it=B(x=5, y=6))
pipeline main(a: A = B(x=7, y=8)) -> A {{ return a }}
test "stub" {{ stub f -> Box(it=B(x=9, y=9)) assert f().it.x == 9 }}
""")
    ((inputs, result),) = program.graphs["f"].nodes[-2].attrs["slots"].demos
    assert (inputs, result) == ({"a": {"x": 3}}, {"it": {"x": 5}})
    assert program.graphs["f"].inputs[0].default == {"x": 1}
    assert run(program, "main") == {"x": 7}
    assert run_sync(Executor(program, ModelPool({}, {})).run_plan(  # what the stub gives
        Executor(program, ModelPool({}, {})).plan(program.tests[0].stubs["f"]), {}, None
    )) == {"it": {"x": 9}}  # fmt: skip


def test_records_of_the_same_fields_cost_nothing():
    program = lowered(
        f"{RECORDS}record Same {{ x: int }}\npipeline main(s: Same) -> A {{ return s }}"
    )
    assert [node.op for node in program.graphs["main"].nodes] == ["input", "return"]


# --- any program ---


@dataclass
class Shape:
    """A type with its text, and a wider one whose values fit it."""

    narrow: str
    wide: str
    values: st.SearchStrategy
    declared: tuple[str, ...] = ()


ATOMS = [
    Shape("int", "int", st.integers(-9, 9)),
    Shape("str", "str", st.text("abc", max_size=3)),
    Shape("bool", "bool", st.booleans()),
]


@st.composite
def record_shapes(draw, inner):
    """A record and one with more fields; each field of both has a shape of its own."""
    parts = draw(st.lists(inner, min_size=1, max_size=3))
    extra = draw(st.integers(0, 2))
    name = f"{draw(st.uuids()).hex}"
    fields = [f"f{i}: {part.narrow}" for i, part in enumerate(parts)]
    wider = [f"f{i}: {part.wide}" for i, part in enumerate(parts)]
    wider += [f"more{i}: int" for i in range(extra)]
    if draw(st.booleans()):
        wider.reverse()
    values = {f"f{i}": part.values for i, part in enumerate(parts)}
    values |= {f"more{i}": st.integers(0, 9) for i in range(extra)}
    declared = tuple(text for part in parts for text in part.declared)
    narrow, wide = f"N{name}", f"W{name}"
    texts = (
        f"record {narrow} {{ {', '.join(fields)} }}",
        f"record {wide} {{ {', '.join(wider)} }}",
    )
    return Shape(narrow, wide, st.fixed_dictionaries(values), (*declared, *texts))


def containers(inner):
    lists = inner.map(
        lambda s: Shape(
            f"list[{s.narrow}]", f"list[{s.wide}]", st.lists(s.values, max_size=3), s.declared
        )
    )
    maybe = inner.filter(lambda s: not s.narrow.endswith("?")).map(
        lambda s: Shape(f"{s.narrow}?", f"{s.wide}?", st.none() | s.values, s.declared)
    )
    sets = inner.map(
        lambda s: Shape(
            f"dict[str, {s.narrow}]",
            f"dict[str, {s.wide}]",
            st.dictionaries(st.text("ab", max_size=2), s.values, max_size=2),
            s.declared,
        )
    )
    return record_shapes(inner) | lists | maybe | sets | union_shapes(inner)


@st.composite
def union_shapes(draw, inner):
    """A union of a number and two records, and a wider one, whose records have other fields too."""
    part, name = draw(inner), draw(st.uuids()).hex
    declared = (
        *part.declared,
        f'record A{name} {{ kind: "a", of: {part.narrow} }}',
        f'record B{name} {{ kind: "b", n: int }}',
        f'record V{name} {{ of: {part.wide}, kind: "a" }}',
        f'record W{name} {{ kind: "b", n: int, more: int }}',
    )
    values = st.integers(-9, 9)
    values |= st.fixed_dictionaries({"kind": st.just("a"), "of": part.values})
    values |= st.fixed_dictionaries({"kind": st.just("b"), "n": st.just(1), "more": st.just(2)})
    narrow, wide = f"(int | A{name} | B{name})", f"(W{name} | V{name} | int)"
    return Shape(narrow, wide, values, declared)


shapes = record_shapes(st.recursive(st.sampled_from(ATOMS), containers, max_leaves=6))
FLOWS = [
    "return w",
    "let a: {narrow} = w\n  return a",
    "return narrow(w)",
    "return if deep then w else narrow(w)",
    "if deep {{ return w }}\n  return narrow(w)",
    "return [narrow(w), w][1]",
    "return [x for x in [w, w] if deep][0]",
    "return loop s: {narrow} = w for 2 {{ yield if deep then s else w }}",
    "return first([w]) ?? narrow(w)",
    "return voted(w)",
    "return routed(w)",
    "return Holder(it=[w]).it[0]",
]


@given(shape=shapes, flow=st.sampled_from(FLOWS), deep=st.just(True), data=st.data())
def test_no_run_gives_a_value_outside_of_its_type(shape, flow, deep, data):
    narrow, wide = shape.narrow, shape.wide
    program = lowered("\n".join([
        *dict.fromkeys(shape.declared),
        f"record Holder {{ it: list[{narrow}] }}",
        f"pipeline narrow(a: {narrow}) -> {narrow} {{ return a }}",
        f"pipeline same(a: {wide}) -> {wide} {{ return a }}",
        f"vote voted(w: {wide}) -> {narrow} {{ sample: same(w) by: len(str(out)) n: 2 }}",
        'pipeline kind() -> "one" | "two" { return "two" }',
        f"route routed(w: {wide}) -> {narrow} {{ by: kind() to: {{one: w, two: same(w)}} }}",
        f"pipeline main(w: {wide}, deep: bool) -> {narrow} {{\n  {flow.format(narrow=narrow)}\n}}",
    ]))  # fmt: skip
    value = data.draw(shape.values)
    result = program.graphs["main"].result
    for graph in (program, run_passes(program)):
        given_back = run(graph, "main", w=value, deep=deep)
        assert given_back == validate(result, given_back) == project(result, value)
        assert not list(wider_than_asked_for(graph))


def wider_than_asked_for(program):
    """Nodes that hand on a value with more fields than the place has that takes it."""
    for graph in program.graphs.values():
        known = {node.id: node.type for node in graph.nodes}  # bodies number their own
        for node in graph.nodes:
            given_types = [known[id] for id in node.inputs]
            if node.op == "return":
                asked = [graph.result]
            elif node.op == "call":
                asked = [port.type for port in program.graphs[node.attrs["target"]].inputs]
            else:
                continue
            yield from (node for a, b in zip(given_types, asked) if narrows(a, b))
