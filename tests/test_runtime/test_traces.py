"""What optimizers read and set: traces in the program's order, parameters through JSON."""

from __future__ import annotations

import json
from pathlib import Path

import lmc
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.runtime.traces import Trace

SOURCE = """
generate draft_it(q: str) -> str { "draft" }
critique judge(q: str, draft: str) -> Verdict { "judge" subject: draft }
refine better(q: str) -> str {
  "revise" draft: draft_it(q) check: judge(q, draft) until: check.ok rounds: 1
}
vote main(q: str) -> str { sample: better(q) n: 2 stop_early: false }
"""


def script(request: Request) -> str | list[str]:
    role = request.messages[0]["content"].split()[0]
    if role == "judge":
        ok = "right" in request.messages[-1]["content"]
        return f"[[ok]] {str(ok).lower()}\n[[score]] {float(ok)}\n[[feedback]] f"
    if role == "revise":
        return "right"
    return [["wrong", "right"][i % 2] for i in range(request.index, request.index + request.n)]


def traced(tmp_path: Path) -> tuple[object, Trace]:
    file = tmp_path / "p.lmp"
    file.write_text(SOURCE)
    return lmc.load(file, backend=Scripted(script), cache=False).main.run_traced({"q": "?"})


def test_the_tree_of_a_run_is_in_the_order_of_the_program(tmp_path: Path) -> None:
    result, trace = traced(tmp_path)
    assert result == "right"
    assert [(call.module, call.role, call.sample) for call in trace.calls] == [
        ("draft_it", "generate", 0),
        ("judge", "critique", 0),
        ("judge", "critique", 0),
        ("better", "revise", 0),
        ("draft_it", "generate", 1),
        ("judge", "critique", 1),
    ]
    regions = {region.id: region for region in trace.regions}
    parents = [regions[call.parent].name for call in trace.calls if call.parent]
    assert parents == ["draft_it", "judge", "judge", "better", "draft_it", "judge"]
    assert trace.usage.calls == 6
    assert len({call.id for call in trace.calls}) == 6


def test_regions_say_how_they_came_to_their_result(tmp_path: Path) -> None:
    _, trace = traced(tmp_path)
    vote = next(r for r in trace.regions if r.kind == "vote")
    assert vote.detail == {"keys": ['"right"', '"right"'], "counts": {'"right"': 2}, "winner": 0}
    first, second = (r for r in trace.regions if r.kind == "refine")
    assert (first.detail["drafts"], first.detail["chosen"]) == (["wrong", "right"], 1)
    assert (second.detail["drafts"], second.detail["chosen"]) == (["right"], 0)
    assert [check["ok"] for check in first.detail["checks"]] == [False, True]


def test_parts_of_a_region_have_places_within_it(tmp_path: Path) -> None:
    _, trace = traced(tmp_path)
    vote, refine = (next(r for r in trace.regions if r.kind == kind) for kind in ("vote", "refine"))
    assert refine.place[: len(vote.place) + 1] == (*vote.place, 0)  # the first sample
    revise = next(call for call in trace.calls if call.role == "revise")
    assert revise.place[: len(refine.place) + 2] == (
        *refine.place,
        1,
        3,
    )  # second draft, by revision


def test_two_runs_have_equal_traces(tmp_path: Path) -> None:
    (_, one), (_, two) = traced(tmp_path), traced(tmp_path)
    for call in [*one.calls, *two.calls]:
        call.latency_ms = 0.0
    assert one == two


def test_parameters_come_back_from_json() -> None:
    demos = (Demo({"q": "1"}, {"result": "2"}, "row 3"),)
    modules = {"b": ModuleParameters(demos=demos, model="m"), "a": ModuleParameters("Do.", (), "w")}
    parameters = Parameters(modules, {"v.n": 3})
    again = Parameters.from_json(json.loads(json.dumps(parameters.to_json())))
    assert again == parameters
    assert again.modules["b"].demos == demos
    assert again.modules["b"].demos[0].origin == "row 3"
    assert list(parameters.to_json()["modules"]) == ["a", "b"]
    assert Parameters.from_json({}) == Parameters()


def test_parameters_are_changed_by_copies() -> None:
    start = Parameters()
    changed = start.with_module("g", ModuleParameters("Do.")).with_choice("v.n", 3)
    assert start == Parameters()
    assert changed == Parameters({"g": ModuleParameters("Do.")}, {"v.n": 3})
