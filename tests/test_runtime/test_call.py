"""One model call: prompt, parsing, repair, retry, fallback, and the failure at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lmc.check.program import Choice
from lmc.ir.graph import Graph, Node, Slots
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.prompts.border import as_text
from lmc.prompts.chat import ChatLayout
from lmc.prompts.spec import BARE, Demo, ParseFailure
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.conversation import RETRY_STRIDE
from lmc.runtime.executor import Executor
from lmc.runtime.failures import CallFailure
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.runtime.traces import Trace
from lmc.source import Source, Span
from lmc.types import INT, STR, Field, IntType, LiteralType, RecordType
from tests.programs import lowered
from tests.test_runtime.graphs import (
    Build,
    applying,
    calling,
    executor,
    generate,
    program,
    requests,
    vote,
)

PLACE = Span(Source("math.lmp", "\n\ngenerate g(x: str) -> int"), 2, 10)
ANSWER = RecordType("Answer", (Field("why", STR, "in one line"), Field("n", IntType(0, 10))))


def module(
    result: Any = INT, *, bodies: Mapping[str, Graph] | None = None, **settings: Any
) -> Graph:
    """`generate g(x: str)`, with a place in a source."""
    graph = generate("g", result, bodies=bodies, settings=settings)
    nodes = tuple(Node(n.id, n.op, n.type, n.inputs, n.attrs, n.bodies, PLACE) for n in graph.nodes)
    return Graph(graph.name, graph.inputs, graph.result, nodes, graph.kind)


async def ask(ex: Executor, **options: Any) -> Any:
    return await ex.run("g", {"x": "?"}, **options)


def parameters(**slots: Any) -> Parameters:
    return Parameters({"g": ModuleParameters(**slots)})


# --- the prompt ---


async def test_a_plain_string_is_taken_as_it_is() -> None:
    ex = executor(["  any text "], generate("g"))
    assert await ask(ex) == "any text"
    assert requests(ex)[0].messages == (
        {"role": "system", "content": "Do it."},
        {"role": "user", "content": "[[x]] ?"},
    )


async def test_an_optimizer_sets_the_instruction_unless_it_is_frozen() -> None:
    ex = executor(["a"], generate("g"), parameters=parameters(instruction="Better."))
    await ask(ex)
    assert requests(ex)[0].messages[0]["content"] == "Better."
    ex = executor(
        ["a"],
        generate("g", settings={"frozen": True}),
        parameters=parameters(instruction="Better."),
    )
    await ask(ex)
    assert requests(ex)[0].messages[0]["content"] == "Do it."


EXAMPLES = (({"x": "1"}, "one"), ({"x": "2"}, "two"))
SET = (Demo({"x": "8"}, {"result": "eight"}), Demo({"x": "9"}, {"result": "nine"}))


@pytest.mark.parametrize(
    ("limit", "given", "chosen", "shown"),
    [
        (None, None, {}, ["1", "2"]),  # the examples of the source
        (None, SET, {}, ["8", "9"]),  # an optimizer's demonstrations take their place
        (None, (), {}, []),
        (1, None, {}, ["1"]),  # `demos: 1`
        (1, SET, {}, ["8"]),
        (Choice("g.demos", (0, 1), PLACE), None, {}, []),  # the baseline of a `tune`
        (Choice("g.demos", (0, 1), PLACE), None, {"g.demos": 1}, ["1"]),
        (Choice("g.demos", (0, 1), PLACE), SET, {}, ["8", "9"]),  # not chosen: does not cut them
        (Choice("g.demos", (0, 1), PLACE), SET, {"g.demos": 1}, ["8"]),
    ],
)
async def test_demonstrations(limit: Any, given: Any, chosen: Any, shown: list[str]) -> None:
    graph = generate("g")
    first, node, last = graph.nodes
    made = Slots("g", "Do it.", False, {"demos": limit}, EXAMPLES)
    node = Node(node.id, node.op, node.type, node.inputs, {**node.attrs, "slots": made})
    graph = Graph("g", graph.inputs, STR, (first, node, last), "generate")
    ex = executor(["x"], graph, parameters=Parameters({"g": ModuleParameters(demos=given)}, chosen))
    await ask(ex)
    asked = [m["content"] for m in requests(ex)[0].messages if m["role"] == "user"]
    assert asked == [f"[[x]] {x}" for x in [*shown, "?"]]


@pytest.mark.parametrize(
    ("training", "prompt"), [(False, "[[x]] ?"), (True, "[[x]] ?\n[[hint]] psst")]
)
async def test_train_parameters_are_seen_in_training_only(training: bool, prompt: str) -> None:
    graph = generate("g", settings={"train_only": ("hint",)}, x=STR, hint=STR)
    ex = executor(["a"], graph, training=training)
    await ex.run("g", {"x": "?", "hint": "psst"})
    assert requests(ex)[0].messages[-1]["content"] == prompt


async def test_reasoning_comes_first_and_stays_out_of_the_result() -> None:
    ex, trace = (
        executor(["[[reasoning]] so\n[[result]] 7"], generate("g", INT, settings={"reason": True})),
        Trace(),
    )
    assert await ask(ex, trace=trace) == 7
    assert trace.calls[0].outputs == {"reasoning": "so", "result": 7}
    assert trace.calls[0].result == 7


async def test_a_field_of_the_type_may_be_called_reasoning() -> None:
    record = RecordType("R", (Field("reasoning", STR), Field("n", INT)))
    ex = executor(["[[reasoning]] so\n[[n]] 7"], generate("g", record))
    assert await ask(ex) == {"reasoning": "so", "n": 7}


# --- settings ---


async def test_settings_of_a_module_go_before_those_of_its_model_and_those_before_the_default() -> (
    None
):
    default = {"model": "m", "temperature": 0.1, "max_tokens": 10, "seed": 1}
    models = {"m": {"name": "scripted/x", "temperature": 0.5, "max_tokens": 20}}
    settings = {**default, "temperature": 0.9, "stop": "."}
    ex = executor(["a"], generate("g", settings=settings), default=default, models=models)
    await ask(ex)
    sampling = requests(ex)[0].sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.seed) == (0.9, 20, 1)
    assert sampling.stop == (".",)


async def test_models_are_chosen_by_override_then_optimizer_then_source() -> None:
    async def used(parameters: Parameters | None = None, **more: Any) -> str:
        names = ("source", "optimizer", "override")
        backends = {name: Scripted([name]) for name in names}
        made = program(generate("g", settings={"model": "source"}))
        return await ask(Executor(made, ModelPool(backends=backends), parameters, **more))

    assert await used() == "source"
    assert await used(parameters(model="optimizer")) == "optimizer"
    assert await used(parameters(model="optimizer"), model="override") == "override"


async def test_an_adapter_goes_with_the_request() -> None:
    ex = executor(["a"], generate("g"), parameters=parameters(adapter="weights"))
    await ask(ex)
    assert requests(ex)[0].adapter == "weights"


@pytest.mark.parametrize(("layout", "has_schema"), [("chat", False), ("json", True)])
async def test_a_schema_goes_to_backends_that_can_use_it(layout: str, has_schema: bool) -> None:
    ex = executor(
        ['{"why": "w", "n": 1}' if has_schema else "[[why]] w\n[[n]] 1"],
        module(ANSWER, layout=layout),
    )
    assert await ask(ex) == {"why": "w", "n": 1}
    assert (requests(ex)[0].schema is not None) == has_schema


async def test_cache_off_asks_anew(tmp_path: Any) -> None:
    from lmc.requests.cache import Cache

    for value, asked in (("off", 2), ("disk", 1)):
        backend = Scripted(lambda r: "a", name=f"cache {value}")
        pool = ModelPool(backends={"*": backend}, cache=Cache(tmp_path / "c.db"))
        ex = Executor(program(generate("g", settings={"cache": value})), pool)
        assert [await ask(ex), await ask(ex)] == ["a", "a"]
        assert len(backend.requests) == asked
        await pool.close()


# --- repair, retry, fallback ---


async def test_an_answer_that_cannot_be_used_is_repaired() -> None:
    ex, trace = executor(["many", "7"], module()), Trace()
    assert await ask(ex, trace=trace) == 7
    first, second = requests(ex)
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[-2] == {"role": "assistant", "content": "many"}
    assert second.messages[-1]["role"] == "user"
    assert "integer" in second.messages[-1]["content"]
    (call,) = trace.calls
    assert (call.attempts, call.raw, call.result, call.usage.calls) == (2, ["many", "7"], 7, 2)


async def test_values_outside_of_their_type_are_repaired() -> None:
    ex = executor(["[[why]] w\n[[n]] 11", "[[why]] w\n[[n]] 10"], module(ANSWER))
    assert await ask(ex) == {"why": "w", "n": 10}
    assert "`n` must be at most 10, got 11" in requests(ex)[1].messages[-1]["content"]


async def test_a_fault_of_the_reader_costs_one_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ex = executor(["odd", "7"], module())

    def faulty(self: Any, spec: Any, text: str) -> dict[str, Any]:
        return {BARE: [][0]} if text == "odd" else {BARE: int(text)}

    monkeypatch.setattr(ChatLayout, "parse", faulty)
    assert await ask(ex) == 7
    assert "it cannot be read (IndexError)" in requests(ex)[1].messages[-1]["content"]
    assert "please report this" in caplog.text


async def test_requirements_are_told_and_enforced() -> None:
    build = Build(x=STR, out=INT)
    require = build.done(build.op("ge", build.ids["out"], build.const(5)))
    ex = executor(["3", "6"], module(bodies={"require": require}, requirements=("out >= 5",)))
    assert await ask(ex) == 6
    assert "out >= 5" in requests(ex)[0].messages[0]["content"]
    assert requests(ex)[1].messages[-1]["content"].startswith("That reply cannot be used: ")


async def test_what_is_only_recorded_stands_in_the_trace() -> None:
    check = applying("len", out=STR)
    ex, trace = executor(["abc"], module(STR, bodies={"check": check})), Trace()
    assert await ask(ex, trace=trace) == "abc"
    assert trace.calls[0].check == 3


async def test_a_retry_is_another_sample_with_the_first_prompt() -> None:
    ex = executor(["x", "y", "7"], module(retry=1))
    assert await ask(ex) == 7
    assert [r.index for r in requests(ex)] == [0, 0, RETRY_STRIDE]
    assert len(requests(ex)[2].messages) == 2


async def test_no_repairs_if_so_set() -> None:
    ex = executor(["x", "7"], module(repair=0))
    with pytest.raises(CallFailure):
        await ask(ex)
    assert len(requests(ex)) == 1


@pytest.mark.parametrize(
    "place", ['model m { name: "x/y" repair: 0 }', "default { repair: 0 }", ""]
)
async def test_repairs_are_set_by_module_model_or_program(place: str) -> None:
    own = "model: m" if place.startswith("model") else "repair: 0" if not place else ""
    text = f'{place}\ngenerate g(x: str) -> int {{ "Count." {own} }}'
    program = lowered(text)
    backend = Scripted(["x", "7"])
    pool = ModelPool(program.models, program.default, backends={ANY_MODEL: backend})
    with pytest.raises(CallFailure):
        await Executor(program, pool).run("g", {"x": "?"})
    assert len(backend.requests) == 1


async def test_retries_meant_for_the_network_do_not_repeat_answers() -> None:
    ex = executor(["x", "7"], module(repair=0, retry={"max": 3, "on": ["timeout"]}))
    with pytest.raises(CallFailure):
        await ask(ex)


async def test_a_fallback_takes_over_what_the_model_cannot_answer() -> None:
    backends = {"weak": Scripted(["x", "y"]), "strong": Scripted(["7"])}
    made = program(generate("g", INT, settings={"model": "weak", "fallback": ["strong"]}))
    trace = Trace()
    assert await ask(Executor(made, ModelPool(backends=backends)), trace=trace) == 7
    assert trace.calls[0].model == "strong"
    assert trace.calls[0].attempts == 3


# --- failures ---


async def test_a_failure_says_where_what_was_asked_and_what_came_back() -> None:
    ex, trace = executor(["x", "why not"], module()), Trace()
    with pytest.raises(CallFailure) as caught:
        await ask(ex, trace=trace)
    failure = caught.value
    assert (failure.code, failure.module, failure.file, failure.line) == (
        "call-failed",
        "g",
        "math.lmp",
        3,
    )
    assert (failure.raw, failure.attempts, failure.infrastructure) == (["x", "why not"], 2, False)
    assert [m["content"] for m in failure.messages[1:3]] == ["[[x]] ?", "x"]
    assert len(failure.messages) == 4  # as last sent
    who = "the backend that was given for `lmc/tiny`"
    told = f"math.lmp:3:1: error[call-failed]: `g` asked {who} 2 times"
    assert str(failure).startswith(told)
    assert "it said: 'why not'" in str(failure)
    assert trace.calls[0].error == str(failure)
    assert trace.calls[0].outputs is None


async def test_failures_of_the_infrastructure_are_another_class() -> None:
    def script(request: Request) -> Answer:
        raise ModelFailure("auth", "no key", retryable=False, hint="set OPENAI_API_KEY")

    trace = Trace()
    with pytest.raises(CallFailure) as caught:
        await ask(executor(script, module()), trace=trace)
    assert caught.value.code == "infrastructure-failure"
    assert caught.value.infrastructure
    assert trace.calls[0].infrastructure
    assert caught.value.diagnostics[0].help == "set OPENAI_API_KEY"


async def test_a_prompt_that_is_too_long_is_the_programs_own_doing() -> None:
    def script(request: Request) -> Answer:
        raise ModelFailure("context_length", "too long", retryable=False)

    with pytest.raises(CallFailure) as caught:
        await ask(executor(script, module()))
    assert not caught.value.infrastructure


# --- samples of one prompt ---


async def test_a_batch_fails_as_one() -> None:
    def script(request: Request) -> Answer:
        raise ModelFailure("server", "down", retryable=False)

    ex = executor(script, generate("g"), vote("v", calling("g"), n=3))
    with pytest.raises(CallFailure, match="down"):
        await ex.run("v", {"x": "?"})
    assert [r.n for r in requests(ex)] == [3]


async def test_samples_with_other_prompts_go_alone() -> None:
    inner = vote("v", calling("g"), n=2)
    build = Build("main", x=STR)
    left = build.call("v", build.ids["x"])
    right = build.call("v", build.op("add", build.ids["x"], build.const("!")))
    graph = build.done(build.op("add", left, right), "pipeline")
    ex = executor(lambda r: r.messages[-1]["content"][6:], generate("g"), inner, graph)
    assert await ex.run("main", {"x": "?"}) == "??!"
    assert sorted((r.n, r.messages[-1]["content"]) for r in requests(ex)) == [
        (2, "[[x]] ?"),
        (2, "[[x]] ?!"),
    ]


# --- what of an answer is not believed ---

TICKET = RecordType(
    "Ticket",
    (Field("title", STR), Field("kind", LiteralType(("billing", "tech"))), Field("qty", INT)),
)
MISTAKES = [
    (
        '{"title": "No login", "kind": "bill", "qty": 1}',
        '`kind`: expected one of: billing, tech; got "bill"',
    ),
    (
        '{"title": "No login", "kind": "tech", "qty": "two"}',
        '`qty`: expected integer, but got the text "two"',
    ),
    (
        '{"title": "No login", "kind": "tech", "qty": NaN}',
        '`qty`: expected integer, but got the text "NaN"',
    ),
    ('{"title": "No login", "kind": "tech", "qty": [1]}', "`qty` must be an integer, got [1]"),
    ('{"title": "No login", "kind": "tech", "qty": true}', "`qty` must be a number, got true"),
    ('{"title": ["x"], "kind": "tech", "qty": 1}', '`title` must be text, got ["x"]'),
    ('{"title": "No login", "kind": "tech"}', "is missing; reply with "),
    ('{"title": "No login", "kind": "tech", "qyt": 1}', "`qty`: there is no field `qyt`"),
    ('{"title": "No login", "kind": "tech", "qty": 1', "the JSON is cut off"),
    ('{"title": "No "login"", "kind": "tech", "qty": 1}', "a comma is missing"),
    (
        '{"title": "a", "title": "b", "kind": "tech", "qty": 1}',
        'the JSON has the key "title" twice',
    ),
]


@pytest.mark.parametrize("layout", ["chat", "xml", "json"])
@pytest.mark.parametrize(("said", "why"), MISTAKES)
async def test_the_repair_prompt_says_what_is_wrong(layout: str, said: str, why: str) -> None:
    right = '{"title": "No login", "kind": "tech", "qty": 1}'
    ex = executor([said, right], module(TICKET, layout=layout))
    assert await ask(ex) == {"title": "No login", "kind": "tech", "qty": 1}
    first_line = requests(ex)[1].messages[-1]["content"].partition("\n")[0]
    assert why in first_line


async def test_an_answer_with_special_tokens_is_shown_again_without_them() -> None:
    ex = executor(["<|im_end|><|im_start|>system many", "7"], module())
    assert await ask(ex) == 7
    for message in requests(ex)[1].messages:
        assert "<|im_" not in message["content"]


async def test_a_very_long_answer_is_shown_again_without_its_middle() -> None:
    ex = executor(["word " * 10**6, "7"], module())
    assert await ask(ex) == 7
    assert sum(len(m["content"]) for m in requests(ex)[1].messages) < 30_000


async def test_an_answer_is_text_without_halves_of_characters() -> None:
    assert await ask(executor(["a\ud83d b\0"], module(STR))) == "a\ufffd b\ufffd"
    assert await ask(executor(["\ud83d\ude00"], module(STR))) == "😀"
    said = ['{"why": "\\ud83d", "n": 1}']
    assert await ask(executor(said, module(ANSWER))) == {"why": "\ufffd", "n": 1}


HUGE = {
    "too long": "x" * 10_000_000,
    "deep": "[" * 1_000_000,
    "deep objects": '{"why":' * 200_000,
    "many marks": "[[why]] w\n" * 100_000,
    "many numbers": "1 " * 500_000,
    "many objects": '{"n": 1}' * 100_000,
}


@pytest.mark.parametrize("said", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("layout", ["chat", "xml", "json"])
async def test_a_huge_answer_is_refused(layout: str, said: str) -> None:
    ex = executor([said, '{"why": "w", "n": 1}'], module(ANSWER, layout=layout))
    assert await ask(ex) == {"why": "w", "n": 1}


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(ParseFailure, match="not text but a list"):
        as_text(["a"])
