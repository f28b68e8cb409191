"""The dataflow interpreter on graphs built by hand, down the way of every real call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmc.check.program import Choice
from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph, Port, Tool
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.runtime.failures import CallFailure
from lmc.runtime.loading import load_function
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import Trace
from lmc.source import Source, Span
from lmc.types import (
    BOOL,
    INT,
    JSON,
    STR,
    VERDICT,
    Field,
    ListType,
    OptionalType,
    RecordType,
)
from tests.test_runtime.graphs import Build, applying, calling, executor, generate, requests, vote

NOWHERE = Span(Source("test.lmp", ""), 0, 0)


def question(request: Request) -> str:
    return request.messages[-1]["content"].removeprefix("[[x]] ")


class Slow(Scripted):
    """Answers after a while, and knows how many requests were under way at once."""

    def __init__(self, answer: Any) -> None:
        super().__init__(self._answer)
        self.answer, self.now, self.most, self.cancelled = answer, 0, 0, 0

    async def _answer(self, request: Request) -> list[str]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.01)
            reply = self.answer(request)
            if asyncio.iscoroutine(reply):
                reply = await reply
            return [reply] * request.n
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1


def pair() -> Graph:
    """Two independent calls, then their results joined."""
    build = Build("main", x=STR)
    left, right = build.call("g", build.ids["x"]), build.call("h", build.ids["x"])
    return build.done(build.op("add", left, right), "pipeline", STR)


async def test_independent_calls_run_at_once() -> None:
    backend = Slow(lambda request: "ab")
    ex = executor(backend, generate("g"), generate("h"), pair())
    assert await ex.run("main", {"x": "?"}) == "abab"
    assert backend.most == 2


async def test_a_diamond_waits_for_both_sides() -> None:
    build = Build("main", x=STR)
    top = build.call("g", build.ids["x"])
    left, right = build.call("g", top), build.call("g", top)
    bottom = build.call("g", build.op("add", left, right))
    ex = executor(Slow(lambda r: f"<{question(r)}>"), generate("g"), build.done(bottom, "pipeline"))
    assert await ex.run("main", {"x": "x"}) == "<<<x>><<x>>>"


async def test_a_failure_cancels_what_runs_beside_it() -> None:
    async def answer(request: Request) -> str:
        if "h" in request.messages[0]["content"]:
            raise ModelFailure("server", "no", retryable=False)
        await asyncio.sleep(60)
        return "never"

    backend = Slow(answer)
    ex = executor(backend, generate("g"), generate("h", settings={"instruction": "h"}), pair())
    with pytest.raises(CallFailure) as failure:
        await ex.run("main", {"x": "?"})
    assert failure.value.module == "h"
    assert failure.value.infrastructure
    assert backend.cancelled == 1


async def test_cancelling_a_run_stops_its_calls() -> None:
    async def never(request: Request) -> str:
        await asyncio.sleep(60)
        return ""

    backend = Slow(never)
    ex = executor(backend, generate("g"), generate("h"), pair())
    task = asyncio.create_task(ex.run("main", {"x": "?"}))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.cancelled == 2


async def test_inputs_are_bound_by_name_with_defaults() -> None:
    build = Build("main", x=STR, y=STR)
    graph = build.done(build.op("add", build.ids["x"], build.ids["y"]))
    graph = Graph("main", (Port("x", STR), Port("y", STR, True, "!")), STR, graph.nodes)
    ex = executor([], graph)
    assert await ex.run("main", {"x": "a"}) == "a!"
    assert await ex.run("main", {"x": "a", "y": "b"}) == "ab"
    with pytest.raises(LmcError, match=r"missing-input.*`main` needs an input `x: str`"):
        await ex.run("main", {})
    with pytest.raises(LmcError, match=r"unknown-input.*no input `z`"):
        await ex.run("main", {"x": "a", "z": "b"})
    with pytest.raises(LmcError, match=r"unknown-target.*did you mean `main`"):
        await ex.run("mian", {"x": "a"})


async def test_a_fault_in_an_expression_is_a_diagnostic() -> None:
    build = Build("main", x=INT)
    ex = executor([], build.done(build.op("div", build.ids["x"], build.const(0))))
    with pytest.raises(LmcError, match="evaluation-failed"):
        await ex.run("main", {"x": 1})


# --- choices ---


@pytest.mark.parametrize(("chosen", "expected"), [({}, "ab"), ({"main.k": "z"}, "az")])
async def test_choices_take_the_baseline_or_what_was_chosen(
    chosen: dict[str, Any], expected: str
) -> None:
    build = Build("main", x=STR)
    choice = build.add("choice", STR, choice=Choice("main.k", ("b", "z"), NOWHERE))
    graph = build.done(build.op("add", build.ids["x"], choice))
    ex = executor([], graph, parameters=Parameters(choices=chosen))
    assert await ex.run("main", {"x": "a"}) == expected


# --- conditions, maps, loops ---


def conditional(then: Graph, otherwise: Graph) -> Graph:
    build = Build("main", x=STR, c=BOOL)
    node = build.add(
        "cond",
        STR,
        build.ids["c"],
        build.ids["x"],
        free=("x",),
        bodies={"then": then, "otherwise": otherwise},
    )
    return build.done(node, "pipeline")


@pytest.mark.parametrize(("condition", "asked"), [(True, 1), (False, 0)])
async def test_only_the_branch_taken_runs(condition: bool, asked: int) -> None:
    still = Build(x=STR)
    ex = executor(
        lambda r: "called", generate("g"), conditional(calling("g"), still.done(still.ids["x"]))
    )
    assert await ex.run("main", {"x": "same", "c": condition}) == (
        "called" if condition else "same"
    )
    assert len(requests(ex)) == asked


async def test_a_condition_without_effects_is_computed_in_place() -> None:
    still, twice = Build(x=STR), Build(x=STR)
    bodies = (
        twice.done(twice.op("add", twice.ids["x"], twice.ids["x"])),
        still.done(still.ids["x"]),
    )
    ex = executor([], conditional(*bodies))
    assert ex.plan(ex.program.graphs["main"]).pure
    assert await ex.run("main", {"x": "a", "c": True}) == "aa"


def mapping(item: Graph, keep: Graph | None = None, count: int = 1) -> Graph:
    build = Build("main", xs=ListType(STR), ys=ListType(STR), k=STR)
    bodies = {"item": item} | ({"filter": keep} if keep else {})
    iterables = [build.ids[name] for name in ("xs", "ys")[:count]]
    node = build.add(
        "map", ListType(STR), *iterables, build.ids["k"], count=count, free=("k",), bodies=bodies
    )
    return build.done(node, "pipeline")


async def test_items_of_a_map_run_at_once_and_keep_their_order() -> None:
    item = Build(x=STR, k=STR)
    body = item.done(item.op("add", item.call("g", item.ids["x"]), item.ids["k"]))

    async def late_first(request: Request) -> str:
        await asyncio.sleep(0.02 if question(request) == "a" else 0)
        return question(request).upper()

    backend = Slow(late_first)
    ex = executor(backend, generate("g"), mapping(body))
    assert await ex.run("main", {"xs": ["a", "b", "c"], "ys": [], "k": "!"}) == ["A!", "B!", "C!"]
    assert backend.most == 3


async def test_a_map_over_nothing_is_empty() -> None:
    ex = executor([], generate("g"), mapping(calling("g", x=STR)))
    assert await ex.run("main", {"xs": [], "ys": [], "k": ""}) == []


async def test_a_map_takes_several_lists_and_filters() -> None:
    item = Build(x=STR, y=STR)
    keep = applying("ne", x=STR, k=STR)
    graph = mapping(item.done(item.op("add", item.ids["x"], item.ids["y"])), keep, count=2)
    ex = executor([], graph)
    values = {"xs": ["a", "b", "c"], "ys": ["1", "2", "3"], "k": "b"}
    assert await ex.run("main", values) == ["a1", "c3"]


async def test_a_filter_may_ask_a_model() -> None:
    keep = Build(x=STR)
    passes = keep.done(keep.op("eq", keep.call("g", keep.ids["x"]), keep.const("yes")))
    still = Build(x=STR)
    graph = mapping(still.done(still.ids["x"]), passes)
    ex = executor(lambda r: "yes" if question(r) == "b" else "no", generate("g"), graph)
    assert await ex.run("main", {"xs": ["a", "b"], "ys": [], "k": ""}) == ["b"]


async def test_a_long_map_does_not_start_all_items_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmc.runtime.regions.branches.MAX_IN_FLIGHT", 8)
    backend = Slow(question)
    ex = executor(
        backend, generate("g"), mapping(calling("g", x=STR)), default={"concurrency": 1000}
    )
    xs = [str(i) for i in range(40)]
    assert await ex.run("main", {"xs": xs, "ys": [], "k": ""}) == xs
    assert backend.most == 8


def looping(body: Graph, until: Graph | None, bound: Any = 3) -> Graph:
    build = Build("main", x=STR, k=STR)
    bodies = {"body": body} | ({"until": until} if until else {})
    node = build.add(
        "loop",
        STR,
        build.ids["x"],
        build.ids["k"],
        name="s",
        bound=bound,
        free=("k",),
        bodies=bodies,
    )
    return build.done(node, "pipeline")


@pytest.mark.parametrize("pure", [True, False])
async def test_a_loop_stops_at_its_bound_or_when_done(pure: bool) -> None:
    build = Build(s=STR, k=STR)
    state = build.ids["s"] if pure else build.call("g", build.ids["s"])
    body = build.done(build.op("add", state, build.ids["k"]))
    full = Build(s=STR)
    until = full.done(full.op("ge", full.op("len", full.ids["s"]), full.const(4)))
    script = lambda r: question(r)  # noqa: E731
    assert (
        await executor(script, generate("g"), looping(body, None)).run("main", {"x": "a", "k": "b"})
        == "abbb"
    )
    ex = executor(script, generate("g"), looping(body, until))
    assert await ex.run("main", {"x": "aa", "k": "b"}) == "aabb"
    assert await ex.run("main", {"x": "aaaa", "k": "b"}) == "aaaa"


async def test_the_bound_of_a_loop_may_be_a_choice() -> None:
    body = applying("add", s=STR, k=STR)
    graph = looping(body, None, Choice("main.n", (1, 2), NOWHERE))
    assert await executor([], graph).run("main", {"x": "a", "k": "b"}) == "ab"
    ex = executor([], graph, parameters=Parameters(choices={"main.n": 2}))
    assert await ex.run("main", {"x": "a", "k": "b"}) == "abb"


# --- refine ---


def refining(rounds: Any = 2, *, until: bool = True) -> list[Graph]:
    revise = Build(x=STR, draft=STR, check=VERDICT)
    feedback = revise.op("attr", revise.ids["check"], name="feedback")
    ids = (revise.ids["x"], revise.ids["draft"], feedback)
    from tests.test_runtime.graphs import slots

    node = revise.add(
        "model",
        STR,
        *ids,
        names=("x", "draft", "feedback"),
        slots=slots("r", instruction="revise"),
        role="revise",
    )
    bodies = {
        "draft": calling("g", x=STR),
        "check": calling("c", x=STR, draft=STR),
        "revise": revise.done(node, result=STR),
    }
    bodies["check"] = Graph("check", bodies["check"].inputs, VERDICT, bodies["check"].nodes)
    if until:
        bodies["until"] = applying("attr", attrs={"name": "ok"}, check=VERDICT)
    build = Build("r", x=STR)
    refine = build.done(build.region("refine", STR, bodies=bodies, rounds=rounds), "refine")
    critique = generate("c", VERDICT, role="critique", x=STR, draft=STR)
    return [generate("g"), critique, refine]


def verdict(ok: bool, score: float) -> str:
    return f"[[ok]] {str(ok).lower()}\n[[score]] {score}\n[[feedback]] f{score}"


async def test_a_draft_that_passes_is_returned_at_once() -> None:
    ex = executor(["d0", verdict(True, 1.0)], *refining())
    assert await ex.run("r", {"x": "?"}) == "d0"


@pytest.mark.parametrize("until", [True, False])
async def test_a_revision_sees_the_draft_and_what_was_said(until: bool) -> None:
    ex = executor(["d0", verdict(False, 0.1), "d1", verdict(True, 0.9)], *refining(until=until))
    assert await ex.run("r", {"x": "?"}) == "d1"
    asked = requests(ex)[2].messages[-1]["content"]
    assert asked == "[[x]] ?\n[[draft]] d0\n[[feedback]] f0.1"


async def test_when_none_passes_the_best_scored_draft_is_returned() -> None:
    script = ["d0", verdict(False, 0.2), "d1", verdict(False, 0.7), "d2", verdict(False, 0.5)]
    ex, trace = executor(script, *refining()), Trace()
    assert await ex.run("r", {"x": "?"}, trace=trace) == "d1"
    assert trace.regions[0].detail["chosen"] == 1
    assert trace.regions[0].detail["drafts"] == ["d0", "d1", "d2"]


async def test_of_equally_scored_drafts_the_last_is_returned() -> None:
    script = ["d0", verdict(False, 0.5), "d1", verdict(False, 0.5)]
    assert await executor(script, *refining(1)).run("r", {"x": "?"}) == "d1"


async def test_no_rounds_give_the_draft_and_ask_no_critique() -> None:
    ex = executor(["d0"], *refining(Choice("r.rounds", (0, 1), NOWHERE)))
    assert await ex.run("r", {"x": "?"}) == "d0"


# --- votes ---


def by_sample(*answers: str) -> Any:
    return lambda request: [answers[i] for i in range(request.index, request.index + request.n)]


async def test_a_vote_takes_the_majority() -> None:
    ex, trace = (
        executor(by_sample("a", "b", "b"), generate("g"), vote("v", calling("g"), n=3)),
        Trace(),
    )
    assert await ex.run("v", {"x": "?"}, trace=trace) == "b"
    assert [call.sample for call in trace.calls] == [0, 1, 2]
    assert trace.regions[0].detail["winner"] == 1


async def test_samples_of_one_prompt_are_one_request() -> None:
    ex = executor(by_sample("a", "b", "b"), generate("g"), vote("v", calling("g"), n=3))
    await ex.run("v", {"x": "?"})
    assert [(r.index, r.n) for r in requests(ex)] == [(0, 3)]


async def test_stopping_early_asks_for_no_more_than_can_change_the_winner() -> None:
    graphs = generate("g"), vote("v", calling("g"), n=5, stop_early=True)
    ex = executor(by_sample("a", "a", "a", "b", "b"), *graphs)
    assert await ex.run("v", {"x": "?"}) == "a"
    assert sum(r.n for r in requests(ex)) == 3
    ex = executor(by_sample("a", "b", "b", "a", "b"), *graphs)
    assert await ex.run("v", {"x": "?"}) == "b"
    assert sum(r.n for r in requests(ex)) == 5


RATED = RecordType("Rated", (Field("score", INT), Field("why", STR)))


async def test_a_vote_goes_by_fields() -> None:
    script = by_sample("[[score]] 1\n[[why]] p", "[[score]] 2\n[[why]] q", "[[score]] 2\n[[why]] r")
    ex = executor(script, generate("g", RATED), vote("v", calling("g"), n=3, by=("score",)))
    assert await ex.run("v", {"x": "?"}) == {"score": 2, "why": "q"}


async def test_a_vote_by_its_score_takes_the_highest() -> None:
    script = by_sample("[[score]] 1\n[[why]] p", "[[score]] 1\n[[why]] q", "[[score]] 2\n[[why]] r")
    ex = executor(script, generate("g", RATED), vote("v", calling("g"), n=3, by="score"))
    assert await ex.run("v", {"x": "?"}) == {"score": 2, "why": "r"}


async def test_a_vote_by_a_number_takes_the_first_of_the_highest() -> None:
    key = {"key": applying("len", out=STR)}
    ex = executor(
        by_sample("a", "aaa", "bbb"),
        generate("g"),
        vote("v", calling("g"), n=3, by="expr", more=key),
    )
    assert await ex.run("v", {"x": "?"}) == "aaa"


async def test_a_vote_by_a_score_that_is_not_there_is_a_diagnostic() -> None:
    key = {"key": applying("first", out=JSON)}
    graphs = generate("g", ListType(INT)), vote("v", calling("g"), n=2, by="expr", more=key)
    with pytest.raises(LmcError, match=r"no-score.*sample 1 has none"):
        await executor(by_sample("[4]", "[]"), *graphs).run("v", {"x": "?"})


async def test_too_little_agreement_gives_none() -> None:
    graphs = generate("g"), vote("v", calling("g"), n=3, min_agree=2, result=OptionalType(STR))
    assert await executor(by_sample("a", "b", "c"), *graphs).run("v", {"x": "?"}) is None
    assert await executor(by_sample("a", "b", "a"), *graphs).run("v", {"x": "?"}) == "a"


async def test_keys_are_normalized_on_request() -> None:
    graphs = generate("g"), vote("v", calling("g"), n=3, normalize=True)
    assert (
        await executor(by_sample("b", "Paris.", "paris"), *graphs).run("v", {"x": "?"}) == "Paris."
    )


async def test_a_vote_by_certainty_takes_the_surest_sample() -> None:
    sure = {"a": -1.0, "b": -0.1, "c": -2.0}

    def script(request: Request) -> list[Answer]:
        assert request.logprobs
        return [
            Answer(t, logprobs=(sure[t],) * 3)
            for t in "abc"[request.index : request.index + request.n]
        ]

    ex = executor(script, generate("g"), vote("v", calling("g"), n=3, by="certainty"))
    assert await ex.run("v", {"x": "?"}) == "b"


async def test_certainty_without_log_probabilities_is_a_diagnostic() -> None:
    ex = executor(by_sample("a", "b"), generate("g"), vote("v", calling("g"), n=2, by="certainty"))
    with pytest.raises(LmcError, match="no-logprobs"):
        await ex.run("v", {"x": "?"})


def adjudicated() -> Graph:
    judge = Build("v", x=STR, candidates=ListType(STR))
    from tests.test_runtime.graphs import slots

    node = judge.region(
        "model", STR, bodies={}, slots=slots("v", instruction="judge"), role="adjudicate"
    )
    return vote(
        "v", calling("g"), n=3, by="model", more={"adjudicate": judge.done(node, result=STR)}
    )


async def test_a_model_adjudicates_between_candidates() -> None:
    def script(request: Request) -> list[str]:
        if request.messages[0]["content"] == "judge":
            assert '["a", "b", "c"]' in request.messages[-1]["content"]
            return ["b!"]
        return list("abc")[request.index : request.index + request.n]

    assert await executor(script, generate("g"), adjudicated()).run("v", {"x": "?"}) == "b!"
    ex = executor(lambda r: "same", generate("g"), adjudicated())
    assert await ex.run("v", {"x": "?"}) == "same"
    assert sum(r.n for r in requests(ex)) == 3  # nothing to judge


async def test_votes_in_votes_sample_anew() -> None:
    inner = vote("inner", calling("g"), n=2)
    ex = executor(
        by_sample("a", "a", "b", "b", "c", "c"),
        generate("g"),
        inner,
        vote("v", calling("inner"), n=3),
    )
    trace = Trace()
    await ex.run("v", {"x": "?"}, trace=trace)
    assert [call.sample for call in trace.calls] == [0, 1, 2, 3, 4, 5]
    assert [call.result for call in trace.calls] == ["a", "a", "b", "b", "c", "c"]


async def test_samples_that_fail_abstain() -> None:
    graphs = generate("g", INT, settings={"repair": 0}), vote("v", calling("g"), n=3, result=INT)
    assert await executor(by_sample("no number", "7", "7"), *graphs).run("v", {"x": "?"}) == 7
    with pytest.raises(CallFailure, match="call-failed"):
        await executor(by_sample("x", "y", "z"), *graphs).run("v", {"x": "?"})


async def test_a_vote_fails_when_no_answer_comes() -> None:
    def script(request: Request) -> Any:
        raise ModelFailure("auth", "no key", retryable=False, hint="set KEY")

    ex = executor(script, generate("g"), vote("v", calling("g"), n=3))
    with pytest.raises(CallFailure, match=r"infrastructure-failure.*no key \(set KEY\)"):
        await ex.run("v", {"x": "?"})


# --- tools ---


def with_tool(target: str, **settings: Any) -> Any:
    build = Build("main", x=STR)
    graph = build.done(build.add("tool", INT, build.ids["x"], target="t"), "pipeline")
    tool = Tool("t", target, (Port("s", STR), Port("k", INT, True, 1)), INT, settings)
    return lambda **more: executor([], graph, tools={"t": tool}, **more)


@pytest.fixture
def tools(tmp_path: Any) -> Any:
    (tmp_path / "lmc_test_tools.py").write_text(
        "import asyncio, time\n"
        "calls = []\n"
        "def size(s, k):\n    calls.append(s)\n    return len(s) + k\n"
        "async def later(s, k):\n    await asyncio.sleep(0)\n    return len(s)\n"
        "def wrong(s, k):\n    return 'many'\n"
        "def broken(s, k):\n    raise KeyError('gone')\n"
        "def second(s, k):\n    calls.append(s)\n    return calls.count(s) // 2 or 1 / 0\n"
        "def slow(s, k):\n    time.sleep(0.3)\n    return 1\n"
    )
    return tmp_path


@pytest.mark.parametrize(("function", "result"), [("size", 4), ("later", 3)])
async def test_tools_are_called_with_their_inputs(tools: Any, function: str, result: int) -> None:
    assert (
        await with_tool(f"lmc_test_tools:{function}")(base_dir=tools).run("main", {"x": "abc"})
        == result
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("lmc_test_tools:wrong", "tool-failed.*gave a value that does not fit `int`"),
        ("lmc_test_tools:broken", "tool-failed.*raised KeyError: 'gone'"),
        ("lmc_test_tools:absent", "tool-not-found.*lmc_test_tools:absent"),
        ("lmc_no_such_module:f", "tool-not-found.*lmc_no_such_module"),
    ],
)
async def test_tools_that_fail_give_diagnostics(tools: Any, target: str, message: str) -> None:
    with pytest.raises(LmcError, match=message):
        await with_tool(target)(base_dir=tools).run("main", {"x": "abc"})


async def test_a_tool_has_its_time(tools: Any) -> None:
    ex = with_tool("lmc_test_tools:slow", timeout=0.02)(base_dir=tools)
    with pytest.raises(LmcError, match=r"tool-failed.*took more than 0\.02 s"):
        await ex.run("main", {"x": "abc"})


async def test_a_tool_is_tried_again(tools: Any) -> None:
    ex = with_tool("lmc_test_tools:second", retry={"max": 1, "backoff": 0.001})(base_dir=tools)
    assert await ex.run("main", {"x": "again"}) == 1
    ex = with_tool("lmc_test_tools:broken", retry={"max": 1, "backoff": 0.001})(base_dir=tools)
    with pytest.raises(LmcError, match="tool-failed"):
        await ex.run("main", {"x": "again"})


async def test_a_tool_with_a_cache_is_called_once(tools: Any) -> None:
    ex = with_tool("lmc_test_tools:size", cache=True)(base_dir=tools)
    assert [await ex.run("main", {"x": "once"}) for _ in range(3)] == [5, 5, 5]
    assert load_function("lmc_test_tools:calls.count", tools)("once") == 1


# --- stubs and traces ---


async def test_stubs_take_the_place_of_modules_and_tools() -> None:
    ex = executor([], generate("g"), generate("h"), pair())
    assert await ex.run("main", {"x": "?"}, stubs={"g": "a", "h": "b"}) == "ab"
    assert requests(ex) == []
    assert await with_tool("nowhere:f")().run("main", {"x": "?"}, stubs={"t": 9}) == 9


async def test_a_trace_is_in_the_order_of_the_program() -> None:
    async def late_left(request: Request) -> str:
        await asyncio.sleep(0.02 if "left" in request.messages[0]["content"] else 0)
        return "x"

    ex = executor(
        Slow(late_left), generate("g", settings={"instruction": "left"}), generate("h"), pair()
    )
    trace = Trace()
    await ex.run("main", {"x": "?"}, trace=trace)
    assert [call.module for call in trace.calls] == ["g", "h"]
    assert [region.name for region in trace.regions] == ["main", "g", "h"]
    assert trace.calls[0].parent == trace.regions[1].id
    assert trace.usage.calls == 2


async def test_repeated_runs_are_set_apart_by_their_sample() -> None:
    ex = executor(by_sample("a", "b"), generate("g"))
    assert [await ex.run("g", {"x": "?"}, sample=i) for i in (0, 1)] == ["a", "b"]
