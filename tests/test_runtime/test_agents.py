"""Agents from source to artifact: what models see, tools of the caller, choices, recordings."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import lmc
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.ir.cost import cost
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.ir.verify import GraphFault, verify
from lmc.models.base import Answer, Capabilities, Request, ToolCall
from lmc.models.recorded import Recorded
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.traces import Trace
from tests.programs import lowered

TOOLS = """
enum Unit { c f }
record Place { name: str "as on the map", at: float? = none }
tool find(query: str "what to look for", k: int(1..20) = 5, unit: Unit = Unit.c) -> list[Place]
  from "my:find" {
  \"\"\"Find places.

  In the whole world.\"\"\"
}
tool mine from "python:" { \"\"\"What the user lets you do.\"\"\" }
generate think(problem: str "stated in full") -> str { \"\"\"Think.\"\"\" }
"""
AGENT = (
    TOOLS
    + """
agent main(question: str) -> str {
  \"\"\"Answer.\"\"\"
  tools: [find, think, mine]
  steps: 4
}
"""
)
DONE = "[[tool]] finish\n[[answer]] done"


def step(tool: str, /, **arguments: Any) -> str:
    return f"[[tool]] {tool}\n[[arguments]] {json.dumps(arguments)}"


def script(*said: str, asked: list[Request] | None = None) -> Callable[[Request], str]:
    left = list(said)

    def answer(request: Request) -> str:
        if asked is not None:
            asked.append(request)
        return left.pop(0)

    return answer


def executor(text: str, said: Any, functions: dict[str, Any] | None = None) -> Executor:
    graph = run_passes(lowered(text))
    consent = Consent(functions=functions or {})
    pool = ModelPool(graph.models, graph.default, backends={"*": Scripted(said)}, consent=consent)
    return Executor(graph, pool, consent=consent)


def seen(trace: Trace) -> list[str]:
    return [t["observation"] for r in trace.regions for t in r.detail.get("transcript", ())]


# --- what models see ---


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
async def test_texts_notes_defaults_and_shapes_in_every_layout(layout: str) -> None:
    asked: list[Request] = []
    text = f'default {{ layout: "{layout}" }}' + AGENT
    said = {
        "chat": DONE,
        "json": '{"tool": "finish", "answer": "done"}',
        "xml": "<tool>finish</tool><answer>done</answer>",
    }
    ex = executor(text, script(said[layout], asked=asked))
    assert await ex.run("main", {"question": "?"}) == "done"
    told = asked[0].messages[0]["content"].replace('\\"', '"')
    assert (
        'find(query: str (what to look for), k: int(1..20) = 5, unit: "c" | "f" = "c")'
        " -> list[{name: str (as on the map), at: float?}]: Find places. In the whole world"
    ) in told
    assert "think(problem: str (stated in full)) -> str: Think" in told


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
async def test_notes_on_the_inputs_of_a_module(layout: str) -> None:
    asked: list[Request] = []
    text = f'default {{ layout: "{layout}" }}' + TOOLS
    await executor(text, script("x", asked=asked)).run("think", {"problem": "?"})
    assert "The inputs:\nproblem: stated in full" in asked[0].messages[0]["content"]


def test_notes_and_tools_survive_the_artifact() -> None:
    graph = run_passes(lowered(AGENT.replace("[find, think, mine]", "tune[[find], [find, mine]]")))
    again = graph_from_json(json.loads(json.dumps(graph_to_json(graph))))
    assert again == graph
    verify(again)
    assert again.tools["mine"].server
    assert again.tools["find"].inputs[0].note == "what to look for"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["tools"]["of"]["find"].update(doc=7),
        lambda t: t["tools"]["of"]["mine"].update(server="yes"),
        lambda t: t["tools"]["of"]["find"]["inputs"]["of"][0].update(note=["x"]),
    ],
)
def test_a_forged_tool_is_refused(change: Callable[[Any], None]) -> None:
    data = json.loads(json.dumps(graph_to_json(run_passes(lowered(AGENT)))))
    change(data)
    with pytest.raises(GraphFault):
        verify(graph_from_json(data))


def test_an_agent_that_offers_what_it_does_not_have_is_refused() -> None:
    text = json.dumps(graph_to_json(run_passes(lowered(AGENT))))
    offer = '{"$": "Offer", "name": "find"'
    assert offer in text
    with pytest.raises(GraphFault):
        verify(graph_from_json(json.loads(text.replace(offer, offer.replace("find", "other")))))


# --- choices ---


def test_the_cost_of_a_choice_of_tools() -> None:
    text = (
        TOOLS
        + """
pipeline twice(x: str) -> str { return think(think(x)) }
agent main(q: str) -> str { \"\"\"A.\"\"\" tools: tune[[find], [find, twice]] steps: 3 }
"""
    )
    found = cost(lowered(text), "main")
    assert (found.calls, found.baseline) == (4 + 3 * 2, 4)


async def test_only_the_chosen_tools_are_told_and_run() -> None:
    text = AGENT.replace("[find, think, mine]", "tune[[think], [find, think]]")
    asked: list[Request] = []
    ex = executor(text, script(step("find", query="x"), DONE, asked=asked))
    assert await ex.run("main", {"question": "?"}) == "done"
    assert "find(" not in asked[0].messages[0]["content"]
    assert "one of" in asked[1].messages[-1]["content"]  # the repair of a tool that is no choice


# --- tools of the caller ---


def lookup(
    word: Annotated[str, Field(description="to look up")],
    language: Literal["en", "de"] = "en",
    limits: list[int] | None = None,
) -> dict[str, Any]:
    """Look a word up."""
    return {"word": word, "language": language, "limits": limits}


async def later(number: int) -> int:
    return number + 1


async def test_functions_of_the_caller_are_tools() -> None:
    asked: list[Request] = []
    said = script(
        step("lookup", word="a", limits=["3"]),
        step("later", number=2),
        step("later", number="x"),
        DONE,
        asked=asked,
    )
    trace = Trace()
    ex = executor(AGENT, said, {"mine": [lookup, later]})
    await ex.run("main", {"question": "?"}, trace=trace)
    told = asked[0].messages[0]["content"]
    assert 'lookup(word: str (to look up), language: "en" | "de"? = null' in told
    assert seen(trace)[0] == '{"word": "a", "language": "en", "limits": [3]}'
    assert seen(trace)[1] == "3"
    assert "the argument `number`" in seen(trace)[2]


async def test_without_functions_the_agent_has_its_other_tools() -> None:
    asked: list[Request] = []
    await executor(AGENT, script(DONE, asked=asked)).run("main", {"question": "?"})
    assert "mine(" not in asked[0].messages[0]["content"]


async def test_functions_may_stand_in_for_a_server() -> None:
    text = AGENT.replace('"python:"', '"mcp:no-such-command"')
    trace = Trace()
    ex = executor(text, script(step("later", number=1), DONE), {"mine": [later]})
    await ex.run("main", {"question": "?"}, trace=trace)
    assert seen(trace) == ["2"]


@pytest.mark.parametrize(
    ("functions", "told"),
    [([lambda *words: 1], "takes `*words`"), (later, "give a list of functions")],
)
async def test_functions_that_cannot_be_tools(functions: Any, told: str) -> None:
    with pytest.raises(LmcError, match="tool-failed") as caught:
        await executor(AGENT, [DONE], {"mine": functions}).run("main", {"question": "?"})
    assert told in str(caught.value)


def test_functions_are_given_when_a_program_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.lmp"
    path.write_text(AGENT.replace("find, think, mine", "mine"))
    said = Scripted(script(step("later", number=4), DONE))
    with lmc.load(path, tools={"mine": [later]}, backend=said) as program:
        assert program.main(question="?") == "done"
    assert '"observation": "5"' in said.requests[1].messages[-1]["content"]


async def test_a_typed_tool_of_the_caller_must_be_given() -> None:
    text = 'tool f(x: int) -> int from "python:"\npipeline main(x: int) -> int { return f(x) }'
    assert await executor(text, (), {"f": lambda x: x * 2}).run("main", {"x": 2}) == 4
    with pytest.raises(LmcError, match="tool-not-found"):
        await executor(text, ()).run("main", {"x": 2})


# --- recordings and traces ---


class Native:
    """A backend that calls tools."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        inner = Scripted(lambda request: "")
        self.endpoint, self.price, self.left = "native", None, list(answers)
        self.capabilities = Capabilities(tools=True)
        self.close = inner.close

    async def generate(self, request: Request) -> list[Answer]:
        assert request.tools
        return [self.left.pop(0)]


async def test_a_recording_replays_calls_of_tools(tmp_path: Path) -> None:
    calls = [ToolCall("a", "think", '{"problem": "x"}'), ToolCall("b", "finish", '{"answer": "y"}')]
    native = Native([Answer("Hm.", tool_calls=(calls[0],)), Answer("", tool_calls=(calls[1],))])
    graph = run_passes(lowered(AGENT.replace("find, think, mine", "think")))
    path = tmp_path / "r.jsonl"
    for opened in (lambda: Recorded(path, native), lambda: Recorded(path).open()):
        backend = opened()
        pool = ModelPool(graph.models, graph.default, backends={"*": backend})
        trace = Trace()
        ex = Executor(graph, pool)
        stubs = {"think": "thought"}
        assert await ex.run("main", {"question": "?"}, stubs=stubs, trace=trace) == "y"
        assert trace.calls[0].outputs["thought"] == "Hm."
        assert trace.calls[1].messages[-1]["content"] == "thought"
        assert trace.calls[1].messages[-2]["tool_calls"][0]["function"]["name"] == "think"


async def test_arguments_in_a_fence_are_read() -> None:
    fenced = '```json\n{"problem": "x"}\n```'
    calls = ToolCall("a", "think", fenced), ToolCall("b", "finish", '```{"answer": "y"}```')
    native = Native([Answer("", tool_calls=(call,)) for call in calls])
    graph = run_passes(lowered(AGENT.replace("find, think, mine", "think")))
    ex = Executor(graph, ModelPool(graph.models, graph.default, backends={"*": native}))
    assert await ex.run("main", {"question": "?"}, stubs={"think": "thought"}) == "y"
    assert not native.left


def test_a_tool_is_shown_with_the_names_that_models_see(tmp_path: Path) -> None:
    path = tmp_path / "p.lmp"
    path.write_text(
        'enum Unit { c as "°C", f }\nrecord Place { lat: float as "@lat" }\n'
        'tool weather(at: Place, unit: Unit = Unit.c) -> str from "t:weather"\n'
        "agent main(q: str) -> str { tools: [weather] }\n"
    )
    shown = str(lmc.load(path).main.prompt(q="?"))
    assert 'weather(at: {@lat: float}, unit: "°C" | "f" = "°C")' in shown


OPTIONAL = """
tool price(thing: str) -> float from "shop:price"
agent main(question: str) -> str? { \"\"\"Answer.\"\"\" tools: [price] steps: 2 }
"""


@pytest.mark.parametrize("said", ["[[tool]] finish\n[[answer]] null", "[[tool]] finish"])
async def test_an_agent_may_answer_that_there_is_none(said: str) -> None:
    ex = executor(OPTIONAL, [said])
    assert await ex.run("main", {"question": "?"}) is None


async def test_a_thought_alone_is_not_the_answer_none() -> None:
    ex = executor(OPTIONAL, ["[[thought]] Hm.", "[[tool]] finish\n[[answer]] five"])
    assert await ex.run("main", {"question": "?"}) == "five"
