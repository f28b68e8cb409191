"""Votes as the language writes them: weights, comparisons, early ends, speculation."""

import asyncio
import json
import operator
import random
from collections.abc import Sequence
from typing import Any

import pytest

from lmc.measure.evaluate import UNSCORED, RowResult, evaluate_each
from lmc.measure.rows import Row
from lmc.models.base import Answer, Request
from lmc.models.scripted import Scripted
from lmc.passes.pipeline import run_passes
from lmc.program.options import LoadOptions
from lmc.program.program import Program
from lmc.requests.pool import ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.traces import Trace
from tests.programs import lowered

SOLVING = """
record Sol {{ answer: str  score: float(0..1)  steps: list[str] }}
generate solve(q: str) -> Sol {{ \"\"\"Solve.\"\"\" temperature: 0.7 layout: "json" }}
generate better(q: str, first: Sol, second: Sol) -> "first" | "second" {{ \"\"\"Better?\"\"\" }}
vote main(q: str) -> Sol {{ sample: solve(q) n: {n} {how} }}
"""


def sol(answer: str, score: float = 0.5, *steps: str) -> str:
    return json.dumps({"answer": answer, "score": score, "steps": steps})


def voting(n: int, how: str, samples: Sequence[Any], **more: Any) -> Executor:
    """A vote whose samples are given; of two, the one with the greater answer is better."""

    def script(request: Request) -> list[Any]:
        if request.messages[0]["content"].startswith("Better?"):
            shown = request.messages[-1]["content"]
            first, second = (
                json.loads(p)["answer"] for p in shown.split("[[first]] ")[1].split("\n[[second]] ")
            )
            return ["first" if first > second else "second"]
        return list(samples[request.index : request.index + request.n])

    graph = run_passes(lowered(SOLVING.format(n=n, how=how)))
    pool = ModelPool(graph.models, graph.default, backends={"*": Scripted(script)})
    return Executor(graph, pool, **more)


def asked(executor: Executor) -> int:
    """Samples of `solve` that were asked for."""
    seen = executor.pool.bind(None).backend.requests  # type: ignore[attr-defined]
    return sum(r.n for r in seen if r.messages[0]["content"].startswith("Solve."))


async def run(executor: Executor) -> str:
    return str((await executor.run("main", {"q": "?"}))["answer"])


async def test_weights_can_outvote_a_majority() -> None:
    samples = [sol("a", 0.1), sol("a", 0.2), sol("b", 0.9)]
    assert await run(voting(3, "by: .answer", samples)) == "a"
    assert await run(voting(3, 'by: .answer weight: "score"', samples)) == "b"
    assert await run(voting(3, "by: .answer weight: 1.0 - out.score", samples)) == "a"


@pytest.mark.parametrize(
    ("scores", "drawn"), [("99999", 3), ("19999", 4), ("11111", 5), ("99.99", 4), ("5.5.5", 5)]
)
async def test_weights_that_settle_a_vote_end_it(scores: str, drawn: int) -> None:
    """Each sample says the same, or something else where its score is a dot, with 0.9 for it."""
    samples = [sol("b", 0.9) if s == "." else sol("a", int(s) / 10) for s in scores]
    stops, all_drawn = (
        voting(5, f'by: .answer weight: "score" stop_early: {word}', samples)
        for word in ("true", "false")
    )
    assert await run(stops) == await run(all_drawn)
    assert (asked(stops), asked(all_drawn)) == (drawn, 5)


async def test_a_weight_can_be_certainty() -> None:
    sure = {"a": (2.0, 1.0), "b": (9.0, 1.0)}  # of the engine's own; mean log-probabilities alike
    samples = [
        Answer(sol(name), logprobs=(-1.0,) * 3, certainty=sure[name][0]) for name in ("a", "a", "b")
    ]
    assert await run(voting(3, 'by: .answer weight: "certainty"', samples)) == "b"


async def test_the_chain_whose_steps_others_share_wins() -> None:
    samples = [
        sol("a", 0.5, "x = 1", "y = 9"), sol("b", 0.5, "X = 1.", "y = 2"), sol("c", 0.5, "y = 2"),
    ]  # fmt: skip
    assert await run(voting(3, 'by: "steps"', samples)) == "b"


