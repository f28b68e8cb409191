"""A value that a program builds meets the refinements of its type, or the run ends there."""

from typing import Any

import pytest

from lmc.diagnostics import LmcError, render
from lmc.ir.verify import verify
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_sync
from tests.programs import lowered, run_echo

DECLARATIONS = """
record Part { n: int(0..5) = 0 }
record S {
  n: int(0..5) = 1
  share: float(0..1)? = none
  tags: list[str](..2, unique) = []
  code: str(r"[A-Z]{2}") = "AB"
  word: str(..3) = ""
  day: date("2026-01-01"..) = date("2026-01-01")
  marks: dict[str, int(1..6)] = {}
  parts: list[Part](..1) = []
  either: list[str] | int(0..3) = 0
}
"""
PARAMETERS = "n: int, x: float, xs: list[str], word: str, day: date, ps: list[Part], s: S"
S = {
    "n": 1, "share": None, "tags": [], "code": "AB", "word": "", "day": "2026-01-01",
    "marks": {}, "parts": [], "either": 0,
}  # fmt: skip
GIVEN = {"n": 3, "x": 0.5, "xs": ["a"], "word": "CD", "day": "2026-02-01", "ps": [{"n": 2}]}


def built(expression: str, given: dict[str, Any]) -> Any:
    """What an expression gives, with the passes and without."""
    program = lowered(f"{DECLARATIONS}pipeline main({PARAMETERS}) -> S {{ return {expression} }}")
    verify(program)
    inputs = {**GIVEN, "s": S, **given}
    ends = []
    for graph in (program, run_passes(program)):
        try:
            ends.append(run_echo(graph, "main", inputs)[0])
        except LmcError as failure:
            ends.append(f"{failure.code}: {render(failure.diagnostics)}")
    assert ends[0] == ends[1]
    return ends[0]


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("S(n)", {"n": 3}),
        ("S(n=n - 1, share=x)", {"n": 2, "share": 0.5}),
        ("s with {n: n}", {"n": 3}),
        ("S(tags=xs, code=word, word=word)", {"tags": ["a"], "code": "CD", "word": "CD"}),
        ("S(day=day, marks={a: n})", {"day": "2026-02-01", "marks": {"a": 3}}),
        ("S(parts=ps)", {"parts": [{"n": 2}]}),
        ("S(either=n)", {"either": 3}),
        ("S(either=xs)", {"either": ["a"]}),
    ],
)
def test_what_fits_is_built(expression: str, field: dict[str, Any]) -> None:
    assert built(expression, {}) == S | field


@pytest.mark.parametrize(
    ("expression", "given", "words"),
    [
        ("S(n)", {"n": 9}, "`S.n` is `9`, but `int(0..5)` is required"),
        ("S(n=n - 9)", {}, "`min(max(x, 0), 5)` keeps a number within"),
        ("S(share=x)", {"x": 1.5}, "`S.share` is `1.5`, but `float(0..1)` is required"),
        ("s with {n: n}", {"n": 9}, "`S.n` is `9`"),
        ("S(tags=xs)", {"xs": ["a", "b", "c"]}, "`x[:2]` leaves out the rest"),
        ("S(tags=xs)", {"xs": ["a", "a"]}, '`S.tags` has `"a"` twice'),
        ("S(code=word)", {"word": "CDE"}, '`S.code` is `"CDE"`'),
        ("S(word=word)", {"word": "CDEF"}, "`x[:3]` leaves out the rest"),
        ("S(day=day)", {"day": "2025-12-31"}, '`S.day` is `"2025-12-31"`'),
        ("S(marks={a: 1, b: n})", {"n": 7}, "`S.marks['b']` is `7`"),
        ("S(parts=ps)", {"ps": [{"n": 1}, {"n": 2}]}, "`S.parts` has 2 items"),
        ("S(parts=[Part(n)])", {"n": 7}, "`Part.n` is `7`"),
        ("S(either=n)", {"n": 4}, "`S.either` is `4`"),
    ],
)
def test_what_does_not_fit_ends_the_run(expression: str, given: dict[str, Any], words: str) -> None:
    assert isinstance(found := built(expression, given), str)
    assert found.startswith("out-of-range: ")
    assert words in found
    assert "--> test.lmp:14:" in found


def test_what_types_tell_is_not_checked_again() -> None:
    """A run is as fast as before where the checker knows."""
    text = "pipeline main(n: int(1..4), p: Part) -> list[S] {"
    text += ' return [S(n, tags=["a"], code="XY", parts=[p]), S(2)] }'
    program = run_passes(lowered(DECLARATIONS + text))
    assert "within" not in {node.attrs.get("fn") for node in program.graphs["main"].nodes}


def test_a_vote_does_without_a_sample_that_does_not_fit() -> None:
    text = """
generate guess(q: str) -> str
pipeline sample(q: str) -> S { return S(len(guess(q))) }
vote main(q: str) -> S { sample: sample(q), n: 3 }
"""
    graph = lowered(DECLARATIONS + text)
    said = iter(["much too long", "four", "four"])
    pool = ModelPool(graph.models, None, backends={ANY_MODEL: Scripted(lambda _: next(said))})
    assert run_sync(Executor(graph, pool).run("main", {"q": "?"}))["n"] == 4
