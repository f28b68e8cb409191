"""The worst case of model calls, by hand against by machine."""

import math

import pytest

from lmc.ir.cost import cost
from tests.programs import lowered

PARTS = """
generate g(x: str) -> str
critique c(x: str, draft: str) -> Verdict
refine r(x: str) -> str { draft: g(x) check: c(x, draft) rounds: tune[0..2] }
"""


@pytest.mark.parametrize(
    ("main", "calls", "baseline", "formula"),
    [
        ("pipeline main(x: str) -> str { return g(x) }", 1, 1, "g"),
        ("vote main(x: str) -> str { sample: g(x), n: tune[1, 3, 5] }", 5, 1, "5 × g"),
        ("pipeline main(x: str) -> str { return r(x) }", 6, 1, "g + 2 × (c + r.revise) + c"),
        (
            "vote main(x: str) -> str { sample: r(x), n: 3 }",
            18, 3, "3 × (g + 2 × (c + r.revise) + c)",
        ),
        (
            'vote main(x: str) -> str { """Pick the best.""" sample: g(x), n: 3 }',
            4, 4, "3 × g + main.adjudicate",
        ),
        (
            "pipeline main(xs: list[str](..4)) -> list[str] { return [g(x) for x in xs] }",
            4, 4, "4 × g",
        ),
        (
            "pipeline main(xs: list[str]) -> list[str] { return [g(x) for x in xs] }",
            math.inf, math.inf, "len(xs) × g",
        ),
        (
            "pipeline main(x: str) -> str { return loop s = x for 3 { yield g(s) } }",
            3, 3, "3 × g",
        ),
        (
            "generate sure(x: str) -> bool\n"
            "pipeline main(x: str) -> str { return loop s = x for 3 until sure(s) { yield g(s) } }",
            6, 6, "3 × (g + sure)",
        ),
        (
            "generate sure(x: str) -> bool\n"
            "refine main(x: str) -> str "
            "{ draft: g(x) check: c(x, draft) until: sure(draft) rounds: 2 }",
            9, 9, "g + 2 × (c + sure + main.revise) + c + sure",
        ),
        (
            "pipeline main(x: str) -> str { return if len(x) > 3 then r(x) else g(x) }",
            6, 1, "max(g + 2 × (c + r.revise) + c, g)",
        ),
        (
            "enum Kind { a, b }\ngenerate kind(x: str) -> Kind\n"
            "route main(x: str) -> str { by: kind(x) to: {a: g(x), b: r(x)} }",
            7, 2, "kind + g + 2 × (c + r.revise) + c",
        ),
        (
            "generate sure(x: str, it: str) -> float\n"
            "route main(x: str) -> str { to: [g(x), g(x), r(x)] by: sure(x, out) threshold: 0.5 }",
            10, 5, "g + g + g + 2 × (c + r.revise) + c + 2 × sure",
        ),
        ("pipeline main(x: str) -> int { return len(x) }", 0, 0, "0"),
    ],
)  # fmt: skip
def test_worst_case(main: str, calls: float, baseline: float, formula: str) -> None:
    found = cost(lowered(PARTS + main), "main")
    assert (found.calls, found.baseline, found.formula) == (calls, baseline, formula)


def test_shares_by_module_add_up() -> None:
    found = cost(lowered(PARTS + "vote main(x: str) -> str { sample: r(x), n: 3 }"), "main")
    assert found.by_module == {"g": 3, "c": 9, "r": 6}
    assert sum(found.by_module.values()) == found.calls


LAST = "pipeline p0(x: str) -> str { return g(x) }"


def test_a_formula_that_doubles_at_each_level_is_told_as_a_number() -> None:
    twice = 'return join([p{0}(join([x, "a"])), p{0}(join([x, "b"]))])'
    levels = [f"pipeline p{i}(x: str) -> str {{ {twice.format(i - 1)} }}" for i in range(1, 40)]
    program = lowered(
        "\n".join([*PARTS.splitlines(), *levels, "pipeline p0(x: str) -> str { return g(x) }"])
    )
    found = cost(program, "p39")
    assert found.calls == 2**39
    assert len(found.formula) <= 10_000


def test_more_calls_than_a_float_holds_are_endless() -> None:
    inner = "return loop s = x for 1000 {{ yield p{0}(s) }}"
    levels = [f"pipeline p{i}(x: str) -> str {{ {inner.format(i - 1)} }}" for i in range(1, 60)]
    program = lowered(
        "\n".join([*PARTS.splitlines(), *levels, "pipeline p0(x: str) -> str { return g(x) }"])
    )
    assert cost(program, "p59").calls == math.inf