@pytest.mark.parametrize("how", ["tournament", "win_rate"])
async def test_comparisons_find_the_best(how: str) -> None:
    samples = [sol(name) for name in "bdacd"]
    executor = voting(5, f'by: "{how}" compare: better(q, first, second)', samples)
    assert await run(executor) == "d"
    calls = len(executor.pool.bind(None).backend.requests)  # type: ignore[attr-defined]
    assert calls == 1 + (3 if how == "tournament" else 6)  # equal samples meet as one


@pytest.mark.parametrize(
    ("rule", "samples"), [("asc", 3), ("asc_dirichlet", 4), ("esc", 5), ("settled", 10)]
)
async def test_votes_end_when_the_rule_says_so(rule: str, samples: int) -> None:
    executor = voting(20, f'by: .answer stop_early: "{rule}"', [sol("a")] * 20)
    assert await run(executor) == "a"
    assert asked(executor) == samples


async def test_a_batch_shares_its_samples_out_by_difficulty() -> None:
    """Hard rows disagree; the easy ones, shorter, do not: those come to take two samples each.

    One of the short ones is hard after all.
    """
    counts: dict[int, int] = {}

    def script(request: Request) -> list[str]:
        question = request.messages[-1]["content"]
        length = len(question.split("]] ")[-1])
        counts[length] = counts.get(length, 0) + request.n
        indices = range(request.index, request.index + request.n)
        if length == 5:
            return ["a" if i else "b" for i in indices]
        return ["ab"[i % 2] if length > 40 else "a" for i in indices]

    graph = lowered(
        'generate g(q: str) -> str { """Solve.""" temperature: 0.7 }\n'
        'vote v(q: str) -> str { sample: g(q) n: 40 stop_early: "dsc" difficulty: len(q) }\n'
        "pipeline main(q: str) -> str { return v(q) }"
    )
    program = Program(graph, LoadOptions(backend=Scripted(script), cache=False))
    results = program.main.batch(["x" * (n + 1) for n in range(60)])
    program.close()
    assert results == ["a"] * 60
    assert all(counts[n] > 30 for n in range(42, 61))
    assert all(counts[n] == 2 for n in range(1, 17) if n != 5) and counts[5] > 2
    assert sum(counts.values()) < 60 * 20


def test_a_batch_shares_its_doubt_and_draws_less_than_its_rows_would_alone() -> None:
    rng, samples, drawn = random.Random(5), {}, []
    for n in range(128):
        share = rng.betavariate(0.7, 0.7)
        samples[f"q{n}"] = rng.choices("abc", [share, (1 - share) * 0.7, (1 - share) * 0.3], k=40)

    def script(request: Request) -> list[str]:
        question = request.messages[-1]["content"].split("]] ")[-1]
        drawn[-1] += request.n
        return samples[question][request.index : request.index + request.n]

    full = [max("abc", key=keys.count) for keys in samples.values()]
    changed = []
    for stop in ('"asc"', '"dsc" difficulty: 0'):
        graph = lowered(
            'generate g(q: str) -> str { """Solve.""" temperature: 0.7 }\n'
            f"vote v(q: str) -> str {{ sample: g(q) n: 40 stop_early: {stop} }}\n"
            "pipeline main(q: str) -> str { return v(q) }"
        )
        program = Program(graph, LoadOptions(backend=Scripted(script), cache=False))
        drawn.append(0)
        changed.append(sum(map(operator.ne, program.main.batch(list(samples)), full)))
        program.close()
    alone, together = drawn
    assert together < 0.95 * alone
    assert changed[0] <= 0.05 * len(full) and changed[1] <= 0.06 * len(full)


