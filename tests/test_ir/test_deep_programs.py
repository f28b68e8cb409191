"""Programs that nest or chain deeper than Python recurses: a result or a diagnostic, no crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError, render
from lmc.ir.lower import lower
from lmc.ir.verify import verify
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.source import Source
from lmc.syntax.parser import parse
from lmc.syntax.unparse import print_tree
from tests.programs import run_echo

N = 1500  # more than Python's recursion limit
ASK = 'generate ask(q: str) -> str { "Answer." }\n'
INT, STR = "pipeline main(x: int) -> int { return ", "pipeline main(x: str) -> str { return "


def lines(line: Callable[[int], str], between: str = "\n", count: int = N) -> str:
    return between.join(line(i) for i in range(count))


def nested(before: str, inner: str, after: str, count: int = N) -> str:
    return before * count + inner + after * count


DEEP = {
    "parentheses": INT + nested("(", "x", ")") + " }",
    "lists": "pipeline main(x: int) -> json { return " + nested("[", "x", "]") + " }",
    "objects": "pipeline main(x: int) -> json { return " + nested("{a: ", "x", "}") + " }",
    "conditionals": INT + nested("if x > 0 then ", "x", " else 0") + " }",
    "if statements": "pipeline main(x: int) -> int { "
    + nested("if x > 0 { ", "return x ", "}")
    + " return 0 }",
    "types": "pipeline main(x: " + nested("list[", "int", "]") + ") -> int { return 0 }",
    "dict types": "pipeline main() -> int { let x: "
    + nested("dict[str, ", "int", "]")
    + " = {} return 0 }",
    "types in records": "record R { a: " + nested("list[", "int", "]") + " }",
    "question marks": "pipeline main(x: int" + "?" * N + ") -> int { return 0 }",
    "minus": INT + "- " * N + "x }",
    "minus of a number": INT + "-" * N + "1 }",
    "not": "pipeline main(x: bool) -> bool { return " + "not " * N + "x }",
    "fields": "record R { a: int }\npipeline main(x: R) -> int { return x" + ".a" * N + " }",
    "optional fields": "record R { a: int? }\npipeline main(x: R?) -> int? { return x"
    + "?.a" * N
    + " }",
    "items": "pipeline main(x: json) -> json { return x" + '["a"]' * N + " }",
    "calls": ASK + STR + nested("ask(", "x", ")") + " }",
    "calls of built-ins": STR + nested("strip(", "x", ")") + " }",
    "calls of calls": ASK + STR + "ask" + "(x)" * N + " }",
    "matches": "enum E { a b }\npipeline main(e: E) -> int { return "
    + nested("match e { a => 1, b => ", "2", "}")
    + " }",
    "comprehensions": "pipeline main(x: list[int]) -> list[int] { return "
    + nested("[y for y in ", "x", "]")
    + " }",
    "an open bracket": INT + "(" * N,
    "an open list": INT + "[" * N,
    "open braces": "{" * N,
    "an open type": "record R { a: " + "list[" * N,
    "aliases of lists": "type T0 = int\n" + lines(lambda i: f"type T{i + 1} = list[T{i}]"),
    "aliases of lists, last first": lines(lambda i: f"type T{N - i} = list[T{N - i - 1}]")
    + "\ntype T0 = int",
    "records in records": "record R0 { x: int }\n"
    + lines(lambda i: f"record R{i + 1} {{ a: R{i} }}"),
    "records in records, last first": lines(lambda i: f"record R{N - i} {{ a: R{N - i - 1} }}")
    + "\nrecord R0 { x: int }",
    "records in a circle": lines(lambda i: f"record R{i} {{ a: R{(i + 1) % N} }}"),
    "lists of lists, by let": "pipeline main(x: int) -> int { let x0 = [x]\n"
    + lines(lambda i: f"let x{i + 1} = [x{i}]")
    + "\nreturn x }",
    "routes of routes": "enum E { a b }\ngenerate r0(e: E) -> str\n"
    + lines(
        lambda i: f"route r{i + 1}(e: E) -> str {{ by: e to: {{ a: r{i}(e), b: r{i}(e) }} }}",
        count=300,
    ),
    "votes of votes": ASK
    + "pipeline p0(q: str) -> str { return ask(q) }\n"
    + lines(lambda i: f"vote p{i + 1}(q: str) -> str {{ sample: p{i}(q) n: 1 }}", count=300),
    "maps of maps": ASK
    + "pipeline p0(q: str) -> str { return ask(q) }\n"
    + lines(
        lambda i: (
            f"pipeline p{i + 1}(q: str) -> str"
            f' {{ return join([p{i}(c) for c in [q]], "") }}'
        ),
        count=300,
    ),
    "conditions of a template": 'generate main(q: str) -> str { template: {user: "'
    + nested("{% if q %}", "{{ q }}", "{% endif %}")
    + '"} }',
    "loops of a template": 'generate main(q: list[str]) -> str { template: {user: "'
    + lines(lambda i: f"{{% for a{i} in q %}}", "", 25)
    + "{{ q }}"
    + "{% endfor %}" * 25
    + '"} }',
    "brackets of a template": 'generate main(q: str) -> str { template: {user: "{{ '
    + nested("(", "q", ")", 100)
    + ' }}"} }',
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_what_is_too_deep_is_said_with_its_place(name: str, tmp_path: Path) -> None:
    path = tmp_path / "p.lmp"
    path.write_text(DEEP[name])
    with pytest.raises(LmcError) as failure:
        lmc.load(path, backend=Scripted(lambda request: "a"), cache=False)
    found = failure.value.diagnostics
    assert all(d.span is not None for d in found)
    assert render(found)


LONG: dict[str, tuple[str, dict[str, Any], Any]] = {
    "+": (INT + lines(lambda i: "x", " + ") + " }", {"x": 2}, 2 * N),
    "-": (INT + lines(lambda i: "x", " - ") + " }", {"x": 1}, 2 - N),
    "text": (STR + lines(lambda i: 'x + "b"', " + ") + " }", {"x": "a"}, "ab" * N),
    "and": (
        "pipeline main(x: int) -> bool { return " + lines(lambda i: f"x > {-i}", " and ") + " }",
        {"x": 1},
        True,
    ),
    "or": (
        "pipeline main(x: int) -> bool { return " + lines(lambda i: f"x == {i}", " or ") + " }",
        {"x": N - 1},
        True,
    ),
    "??": (
        "pipeline main(x: int?) -> int { return " + lines(lambda i: "x", " ?? ") + " ?? 1 }",
        {"x": None},
        1,
    ),
    "lets": (
        "pipeline main(x: int) -> int { let x0 = x\n"
        + lines(lambda i: f"let x{i + 1} = x{i} + 1")
        + f"\nreturn x{N} }}",
        {"x": 0},
        N,
    ),
    "aliases": (
        "type T0 = int\n"
        + lines(lambda i: f"type T{i + 1} = T{i}")
        + f"\npipeline main(x: T{N}) -> T{N} {{ return x }}",
        {"x": 3},
        3,
    ),
    "aliases, last first": (
        f"pipeline main(x: T{N}) -> T{N} {{ return x }}\n"
        + lines(lambda i: f"type T{N - i} = T{N - i - 1}")
        + "\ntype T0 = int",
        {"x": 3},
        3,
    ),
    "a long text": (
        'pipeline main() -> int { return len("' + "x" * 1_000_000 + '") }',
        {},
        1_000_000,
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_what_is_long_runs(name: str) -> None:
    text, inputs, result = LONG[name]
    program, found = check_program(Source("p.lmp", text))
    assert program is not None, render(found)
    graph = lower(program)
    verify(graph)
    after = run_passes(graph)
    verify(after)
    assert run_echo(after, "main", inputs)[0] == result
    written = print_tree(parse(Source("p.lmp", text))[0])
    assert print_tree(parse(Source("p.lmp", written))[0]) == written


def test_files_that_import_one_another_in_a_long_row() -> None:
    sources = {
        f"f{i}.lmp": Source(
            f"f{i}.lmp",
            f'from "./f{i + 1}.lmp" import p as q\npipeline p(x: int) -> int {{ return q(x) + 1 }}',
        )
        for i in range(N)
    }
    last = f"f{N}.lmp"
    sources[last] = Source(last, "pipeline p(x: int) -> int { return x }")
    program, found = check_program(sources["f0.lmp"], read=sources.__getitem__)
    assert program is not None, render(found)
    assert len(program.pipelines) == N + 1
