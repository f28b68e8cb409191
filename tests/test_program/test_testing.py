"""`test` blocks: stubs, failures with the values of both sides, and tests that need a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import render_text
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.ir.verify import GraphFault, verify
from lmc.models.base import ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.program.testing import TestResult, run_tests, unstubbed

IN_ORDER = """
generate solve(q: str) -> int
tool look(q: str) -> list[str] from "nowhere:look"
vote main(q: str) -> int { sample: solve(q), n: 3, stop_early: false }
pipeline both(q: str) -> int { return solve(q) + 10 * solve(q + q) + len(look(q)) }
test "majority" { stub solve -> 5  stub solve -> 4  stub solve -> 4  assert main("?") == 4 }
test "mixed" { stub look -> ["a"]  stub solve -> 1  stub solve -> 2  assert both("?") == 22 }
test "used up" { stub solve -> 5  stub solve -> 4  assert main("?") == 5 }
"""


def test_several_stubs_answer_in_order(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text(IN_ORDER)
    program = lmc.load(tmp_path / "p.lmp")
    majority, mixed, used_up = run_tests(program)
    assert majority.ok and mixed.ok
    assert [d.code for d in used_up.diagnostics] == ["stubs-used-up"]
    assert "the 2 times it is stubbed" in used_up.diagnostics[0].message
    again = graph_from_json(graph_to_json(program.graph))
    assert [test.in_order for test in again.tests] == [("solve",)] * 3
    forged = replace(again.tests[0], in_order=("nobody",))
    with pytest.raises(GraphFault, match="a test has a title"):
        verify(replace(again, tests=(forged,)))


LEFT_OVER = """
tool look(q: str) -> str from "nowhere:look"
generate solve(q: str) -> int
pipeline main(q: str) -> int { return if q == "" then 0 else solve(q) }
test "all" { stub solve -> 1  stub solve -> 2  assert main("a") + main("b") == 3 }
test "fewer" { stub solve -> 1  stub solve -> 2  assert main("a") == 1 }
test "none" { stub solve -> 1  stub solve -> 2  stub look -> "x"  assert main("") == 0 }
test "failed" { stub solve -> 1  stub solve -> 2  assert main("a") == 2 }
test "many" { stub solve -> 1  assert main("a") + main("b") == 2 }
"""


def test_stubs_that_answer_no_call_are_told(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text(LEFT_OVER)
    found = {r.title: r for r in run_tests(lmc.load(tmp_path / "p.lmp"))}
    assert [r.ok for r in found.values()] == [True, True, True, False, True]
    said = {title: [d.message for d in r.diagnostics] for title, r in found.items()}
    assert said["all"] == said["many"] == []
    assert said["fewer"] == ["`solve` is stubbed 2 times, but called once"]
    assert said["none"] == ["`solve` is stubbed 2 times, but the test does not call it"]
    assert {d.code for r in found.values() for d in r.diagnostics if r.ok} == {"stubs-left-over"}
    assert all(d.severity == "warning" for d in found["fewer"].diagnostics)


HEAD = """
record Solution { answer: int }
tool look(q: str) -> str from "nowhere:look"
generate solve(q: str) -> Solution
critique judge(q: str, draft: Solution) -> Verdict { subject: draft }
refine better(q: str) -> Solution {
  draft: solve(q) check: judge(q, draft) until: check.ok rounds: 1
}
vote voted(q: str) -> Solution { sample: better(q) n: 3 by: .answer }
pipeline main(q: str) -> Solution { return voted(look(q)) }
"""
STUBS = """
  stub look -> "more"
  stub solve -> Solution(answer=4)
  stub judge -> Verdict(ok=true, score=1.0, feedback="")
"""


def run(tmp_path: Path, body: str, script: Any = (), pattern: str = "") -> list[TestResult]:
    file = tmp_path / "p.lmp"
    file.write_text(HEAD + body)
    program = lmc.load(file, backend=Scripted(script), cache=False)
    return list(run_tests(program, pattern))


def test_a_test_with_stubs_asks_no_model(tmp_path: Path) -> None:
    (result,) = run(tmp_path, 'test "four" {' + STUBS + 'assert main("2 + 2?").answer == 4 }')
    assert result == TestResult("four", True)


def test_a_failed_comparison_shows_both_sides_and_the_line(tmp_path: Path) -> None:
    body = (
        'test "five" {'
        + STUBS
        + 'let out = main("2 + 2?")\n  assert out.answer == 5, "wrong sum" }'
    )
    (result,) = run(tmp_path, body)
    assert not result.ok
    text = render_text(result.diagnostics[0])
    assert text.startswith("error[assertion-failed]: wrong sum")
    assert "assert out.answer == 5" in text
    assert text.endswith("here, 4 == 5")


@pytest.mark.parametrize(
    ("condition", "sides"),
    [
        ("1 > 2", "1 > 2"),
        ('"a" in split("b c")', '"a" in ["b", "c"]'),
        ("not true", ""),
        ('len("abc") != 3', "3 != 3"),
    ],
)
def test_what_did_not_hold(tmp_path: Path, condition: str, sides: str) -> None:
    (result,) = run(tmp_path, f'test "t" {{ assert {condition} }}')
    (found,) = result.diagnostics
    assert found.message == "the assertion does not hold"
    assert found.labels[0].text == (f"here, {sides}" if sides else "")


def test_asserts_in_branches_count(tmp_path: Path) -> None:
    (result,) = run(tmp_path, 'test "t" { if 1 < 2 { assert 1 == 2 } }')
    assert not result.ok


def test_tests_are_chosen_by_their_title(tmp_path: Path) -> None:
    body = 'test "one" { assert true }\ntest "two" { assert true }'
    assert [r.title for r in run(tmp_path, body)] == ["one", "two"]
    assert [r.title for r in run(tmp_path, body, pattern="tw")] == ["two"]


def test_what_is_not_stubbed_asks_the_model(tmp_path: Path) -> None:
    body = """test "t" {
      stub look -> "x"
      stub judge -> Verdict(ok=true, score=1.0, feedback="")
      assert main("?").answer == 7
    }"""
    (result,) = run(tmp_path, body, lambda r: ["[[answer]] 7"] * r.n)
    assert result == TestResult("t", True, asked=("solve",))


def test_a_test_that_needs_a_model_says_so(tmp_path: Path) -> None:
    def script(request: Request) -> str:
        raise ModelFailure("connection", "no server", retryable=False)

    (result,) = run(tmp_path, 'test "t" { assert solve("?").answer == 7 }', script)
    assert [d.code for d in result.diagnostics] == ["infrastructure-failure", "test-needs-model"]
    assert result.diagnostics[1].help == "add `stub solve -> …`, or give a model that answers"


def test_which_modules_a_test_would_ask_is_known_before(tmp_path: Path) -> None:
    file = tmp_path / "p.lmp"
    body = 'assert main("?").answer == 1'
    stubbed = "stub better -> Solution(answer=1)"
    file.write_text(f'{HEAD} test "a" {{ {body} }} test "b" {{ {stubbed} {body} }}')
    program = lmc.load(file)
    found = [set(unstubbed(program.graph, test)) for test in program.graph.tests]
    assert found == [{"solve", "judge", "better"}, set()]


def test_the_standard_library_passes_its_tests() -> None:
    from lmc import programs

    (folder,) = programs.__path__
    files = sorted(Path(folder).glob("*.lmp"))
    assert files
    for file in files:
        results = list(run_tests(lmc.load(file, cache=False)))
        assert results, file
        assert [d for r in results for d in r.diagnostics] == []
