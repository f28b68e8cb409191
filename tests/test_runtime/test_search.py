"""Searches over steps, with every method, and agents with typed tools."""

import json
from typing import Any

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.traces import Trace
from tests.programs import lowered

CLIMBING = """
generate step(goal: str, path: list[str]) -> str {{ \"\"\"Next.\"\"\" temperature: 0.8 }}
critique rate(goal: str, path: list[str]) -> float {{ \"\"\"Rate.\"\"\" subject: path }}
search main(goal: str) -> list[str] {{
  expand: step(goal, path)
  value: rate(goal, path)
  until: len(path) == 4
  method: "{method}"
  width: 3 keep: 2 depth: 6 rounds: 12
}}
"""
GOAL = "abca"


def climbing(request: Request) -> list[str]:
    """Three letters as next steps; a path is worth the share of letters that are in place."""
    text = request.messages[-1]["content"]
    path = json.loads(text.split("[[path]] ")[1])
    if request.messages[0]["content"].startswith("Rate."):
        return [str(sum(a == b for a, b in zip(path, GOAL)) / len(GOAL))]
    return list("cba"[request.index : request.index + request.n])


def executor(text: str, script: Any) -> Executor:
    graph = run_passes(lowered(text))
    return Executor(graph, ModelPool(graph.models, graph.default, backends={"*": Scripted(script)}))


@pytest.mark.parametrize("method", ["beam", "best_first", "mcts"])
async def test_searches_find_the_best_path(method: str) -> None:
    ex, trace = executor(CLIMBING.format(method=method), climbing), Trace()
    found = await ex.run("main", {"goal": GOAL}, trace=trace)
    detail = next(r for r in trace.regions if r.kind == "search").detail
    assert len(found) == 4
    assert "".join(found) == GOAL or method == "mcts"  # which also explores what looks worse
    assert detail["tree"][detail["chosen"] - 1]["step"] == found[-1]
    best = max(node["value"] for node in detail["tree"])
    assert detail["tree"][detail["chosen"] - 1]["value"] == best or method == "mcts"
    assert len({n["parent"] for n in detail["tree"]}) <= 12


async def test_steps_of_one_node_are_one_request() -> None:
    ex = executor(CLIMBING.format(method="beam"), climbing)
    await ex.run("main", {"goal": GOAL})
    seen = ex.pool.bind(None).backend.requests  # type: ignore[attr-defined]
    assert {r.n for r in seen if r.messages[0]["content"].startswith("Next.")} == {3}


async def test_a_search_without_any_step_fails_as_its_model_did() -> None:
    text = (
        CLIMBING.format(method="beam")
        .replace("-> str {", "-> int {")
        .replace("list[str]", "list[int]")
    )
    with pytest.raises(LmcError, match="got no usable answer"):
        await executor(text, lambda request: ["none"] * request.n).run("main", {"goal": GOAL})


ACTING = """
pipeline double(number: int) -> int { return number * 2 }
generate look_up(word: str) -> str { \"\"\"Define.\"\"\" }
agent main(question: str) -> int {
  \"\"\"Act.\"\"\"
  tools: [double, look_up]
  steps: 3
  layout: "json"
}
"""


def acting(*actions: dict[str, Any]) -> Any:
    """Gives actions in turn, and keeps the transcripts that it was shown."""
    left, shown = list(actions), []

    def script(request: Request) -> list[str]:
        if request.messages[0]["content"].startswith("Define."):
            return ["a number"]
        shown.append(request.messages[-1]["content"])
        return [json.dumps({"thought": "…", "arguments": {}, "answer": None} | left.pop(0))]

    return script, shown


async def test_an_agent_uses_its_tools_until_it_knows() -> None:
    script, shown = acting(
        {"tool": "look_up", "arguments": {"word": "seven"}},
        {"tool": "double", "arguments": {"number": 7}},
        {"tool": "finish", "answer": 14},
    )
    trace = Trace()
    question = {"question": "Twice seven?"}
    assert await executor(ACTING, script).run("main", question, trace=trace) == 14
    acts = [call for call in trace.calls if call.role == "act"]
    assert [len(call.inputs["transcript"]) for call in acts] == [0, 1, 2]
    assert "a number" in shown[1] and '"14"' in shown[2]


async def test_what_is_wrong_with_a_call_is_observed() -> None:
    script, shown = acting(
        {"tool": "double", "arguments": {"numbr": 7}},
        {"tool": "double", "arguments": {"number": "x"}},
        {"tool": "finish"},
        {"tool": "finish", "answer": 1},
    )
    assert await executor(ACTING, script).run("main", {"question": "?"}) == 1
    assert "has no input `numbr`" in shown[1] and "error" in shown[2]
    assert "no steps left" in shown[3]


async def test_an_agent_ends_after_its_last_step() -> None:
    script, _ = acting(*[{"tool": "double", "arguments": {"number": 1}}] * 4)
    with pytest.raises(LmcError, match="agent-unfinished"):
        await executor(ACTING, script).run("main", {"question": "?"})


async def test_no_tool_but_those_named_can_be_called() -> None:
    script, _ = acting(*[{"tool": "main", "arguments": {}}] * 8)
    with pytest.raises(LmcError, match="call-failed"):
        await executor(ACTING, script).run("main", {"question": "?"})


VOTED = ACTING + "vote voted(question: str) -> int { sample: main(question) n: 2 }"


async def test_an_agent_that_does_not_end_is_one_failed_sample() -> None:
    never = json.dumps({"tool": "double", "arguments": {"number": 1}})
    ends = json.dumps({"tool": "finish", "answer": 3})

    def script(request: Request) -> list[str]:
        return [ends if i == 1 else never for i in range(request.index, request.index + request.n)]

    assert await executor(VOTED, script).run("voted", {"question": "?"}) == 3


MAYBE = """
generate step(goal: str, path: list[str?]) -> str? { "Next." }
search main(goal: str) -> list[str?] {
  expand: step(goal, path)
  value: float(len(path))
  width: 1
  depth: 2
}
"""


async def test_a_step_may_be_none() -> None:
    found = await executor(MAYBE, lambda request: "none").run("main", {"goal": "?"})
    assert found == [None, None]