@pytest.mark.parametrize("done", [(0,), (0, 3), (0, 1, 2, 3)])
async def test_rows_of_an_earlier_run_are_not_waited_for(done: tuple[int, ...]) -> None:
    class Journal:
        def finished(self, id: str) -> RowResult | None:
            return RowResult(id, 1.0, "a") if int(id) in done else None

        def keep(self, result: RowResult) -> None:
            assert int(result.id) not in done

    graph = lowered(
        'generate g(q: str) -> str { """Solve.""" temperature: 0.7 }\n'
        'vote v(q: str) -> str { sample: g(q) n: 8 stop_early: "dsc" difficulty: len(q) }\n'
        "pipeline main(q: str) -> str { return v(q) }"
    )
    rows = [Row(f"{n}", {"q": "x" * n}) for n in range(4)]
    found: dict[int, Any] = {}
    program = Program(graph, LoadOptions(backend=Scripted(lambda r: "a"), cache=False))
    executor = program.open_executor(program.open_pool())
    work = evaluate_each(
        executor, "main", rows, UNSCORED, lambda n, result: found.update({n: result.pred}),
        journal=Journal(),
    )  # fmt: skip
    await asyncio.wait_for(work, 10)
    assert found == dict.fromkeys(range(4), "a")


async def test_speculation_draws_ahead_and_cancels_what_is_not_wanted() -> None:
    cancelled, started = [], []

    class Slow(Scripted):
        async def generate(self, request: Request) -> Sequence[Answer]:
            started.append(request.index)
            try:
                await asyncio.sleep(0.05 * (1 + request.index))
            except asyncio.CancelledError:
                cancelled.append(request.index)
                raise
            return await super().generate(request)

    graph = lowered(
        'generate g(q: str) -> str { """Solve.""" temperature: 0.7 }\n'
        'vote main(q: str) -> str { sample: g(q) n: 9 stop_early: "asc" }'
    )

    async def one(speculate: int) -> tuple[Any, Trace]:
        backend = Slow(lambda request: ["ab"[request.index == 1]] * request.n)
        backend.capabilities = type(backend.capabilities)()  # one sample a request
        pool = ModelPool(graph.models, graph.default, backends={"*": backend})
        trace = Trace()
        executor = Executor(graph, pool, speculate=speculate)
        return await executor.run("main", {"q": "?"}, trace=trace), trace

    plain, trace = await one(0)
    assert sorted(started) == list(range(len(trace.calls)))
    before = trace.regions[0].detail
    started.clear()
    ahead, trace = await one(4)
    assert (ahead, trace.regions[0].detail) == (plain, before)
    assert len(started) > len(before["keys"]) and cancelled
    assert len(cancelled) <= 4


async def test_both_branches_begin_while_the_condition_is_not_known() -> None:
    graph = lowered(
        'generate good(d: str) -> bool { """Good?""" }\n'
        'generate better(d: str) -> str { """Better.""" }\n'
        'generate worse(d: str) -> str { """Worse.""" }\n'
        "pipeline main(d: str) -> str { return if good(d) then worse(d) else better(d) }"
    )
    running, most, cancelled = 0, 0, 0

    class Slow(Scripted):
        async def generate(self, request: Request) -> Sequence[Answer]:
            nonlocal running, most, cancelled
            running += 1
            most = max(most, running)
            try:
                await asyncio.sleep(0.02)
                return await super().generate(request)
            except asyncio.CancelledError:
                cancelled += 1
                raise
            finally:
                running -= 1

    def script(request: Request) -> list[str]:
        head = request.messages[0]["content"].split()[0]
        return [{"Good?": "false", "Better.": "b", "Worse.": "w"}[head]]

    for speculate in (0, 1, 2):
        pool = ModelPool(graph.models, graph.default, backends={"*": Slow(script)})
        executor, trace = Executor(graph, pool, speculate=speculate), Trace()
        assert await executor.run("main", {"d": "x"}, trace=trace) == "b"
        assert (most, cancelled) == ((3, 1) if speculate == 2 else (1, 0))


async def test_tools_are_never_called_on_speculation() -> None:
    graph = lowered(
        'generate good(d: str) -> bool { """Good?""" }\n'
        'tool send(d: str) -> str from "os:fspath"\n'
        "pipeline main(d: str) -> str { return if good(d) then send(d) else d }"
    )
    pool = ModelPool(graph.models, graph.default, backends={"*": Scripted(lambda r: ["false"])})
    executor, trace = Executor(graph, pool, speculate=8), Trace()
    assert await executor.run("main", {"d": "x"}, trace=trace) == "x"
    assert [region.kind for region in trace.regions if region.kind == "tool"] == []
