"""Selectors on runs that were made up: which are chosen, and why."""

import math
from typing import Any

import pytest

from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces import selectors
from lmc.traces.store import Run


def call(*place: int, text: str = "a", module: str = "solve", asked: str = "q") -> CallTrace:
    return CallTrace(
        place, None, module, "generate", {}, outputs={"result": text},
        messages=[{"role": "user", "content": asked}], raw=[text],
    )  # fmt: skip


def run(row: str, pred: Any, score: float | None = None, sample: int = 0, **more: Any) -> Run:
    trace = more.pop("trace", Trace([call(0, text=str(pred), asked=f"q{row}")]))
    return Run("j", "p", "main", "s", row, "d", {}, trace, score, pred, sample=sample, **more)


RUNS = [
    *(run("1", p, s, i) for i, (p, s) in enumerate([("A", 1.0), ("a.", 1.0), ("b", 0.0)])),
    *(run("2", p, s, i) for i, (p, s) in enumerate([("x", 0.2), ("y", 0.4), ("z", None)])),
]


def chosen(runs: list[Run]) -> list[tuple[str, Any]]:
    return [(r.row, r.pred) for r in runs]


def test_by_score() -> None:
    assert chosen(selectors.threshold(RUNS)) == [("1", "A"), ("1", "a.")]
    assert chosen(selectors.threshold(RUNS, 0.3))[-1] == ("2", "y")
    assert chosen(selectors.best(RUNS, 1)) == [("1", "A"), ("2", "y")]
    assert chosen(selectors.best(RUNS, 2)) == [("1", "A"), ("1", "a."), ("2", "y"), ("2", "x")]


def test_by_agreement() -> None:
    assert chosen(selectors.majority(RUNS, 0.5)) == [("1", "A"), ("1", "a.")]
    assert chosen(selectors.majority(RUNS)) == [("1", "A"), ("1", "a."), ("2", "x")]
    failed = [run("1", None, failed="model"), run("1", "a", sample=1)]
    assert chosen(selectors.majority(failed, 0.5)) == [("1", "a")]
    assert selectors.agreement(failed) == 0.5


def test_weights_grow_with_disagreement() -> None:
    groups = selectors.by_row(RUNS)
    assert selectors.entropy(groups["2"]) == pytest.approx(math.log(3))
    weights = selectors.entropy_weights(groups)
    assert weights["2"] > weights["1"] > 0
    assert sum(weights.values()) == pytest.approx(2.0)
    steeper = selectors.entropy_weights(groups, power=3)
    assert steeper["2"] > weights["2"]
    sure = selectors.by_row([run("1", "a"), run("2", "b")])
    assert selectors.entropy_weights(sure) == {"1": 1.0, "2": 1.0}


def test_the_hard_rows_that_came_near_come_first() -> None:
    groups = selectors.by_row([*RUNS, run("3", "q", 0.9)])
    assert selectors.hardest(groups) == ["3", "2"]


def test_a_diverse_choice_leaves_repetitions_out() -> None:
    texts = ["one two three", "one two three", "four five six", "one two four"]
    runs = [run("1", t, sample=i) for i, t in enumerate(texts)]
    assert [r.sample for r in selectors.diverse(runs, 2)] == [0, 2]
    assert [r.sample for r in selectors.diverse(runs, 3)] == [0, 2, 3]
    assert selectors.diverse(runs, 9) == runs


def test_right_against_wrong_answers_to_the_same_question() -> None:
    (pair,) = selectors.right_wrong_pairs(RUNS)
    assert (pair.chosen.raw, pair.rejected.raw) == (["A"], ["b"])


def test_majority_against_minority_weighs_by_the_margin() -> None:
    keys = ["4", "5", "4", None, "4"]
    vote = RegionTrace((0,), None, "vote", "v", {}, detail={"keys": keys, "winner": 0})
    calls = [call(0, i, text=str(k)) for i, k in enumerate(keys)]
    (pair,) = selectors.vote_pairs([run("1", "4", trace=Trace(calls, [vote]))])
    assert (pair.chosen.raw, pair.rejected.raw, pair.weight) == (["4"], ["5"], pytest.approx(0.4))
    tied = RegionTrace((0,), None, "vote", "v", {}, detail={"keys": ["4", "5"], "winner": 0})
    assert not selectors.vote_pairs([run("1", "4", trace=Trace(calls[:2], [tied]))])
