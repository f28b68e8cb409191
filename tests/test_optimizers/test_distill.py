"""Loops compiled away: which module can answer for which loop, on what, and how it is confirmed."""

from pathlib import Path

import pytest

import lmc
from examples.tiny.rows import draw_rows
from lmc.diagnostics import LmcError
from lmc.measure.evaluate import RowResult
from lmc.optimizers.candidates.gate import compare, passes_cheaper
from lmc.optimizers.distill import loop_lessons, outline
from lmc.program.artifact import Artifact, Manifest
from lmc.requests.usage import Usage
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from tests.test_optimizers.doubles import graph_of, stored

PROGRAM = '''
record Answer { steps: list[str], value: int }
generate solve(text: str, train hint: str = "") -> Answer { """Solve.""" reason: true }
critique judge(text: str, draft: Answer) -> Verdict { """Right?""" }
refine checked(text: str) -> Answer { draft: solve(text), check: judge(text, draft), rounds: 2 }
vote best(text: str) -> Answer { sample: checked(text), by: out.value, n: 3 }
generate explain(text: str, answer: Answer) -> str { """Explain.""" }
pipeline main(text: str) -> str { return explain(text, best(text)) }
'''
SHELVES = '''
generate place(items: str) -> str { """Which shelf?""" temperature: 0.7 max_tokens: 16 }
vote main(items: str) -> str { sample: place(items) n: 5 }
'''


def test_the_outermost_loops_are_found_with_their_modules() -> None:
    found = outline(graph_of(PROGRAM), "main")
    assert {loop: module.name for loop, module in found.loops.items()} == {"best": "solve"}
    assert found.outside == {"explain"}
    assert outline(graph_of(PROGRAM), "checked").loops["checked"].name == "solve"
    assert not outline(graph_of(PROGRAM), "explain").loops


def test_what_the_loop_came_to_is_the_lesson_with_the_reasoning_that_led_there() -> None:
    result = {"steps": ["s"], "value": 4}
    other = {"steps": ["t"], "value": 5}
    calls = [
        CallTrace(
            (0, i),
            None,
            "solve",
            "generate",
            {},
            outputs={"reasoning": f"r{i}", **value},
            result=value,
        )
        for i, value in enumerate((other, result))
    ]
    region = RegionTrace((0,), None, "vote", "best", {"text": "2 + 2"}, result)
    run = stored(Trace(calls, [region]), "7")
    lessons = loop_lessons([run], outline(graph_of(PROGRAM), "main").loops)
    (lesson,) = lessons["solve"]
    assert lesson.demo.inputs == {"text": "2 + 2"}
    assert lesson.demo.outputs == {"reasoning": "r1", **result}
    assert lesson.demo.origin == "row 7, best"


def test_the_gate_asks_for_less_cost_without_loss() -> None:
    def results(scores: list[float], calls: int) -> list[RowResult]:
        usage = Usage(calls, prompt_tokens=10 * calls)
        return [RowResult(f"{i}", score, usage=usage) for i, score in enumerate(scores)]

    before, same = results([1.0] * 40, 5), results([1.0] * 40, 1)
    worse = results([1.0] * 20 + [0.0] * 20, 1)
    assert passes_cheaper(compare(before, same, level=0.9), before, same, 0.05)
    assert not passes_cheaper(compare(before, worse, level=0.9), before, worse, 0.05)
    assert not passes_cheaper(compare(before, before, level=0.9), before, before, 0.05)


def test_a_shortcut_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.lmpc"
    for loop, module in (("best", "explain"), ("best", "best"), ("main", "solve"), ("x", "solve")):
        parameters = Parameters(shortcuts={loop: module})
        manifest = Manifest(lmc="0", entry="t.lmp")
        Artifact(manifest, graph_of(PROGRAM), parameters, {}).write(path)
        with pytest.raises(LmcError, match=r"`parameters.json`: `.*` cannot replace"):
            Artifact.read(path)


def test_a_vote_becomes_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    Path("shelves.lmp").write_text(SHELVES)
    rows = [dict(row) for row in draw_rows("shelves", 160, 3)]
    result = lmc.compile(
        "shelves.lmp", metric="accuracy", data=rows, optimizer="lora(epochs=8) >> distill",
        model="lmc/tiny", out="shelves.lmpc",
    )  # fmt: skip
    assert result.artifact.parameters.shortcuts == {"main": "place"}
    assert result.test is not None
    assert (result.test.before.calls, result.test.after.calls) == (5.0, 1.0)
    assert result.test.after.mean > result.test.before.mean + 0.5
    program = lmc.load("shelves.lmpc")
    _, trace = program.target().run_traced({"items": rows[0]["items"]})
    assert len(trace.calls) == 1
