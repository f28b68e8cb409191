"""Routes: by the case of an enum, and from a cheap option to a dear one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.traces import Trace
from tests.programs import lowered

KINDS = """
enum Kind { sum, fact }
generate kind_of(q: str) -> Kind { \"\"\"Kind.\"\"\" }
generate compute(q: str) -> str { \"\"\"Compute.\"\"\" }
generate recall(q: str) -> str { \"\"\"Recall.\"\"\" }
route main(q: str) -> str { by: kind_of(q) to: {sum: compute(q), fact: recall(q)} }
"""
CASCADE = """
model small {{ name: "x/small" }}
model middle {{ name: "x/middle" }}
model large {{ name: "x/large" {budget} }}
record Sol {{ answer: str  score: float(0..1) }}
generate cheap(q: str) -> Sol {{ \"\"\"Solve.\"\"\" model: small layout: "json" }}
generate better(q: str) -> Sol {{ \"\"\"Solve.\"\"\" model: middle layout: "json" }}
generate best(q: str) -> Sol {{ \"\"\"Solve.\"\"\" model: large layout: "json" }}
generate trust(q: str, it: Sol) -> float(0..1) {{ \"\"\"Trust?\"\"\" }}
route main(q: str) -> Sol {{
  to: [cheap(q), better(q), best(q)]
  by: {by}
  threshold: tune[0.5, 0.05]
}}
"""
MODELS = ("small", "middle", "large")


def kinds(request: Request) -> list[str]:
    system, user = (message["content"] for message in request.messages[:2])
    if system.startswith("Kind."):
        return ["sum" if "+" in user else "fact"]
    return [system.split(".")[0]]


async def ran(text: str, script: Any, **more: Any) -> tuple[Any, Trace, Executor]:
    graph = run_passes(lowered(text))
    pool = ModelPool(graph.models, graph.default, backends={"*": Scripted(script)})
    executor, trace = Executor(graph, pool, **more), Trace()
    return await executor.run("main", {"q": "2 + 2"}, trace=trace), trace, executor


def taken(trace: Trace) -> dict[str, Any]:
    return next(region for region in trace.regions if region.kind == "route").detail


async def test_the_case_decides() -> None:
    result, trace, executor = await ran(KINDS, kinds)
    assert result == "Compute" and taken(trace) == {"taken": "sum"}
    assert [call.module for call in trace.calls] == ["kind_of", "compute"]
    assert await executor.run("main", {"q": "the capital"}) == "Recall"


async def test_options_begin_on_speculation_and_the_others_are_cancelled() -> None:
    cancelled: list[str] = []

    class Slow(Scripted):
        async def generate(self, request: Request) -> Sequence[Answer]:
            name = request.messages[0]["content"].split(".")[0]
            try:
                await asyncio.sleep(0.01 if name == "Kind" else 0.05)
            except asyncio.CancelledError:
                cancelled.append(name)
                raise
            return await super().generate(request)

    graph = lowered(KINDS)
    for speculate, stopped in ((0, []), (1, []), (2, ["Recall"])):
        pool = ModelPool(graph.models, graph.default, backends={"*": Slow(kinds)})
        found = await Executor(graph, pool, speculate=speculate).run("main", {"q": "2 + 2"})
        assert (found, cancelled) == ("Compute", stopped)


def solved(scores: dict[str, float | None]) -> Any:
    """Each model solves it with a score, which is also what the judge says; None: no use."""

    def answer(request: Request) -> list[str]:
        system, user = (message["content"] for message in request.messages[:2])
        if system.startswith("Trust?"):
            return [str(next(s for name, s in scores.items() if f'"{name}"' in user))]
        score = scores[request.model]
        if score is None:
            return ["of no use"]
        return [f'{{"answer": "{request.model}", "score": {score}}}']

    return answer


@pytest.mark.parametrize("by", ['"score"', "trust(q, out)", "out.score * 1.0"])
@pytest.mark.parametrize(
    ("scores", "wins"),
    [
        ((0.9, 0.9, 0.0), "small"),
        ((0.5, 0.9, 0.0), "small"),  # it reaches the threshold
        ((0.2, 0.7, 0.0), "middle"),
        ((0.2, 0.3, 0.0), "large"),
        ((None, 0.3, 0.0), "large"),
        ((0.2, 0.3, None), "middle"),  # what was given last, where the dear one fails
    ],
)
async def test_an_option_that_is_sure_enough_is_taken(
    by: str, scores: tuple[float | None, ...], wins: str
) -> None:
    script = solved(dict(zip(MODELS, scores)))
    text = CASCADE.format(by=by, budget="")
    result, trace, _ = await ran(text, script)
    assert result["answer"] == wins
    assert taken(trace)["taken"] == MODELS.index(wins)


async def test_a_used_up_budget_leaves_the_cheaper_answer() -> None:
    script = solved({"small": 0.1, "middle": 0.2, "large": 0.9})
    text = CASCADE.format(by='"score"', budget="budget: {calls: 2}")
    _, _, executor = await ran(text, script)
    answers = [(await executor.run("main", {"q": str(i)}))["answer"] for i in range(3)]
    assert answers == ["large", "middle", "middle"]  # one call of the budget went before


async def test_what_all_options_fail_with_is_told() -> None:
    with pytest.raises(LmcError, match="`best` asked"):
        await ran(
            CASCADE.format(by='"score"', budget=""),
            solved(dict.fromkeys(MODELS)),
        )


async def test_a_server_that_is_down_is_no_reason_to_escalate() -> None:
    def down(request: Request) -> list[str]:
        raise ModelFailure("auth", "no key", retryable=False)

    with pytest.raises(LmcError, match="no key"):
        await ran(CASCADE.format(by='"score"', budget=""), down)


async def test_certainty_of_the_model_decides() -> None:
    def answer(request: Request) -> list[Answer]:
        text = f'{{"answer": "{request.model}", "score": 0.0}}'
        sure = {"small": 0.4, "middle": 1.4, "large": 0.0}[request.model]
        assert request.logprobs
        return [Answer(text, logprobs=(-0.1, -0.1), certainty=sure)]

    result, trace, _ = await ran(CASCADE.format(by='"certainty"', budget=""), answer)
    assert result["answer"] == "middle"
    assert taken(trace)["confidence"] == pytest.approx([0.4, 1.4])
