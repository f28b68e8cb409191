"""Biases of judges: for an order, for length, and for a model's own answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lmc.check.optimizers import SIGNATURES
from lmc.ir.alternatives import alternatives
from lmc.ir.provenance import reached_modules
from lmc.optimizers.lessons.bounds import Bounds
from lmc.optimizers.lessons.comparing import by_judge
from lmc.optimizers.lessons.judges import JudgeBias, bias_of
from lmc.optimizers.lessons.recipe import Recipe, Round
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run
from tests.test_optimizers.doubles import graph_of

PROGRAM = 'generate main(q: str) -> str { """Answer.""" }'


def run(text: str, row: str, sample: int) -> Run:
    prompt = [{"role": "user", "content": row}]
    call = CallTrace(
        (0,), None, "main", "generate", {"q": row}, outputs={"result": text}, result=text,
        raw=[text], messages=prompt,
    )  # fmt: skip
    values = {"q": row, "answer": f"yes {row}"}
    score = float(text.startswith("yes"))
    return Run("j", "p", "main", "s", row, "d", values, Trace([call]), score, text, sample=sample)


def fair(first: str, second: str) -> str:
    one, other = "yes" in first, "yes" in second
    return "equal" if one == other else "first" if one else "second"


def vain(first: str, second: str) -> str:
    """Likes what the program writes, whatever the label says."""
    return "first" if "I think" in first else "second" if "I think" in second else "equal"


def wordy(first: str, second: str) -> str:
    return "first" if len(first) > len(second) else "second"


class World:
    def __init__(self, judge: Any) -> None:
        self.program, self.target = graph_of(PROGRAM), "main"
        self.judge, self.told = judge, []
        self.assistant = SimpleNamespace(ask=self.ask)

    async def ask(self, questions: list[Any], model: str | None = None) -> list[str]:
        return [self.judge(q.inputs["first"], q.inputs["second"]) for q in questions]

    def modules(self) -> Any:
        return reached_modules(self.program, self.target)

    def alternatives(self) -> Any:
        return alternatives(self.program, self.target)

    def tell(self, text: str) -> None:
        self.told.append(text)

    async def learn(self, **options: Any) -> Any:
        given = {"select": "judge", **options}
        recipe = Recipe.of(SIGNATURES["train"].complete(given))
        texts = ("yes", "I think no", "I think not, and so does everybody")
        runs = [run(f"{t} {r}", f"{r}", i) for r in range(10) for i, t in enumerate(texts)]
        return await by_judge(Round(recipe, 0, Parameters(), self, runs))  # type: ignore[arg-type]


async def test_a_fair_judge_teaches() -> None:
    world = World(fair)
    assert (await world.learn())["main"]
    assert "own wrong answers beat labels 0%" in world.told[0]


@pytest.mark.parametrize(
    ("judge", "sign", "free"),
    [
        (vain, "wrong answers beat the label", "self: none"),
        (wordy, "the longer of two equal answers wins 100%", "longer: none, self: none"),
        (lambda first, second: "first", "hang on the order", "order: none"),
    ],
)
async def test_nothing_is_learnt_from_a_biased_judge(judge: Any, sign: str, free: str) -> None:
    world = World(judge)
    assert await world.learn() == {}
    assert sign in world.told[-1]
    world = World(judge)
    await world.learn(bounds=free)
    assert not any("nothing is learnt" in text for text in world.told)


def test_few_verdicts_show_no_bias() -> None:
    pairs = [(run("yes", "1", 0), run("yes yes", "1", 1))] * 3
    bias = bias_of(pairs, [(1.0, 1.0)] * 3)
    assert bias == JudgeBias(None, None, None)
    assert str(bias) == "too few verdicts to see a bias"
    assert bias.problems(Bounds()) == []
    assert bias_of(pairs * 3, [(1.0, 1.0)] * 9).longer == 1.0
    draws = bias_of(pairs * 3, [(0.0, 1.0)] * 9)
    assert (draws.order, draws.longer) == (1.0, None)
