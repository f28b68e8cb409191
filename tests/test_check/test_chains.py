"""A chain of operators may be of any length: it is no nesting, in no stage."""

from pathlib import Path

import pytest

import lmc
from lmc.check import check_program
from lmc.source import Source
from lmc.syntax.parser import parse
from lmc.syntax.unparse import print_tree

LENGTH = 1200


def chain(operator: str, first: str, other: str) -> str:
    return f" {operator} ".join([first, *[other] * (LENGTH - 1)])


@pytest.mark.parametrize(
    ("signature", "text", "given", "result"),
    [
        ("x: int) -> int", chain("+", "x", "1"), 1, LENGTH),
        ("x: str) -> str", chain("+", "x", '"-"'), "a", "a" + "-" * (LENGTH - 1)),
        ("x: str?) -> str", chain("??", "x", "x") + ' ?? "none"', None, "none"),
        ("x: int) -> bool", chain("and", "x > 0", "x < 9"), 5, True),
        ("x: str?) -> bool", chain("or", "x == none", 'x == "a"'), "b", False),
    ],
)
def test_long_chains_run(
    signature: str, text: str, given: object, result: object, tmp_path: Path
) -> None:
    path = tmp_path / "chain.lmp"
    path.write_text(f"pipeline main({signature} {{ return {text} }}\n")
    assert lmc.load(path, cache=False).main(given) == result


def test_long_chains_print_and_compare() -> None:
    text = f"pipeline p(x: int) -> bool {{ return ({chain('-', 'x', 'x')}) * 2 < 0 or x == 1 }}"
    tree, _ = parse(Source("", text))
    again, _ = parse(Source("", print_tree(tree)))
    assert tree == again
    assert hash(tree) == hash(again)
    assert tree != parse(Source("", text.replace("- x)", "+ x)")))[0]


def test_what_a_chain_knows_reaches_its_end() -> None:
    """Each part of an `and` knows all before it, and nothing that stands behind it."""
    head = "record R { n: int?, m: int? }\n"
    good = head + "pipeline p(r: R?) -> bool { return r != none and r.n != none and r.n > 1 }"
    assert check_program(Source("a.lmp", good))[1] == []
    bad = head + "pipeline p(r: R?) -> bool { return r.n != none and r != none and r.n > 1 }"
    assert "optional-access" in {d.code for d in check_program(Source("b.lmp", bad))[1]}
    mixed = head + (
        "pipeline p(r: R?) -> bool { return r == none or r.n == none or r.n > 1 and r.m == none }"
    )
    assert check_program(Source("c.lmp", mixed))[1] == []
