"""Who is credited: rewards by module, the calls that led to a result, and one module varied."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError
from lmc.ir.alternatives import alternatives
from lmc.measure.metric_functions import Score, to_score
from lmc.models.scripted import Scripted
from lmc.optimizers.lessons.comparing import scored
from lmc.optimizers.lessons.recipe import Recipe, Round
from lmc.runtime.executor import Executor
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.source import Source
from lmc.traces.led import consistent_calls
from lmc.traces.selectors import right_wrong_pairs
from lmc.traces.store import Run, TraceStore
from lmc.types import FLOAT, Field, OptionalType, RecordType
from tests.test_optimizers.doubles import graph_of

DEBATE = '''
record Said { role: str, answer: str }
generate open(role: str, question: str) -> str { """Answer.""" }
generate again(question: str, others: list[str]) -> str { """Answer anew.""" }
generate hint(question: str) -> str { """Hint.""" }
pipeline main(question: str) -> str {
  let roles = ["a", "b", "c"]
  let opening = [Said(role=r, answer=open(r, f"{question} {hint(question)}")) for r in roles]
  let last = loop room = opening for 1 {
    yield [Said(role=m.role, answer=again(question, [d.answer for d in room])) for m in room]
  }
  let counts = [Count(answer=g.key, votes=len(g.items)) for g in group_by(last, .answer)]
  return first(sort_by(counts, .votes, true))?.answer ?? ""
}
record Count { answer: str, votes: int }
'''


def test_only_the_speakers_of_a_debate_who_say_its_result_led_to_it(tmp_path: Path) -> None:
    path = tmp_path / "d.lmp"
    path.write_text(DEBATE)
    said = iter(["4", "5", "4", "4", "4", "6"])

    def reply(request: Any) -> str:
        return "think" if "Hint." in request.messages[0]["content"] else next(said)

    program = lmc.load(path, backend=Scripted(reply), cache=False)
    result, trace = program["main"].run_traced({"question": "2 + 2"})
    assert result == "4"
    among = alternatives(program.graph, "main")
    led = Counter(c.module for c in consistent_calls(trace, among, result))
    told = Counter((c.module, c.result) for c in trace.calls)
    assert led["open"] == told["open", "4"] == 2  # in whichever order they were asked
    assert led["again"] == told["again", "4"] == 2
    assert led["hint"] == told["hint", "think"]  # nobody chose among hints
    assert len(consistent_calls(trace)) == len(trace.calls)  # without the graph, nothing is known
    other = consistent_calls(trace, among, "made of them in another way")
    assert len(other) == len(trace.calls)


def call(module: str, text: str, place: tuple[int, ...], role: Any = "generate") -> CallTrace:
    messages = [{"role": "user", "content": f"{module}?"}]
    return CallTrace(
        place, None, module, role, {}, outputs={}, result=text, raw=[text], messages=messages
    )


def run(calls: list[CallTrace], sample: int, score: float, **rewards: float | None) -> Run:
    names: dict[str, Any] = {"score": score, "sample": sample, "rewards": rewards}
    return Run("j", "p", "main", "s", "1", "d", {}, Trace(calls), **names)


def test_only_the_steps_on_the_path_of_a_search_led_to_its_result() -> None:
    tree = [
        {"parent": 0, "step": "a", "value": 0.2},
        {"parent": 0, "step": "b", "value": 0.9},
        {"parent": 2, "step": "c", "value": 0.9},
        {"parent": 1, "step": "d", "value": 0.1},
    ]
    region = RegionTrace((0,), None, "search", "s", {}, detail={"tree": tree, "chosen": 3})
    calls = [
        call("step", t, (0, n, i))
        for n, i, t in [(0, 0, "a"), (0, 1, "b"), (1, 0, "d"), (2, 0, "c")]
    ]
    calls += [call("rate", "0.9", (0, n, -1), "critique") for n in (1, 2, 3)]
    kept = consistent_calls(Trace(calls, [region]))
    assert [c.result for c in kept if c.module == "step"] == ["b", "c"]
    assert [c.place for c in kept if c.module == "rate"] == [(0, 2, -1)]


REWARDS = RecordType("Rewards", (Field("propose", FLOAT), Field("solve", OptionalType(FLOAT))))


def test_rewards_by_module_are_read_and_the_score_is_their_mean_unless_it_is_told() -> None:
    assert to_score("m", {"propose": 1.0, "solve": 0.5}, gives=REWARDS) == Score(
        0.75, "", {"propose": 1.0, "solve": 0.5}
    )
    found = to_score("m", {"propose": 0.25, "solve": None}, gives=REWARDS)
    assert (found.value, found.rewards) == (0.25, {"propose": 0.25, "solve": None})
    whole = RecordType("Rewards", (*REWARDS.fields, Field("value", FLOAT)))
    assert to_score("m", {"propose": 1.0, "solve": 1.0, "value": 0.0}, gives=whole).value == 0.0
    plain = to_score("m", Score(0.5, "", {"solve": 1.0}))
    assert (plain.value, plain.rewards) == (0.5, {"solve": 1.0})
    with pytest.raises(LmcError, match="bad-score"):
        to_score("m", {"propose": float("inf"), "solve": 0.0}, gives=REWARDS)


def test_the_worth_of_calls_is_the_reward_of_their_module() -> None:
    one = run(
        [call("f.propose", "p", (0,)), call("solve", "s", (1,))], 0, 0.5, propose=1.0, solve=0.0
    )
    assert [one.worth(name) for name in ("f.propose", "solve", "other")] == [1.0, 0.0, 0.5]
    other = run(
        [call("f.propose", "q", (0,)), call("solve", "t", (1,))], 1, 0.5, propose=0.0, solve=1.0
    )
    pairs = right_wrong_pairs([one, other], 1.0)
    assert sorted((p.chosen.raw[-1], p.rejected.raw[-1]) for p in pairs) == [("p", "q"), ("t", "s")]
    unknown = run([call("solve", "u", (1,))], 2, 0.5, solve=None)
    assert right_wrong_pairs([one, other, unknown], 1.0)[-1].rejected.raw[-1] != "u"


def test_rewards_are_kept_in_the_store_and_by_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = run([call("solve", "s", (1,))], 0, 0.5, solve=1.0, propose=None)
    store = TraceStore(f"sqlite:///{tmp_path}/t.db")
    store.add([kept], {})
    assert next(store.runs()).rewards == {"solve": 1.0, "propose": None}
    monkeypatch.chdir(tmp_path)
    Path("p.lmp").write_text('''
      record Row { question: str, answer: str }
      record Rewards { solve: float }
      generate solve(question: str) -> str { """Solve.""" }
      metric credit(gold: Row, pred: str) -> Rewards {
        return Rewards(solve=if pred == gold.answer then 1.0 else -1.0)
      }
    ''')
    program = lmc.load("p.lmp", backend=Scripted(lambda _: "yes"), cache=False)
    rows = [{"question": "a", "answer": "yes"}, {"question": "b", "answer": "no"}]
    found = lmc.evaluate(program, rows, "credit")
    assert [(r.value, r.rewards) for r in found.results] == [
        (1.0, {"solve": 1.0}),
        (-1.0, {"solve": -1.0}),
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("solve: float, main: float", "`main` is not a module"),
        ("solve: str", "`solve` of `Rewards` must be a `float?`"),
    ],
)
def test_a_record_of_rewards_names_modules_and_has_numbers(fields: str, problem: str) -> None:
    text = f'''
      record Row {{ q: str }}
      record Rewards {{ {fields} }}
      generate solve(q: str) -> str {{ """Solve.""" }}
      pipeline main(q: str) -> str {{ return solve(q) }}
      metric m(gold: Row, pred: str) -> Rewards from "m:m"
    '''
    _, found = check_program(Source("t.lmp", text))
    assert [d.message for d in found if d.code == "bad-metric" and problem in d.message], found


# --- one module varied ---

CHAIN = '''
generate plan(q: str) -> str { """Plan.""" temperature: 1.0 }
generate solve(plan: str) -> str { """Solve.""" temperature: 0.5 }
pipeline main(q: str) -> str { return solve(plan(q)) }
'''


async def test_what_precedes_a_varied_module_is_asked_once(tmp_path: Path) -> None:
    path = tmp_path / "c.lmp"
    path.write_text(CHAIN)
    asked: list[tuple[str, int, float | None]] = []

    def reply(request: Any) -> str:
        name = request.messages[0]["content"].partition(".")[0]
        asked.append((name, request.index, request.sampling.temperature))
        return f"{name} {request.index}"

    program = lmc.load(path, backend=Scripted(reply), cache=False)
    executor = Executor(program.graph, program.pool, temperature=1.3, vary="solve")
    results = [await executor.run("main", {"q": "x"}, sample=i) for i in range(3)]
    assert len(set(results)) == 3
    assert {(index, t) for name, index, t in asked if name == "Plan"} == {(0, 1.0)}
    assert len({index for name, index, _ in asked if name == "Solve"}) == 3
    assert {t for name, _, t in asked if name == "Solve"} == {1.3}


def recipe(**options: Any) -> Recipe:
    from lmc.check.optimizers import SIGNATURES

    return Recipe.of(SIGNATURES["train"].complete(options))


def test_advantages_are_by_module_and_of_the_varied_one_alone() -> None:
    class Scene:
        def alternatives(self) -> frozenset[Any]:
            return frozenset()

    runs = [
        run(
            [call("propose", "p", (0,)), call("solve", f"s{i}", (1,))],
            i,
            0.0,
            propose=0.5,
            solve=float(i),
        )
        for i in range(2)
    ]
    whole = scored(Round(recipe(loss="pg"), 0, None, Scene(), runs))  # type: ignore[arg-type]
    assert {name: [row.score for row in rows] for name, rows in whole.items()} == {
        "solve": [-1.0, 1.0]
    }
    plain = [
        run([call("plan", f"p{i}", (0,)), call("solve", f"s{i}", (1,))], i, float(i))
        for i in range(2)
    ]
    both = scored(Round(recipe(loss="pg"), 0, None, Scene(), plain))  # type: ignore[arg-type]
    alone = scored(Round(recipe(loss="pg", vary="solve"), 0, None, Scene(), plain))  # type: ignore[arg-type]
    assert (set(both), set(alone)) == ({"plan", "solve"}, {"solve"})


def test_votes_are_not_entered_and_refines_are() -> None:
    graph = graph_of('''
      generate draft(q: str) -> str { """D""" }
      critique ok(q: str, a: str) -> bool { """C""" subject: a }
      refine fixed(q: str) -> str { """R""" draft: draft(q) check: ok(q, draft) until: check }
      vote main(q: str) -> str { sample: fixed(q) n: 3 }
    ''')
    assert alternatives(graph, "main") == frozenset()
    assert len(alternatives(graph, "fixed")) == 2
