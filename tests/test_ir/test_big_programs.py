"""Programs of many parts: nothing nests as deep as the program is long, and nothing doubles."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lmc.check import check_program
from lmc.files import indented_json
from lmc.ir.cost import costs
from lmc.ir.graph import Graph, ProgramGraph, all_nodes
from lmc.ir.printer import print_program
from lmc.ir.provenance import reached_modules, result_provenance
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.ir.verify import verify
from lmc.ir.view import view
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.traces import Trace
from lmc.source import Source
from lmc.syntax.parser import parse
from lmc.syntax.unparse import print_tree
from lmc.tasks.loop import run_sync
from lmc.values import json_schema, python_type, validate
from lmc.values.stubs import stub_text
from tests.programs import lowered

MOST_NESTED = 40  # regions in one another


def lines(count: int, line: Callable[[int], str], between: str = "\n") -> str:
    return between.join(line(i) for i in range(count))


def enum(n: int) -> str:
    return f"enum E {{ {lines(n, 'v{}'.format, ' ')} }}\n"


def doubled_records(letter: str, n: int, first: str) -> str:
    return f"record {letter}0 {{ {first} }}\n" + lines(
        n, lambda i: f"record {letter}{i + 1} {{ a: {letter}{i}?, b: list[{letter}{i}] }}"
    )


ASK = 'generate ask(q: str) -> str { "Answer." }\n'
# Each with inputs for `main` and what it gives; those of `n` parts.
PROGRAMS: dict[str, Callable[[int], tuple[str, dict[str, Any], Any]]] = {
    "match of an enum": lambda n: (
        enum(n)
        + "pipeline main(e: E) -> int { return match e {"
        + lines(n, lambda i: f"v{i} => {i}", ", ")
        + "} }",
        {"e": f"v{n - 2}"},
        n - 2,
    ),
    "match of strings": lambda n: (
        "pipeline main(s: str) -> int { return match s {"
        + lines(n, lambda i: f'"v{i}" => {i}', ", ")
        + ", _ => -1 } }",
        {"s": "v"},
        -1,
    ),
    "match of literals": lambda n: (
        f"type T = {lines(n, lambda i: chr(34) + f'v{i}' + chr(34), ' | ')}\n"
        "pipeline main(s: T) -> int { return match s {"
        + lines(n, lambda i: f'"v{i}" => {i}', ", ")
        + "} }",
        {"s": "v1"},
        1,
    ),
    "route": lambda n: (
        ASK
        + enum(n)
        + "route r(e: E) -> str { by: e to: {"
        + lines(n, lambda i: f'v{i}: ask("{i}")', ", ")
        + "} }\npipeline main(e: E) -> str { return r(e) }",
        {"e": "v3"},
        "3",
    ),
    "fields": lambda n: (
        f"record R {{ {lines(n, 'f{}: int'.format)} }}\n"
        "pipeline main(r: R) -> int { return " + lines(n, "r.f{}".format, " + ") + " }",
        {"r": {f"f{i}": 1 for i in range(n)}},
        n,
    ),
    "statements": lambda n: (
        "pipeline main(x: int) -> int {\n let x0 = x\n"
        + lines(n, lambda i: f" let x{i + 1} = x{i} + 1")
        + f"\n return x{n} }}",
        {"x": 1},
        n + 1,
    ),
    "else if": lambda n: (
        "pipeline main(x: int) -> int { "
        + lines(n, lambda i: f"if x == {i} {{ return {i * 2} }}", " else ")
        + " else { return -1 } }",
        {"x": n - 1},
        2 * n - 2,
    ),
    "else if without an end": lambda n: (
        "pipeline main(x: int) -> int { "
        + lines(n, lambda i: f"if x == {i} {{ return {i * 2} }}", " else ")
        + "\n return -1 }",
        {"x": n},
        -1,
    ),
    "early returns": lambda n: (
        "pipeline main(x: int) -> int { "
        + lines(n, lambda i: f"if x == {i} {{ return {i * 2} }}")
        + "\n return -1 }",
        {"x": 14},
        28,
    ),
    "early returns with lets between": lambda n: (
        "pipeline main(x: int) -> int {\n let y = x\n"
        + lines(n, lambda i: f" if x == {i} {{ return y * 2 }}\n let y{i} = x + {i}")
        + f"\n return y{n - 1} }}",
        {"x": 14},
        28,
    ),
    "early returns with lets between, in a branch": lambda n: (
        "pipeline main(x: int) -> int { if x > 0 {\n"
        + lines(n, lambda i: f" let y{i} = x + {i}\n if y{i} == {n} {{ return {i} }}")
        + "\n} return -1 }",
        {"x": 3},
        n - 3,
    ),
    "conditional": lambda n: (
        "pipeline main(x: int) -> int { return "
        + lines(n, lambda i: f"if x == {i} then {i * 2} else ")
        + " -1 }",
        {"x": n - 1},
        2 * n - 2,
    ),
    "sum": lambda n: (
        "pipeline main(x: int) -> int { return " + lines(n, lambda i: "x", " + ") + " }",
        {"x": 2},
        2 * n,
    ),
    "or": lambda n: (
        "pipeline main(x: int) -> bool { return " + lines(n, lambda i: f"x == {i}", " or ") + " }",
        {"x": n - 1},
        True,
    ),
    "defaults": lambda n: (
        "pipeline main(x: int?) -> int { return " + lines(n, lambda i: "x", " ?? ") + " ?? 7 }",
        {"x": None},
        7,
    ),
    "comprehensions": lambda n: (
        "pipeline main(x: int) -> list[int] {\n let x0 = [x]\n"
        + lines(n, lambda i: f" let x{i + 1} = [y + 1 for y in x{i}]")
        + f"\n return x{n} }}",
        {"x": 1},
        [n + 1],
    ),
    "calls of one another": lambda n: (
        ASK
        + "pipeline p0(q: str) -> str { return ask(q) }\n"
        + lines(n, lambda i: f"pipeline p{i + 1}(q: str) -> str {{ return p{i}(q) }}")
        + f"\npipeline main(q: str) -> str {{ return p{n}(q) }}",
        {"q": "x"},
        "x",
    ),
    "list": lambda n: (
        f"pipeline main() -> int {{ return sum([{lines(n, str, ', ')}]) }}",
        {},
        n * (n - 1) // 2,
    ),
}


def depth(graph: Graph) -> int:
    return 1 + max((depth(b) for node in graph.nodes for b in node.bodies.values()), default=0)


def run(program: ProgramGraph, inputs: dict[str, Any]) -> Any:
    backend = Scripted(lambda request: request.messages[-1]["content"].rpartition(" ")[2])
    pool = ModelPool(program.models, program.default, backends={ANY_MODEL: backend})
    return run_sync(Executor(program, pool).run("main", inputs, trace=Trace()))


@pytest.mark.parametrize("name", PROGRAMS)
def test_large_programs_lower_flat(name):
    text, _, _ = PROGRAMS[name](2000)
    program = lowered(text)
    assert max(map(depth, program.graphs.values())) < MOST_NESTED


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_graph_grows_with_the_program(name):
    small, large = (
        sum(len(list(all_nodes(g))) for g in lowered(PROGRAMS[name](n)[0]).graphs.values())
        for n in (200, 400)
    )
    assert large < 2.3 * small


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_stage_takes_large_programs(name):
    text, inputs, result = PROGRAMS[name](150)
    program = lowered(text)
    assert run(program, inputs) == result
    after = run_passes(program)
    verify(after)
    assert run(after, inputs) == result
    assert graph_from_json(json.loads(indented_json(graph_to_json(after)))) == after
    assert print_program(after)
    assert costs(program, program.exports)["main"].calls <= 1
    assert view(program, "main").root.children
    assert stub_text(after, "p.lmp", "p")
    written = print_tree(parse(Source("p.lmp", text))[0])
    assert print_tree(parse(Source("p.lmp", written))[0]) == written


def test_first_case_that_holds_is_taken_and_no_more_are_asked():
    """Conditions of a long chain call a model: those after the first that holds are not asked."""
    text = ASK + (
        "pipeline main(x: int) -> str { "
        + lines(100, lambda i: f'if ask("{i}") == str(x) {{ return ask("found {i}") }}')
        + '\n return "none" }'
    )
    for program in (lowered(text), run_passes(lowered(text))):
        trace = Trace()
        backend = Scripted(lambda request: request.messages[-1]["content"].rpartition(" ")[2])
        pool = ModelPool({}, {}, backends={ANY_MODEL: backend})
        executor = Executor(program, pool)
        assert run_sync(executor.run("main", {"x": 57}, trace=trace)) == "57"
        assert [call.outputs["result"] for call in trace.calls if call.outputs] == [
            *map(str, range(58)), "57",
        ]  # fmt: skip


def test_a_long_chain_costs_its_conditions_and_its_dearest_branch():
    text = ASK + (
        "pipeline main(x: int) -> str { "
        + lines(50, lambda i: f'if ask("{i}") == "" {{ return ask("a") + ask("b") }}')
        + '\n return "none" }'
    )
    assert costs(lowered(text), ["main"])["main"].calls == 52


def doubling_pipelines(n: int) -> ProgramGraph:
    return lowered(
        ASK
        + "pipeline p0(q: str) -> str { return ask(q) }\n"
        + lines(
            n,
            lambda i: (
                f"pipeline p{i + 1}(q: str) -> str"
                f' {{ return if len(q) > {i} then p{i}(q) else p{i}(q + "x") + p{i}(q) }}'
            ),
        )
        + f"\npipeline main(q: str) -> str {{ return p{n}(q) }}"
    )


def test_pipelines_that_call_the_one_before_twice_are_read_once():
    program = doubling_pipelines(60)
    assert costs(program, ["main"])["main"].calls == 2**60
    assert len(costs(program, ["main"])["main"].formula) < 20_000
    after = run_passes(program)
    assert graph_from_json(json.loads(indented_json(graph_to_json(after)))) == after
    assert len(view(program, "main").edges) < 20_000
    assert list(reached_modules(program, "main")) == ["ask"]
    assert list(result_provenance(program, "main")) == ["ask"]


def test_records_that_mention_the_one_before_twice_are_read_once():
    n = 60
    narrow, wide = doubled_records("R", n, "x: int"), doubled_records("S", n, "x: int, y: int")
    program = lowered(
        f"{narrow}\n{wide}\npipeline main(s: S{n}, t: S{n}) -> R{n}"
        " { return if s == t then s else t }"
    )
    after = run_passes(program)
    assert graph_from_json(json.loads(indented_json(graph_to_json(after)))) == after
    value = {"a": None, "b": []}
    type = program.graphs["main"].inputs[0].type
    assert validate(type, value) == value
    assert run(after, {"s": value, "t": value}) == value
    assert len(json.dumps(json_schema(type))) < 50_000
    assert python_type(type)
    assert stub_text(after, "p.lmp", "p").count("class R") == 2 * (n + 1)  # and unfinished ones


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        (
            doubled_records("R", 20, "x: int") + '\ngenerate g(q: str) -> R20 { "G." }',
            "type-too-large",
        ),
        (
            "record R0 { x: int }\n" + lines(70, lambda i: f"record R{i + 1} {{ a: R{i} }}"),
            "type-too-large",
        ),
        ("pipeline main(x: int) -> int { return " + "(" * 120 + "x" + ")" * 120 + " }", None),
        (
            "pipeline main(x: int) -> int {"
            + lines(500, lambda i: f"if x > {i} {{")
            + " return 1 "
            + "}" * 500
            + " return 0 }",
            "too-deep",
        ),
    ],
)  # fmt: skip
def test_what_is_too_large_or_deep_is_said(text, slug):
    _, found = check_program(Source("p.lmp", text))
    assert slug is None or slug in [d.code for d in found]
