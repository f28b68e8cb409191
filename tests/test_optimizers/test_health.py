"""Guards of self-training: what they see in runs that were made up."""

import pytest

from lmc.optimizers.lessons.health import balance, health, tripped
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run


def run(row: str, text: str, score: float, sample: int = 0) -> Run:
    trace = Trace([CallTrace((0,), None, "m", "generate", {}, outputs={}, raw=[text])])
    return Run("j", "p", "m", "s", row, "d", {}, trace, score, text, sample=sample)


def test_signs_of_a_healthy_round() -> None:
    runs = [
        *(run("1", t, s, i) for i, (t, s) in enumerate([("a b", 1.0), ("a c", 1.0), ("d e", 0.0)])),
        *(run("2", t, s, i) for i, (t, s) in enumerate([("x y", 1.0), ("u v", 0.0), ("w z", 0.0)])),
    ]
    seen = health(runs, 1.0)
    assert (seen.runs, seen.accepted, seen.distinct, seen.words) == (6, 0.5, 1.0, 2.0)
    assert seen.hard == pytest.approx(1 / 3)  # row 2 was solved once in three runs
    assert seen.agreement == pytest.approx(1 / 3)
    assert seen.separation == pytest.approx(0.4714, abs=1e-3)
    assert seen.gap == pytest.approx((1 - 2 / 3 + 1 - 1 / 3) / 2)
    assert "50% accepted" in str(seen)
    assert health([], 1.0).runs == 0


def test_collapse_is_seen() -> None:
    good = health([run(f"{i}", f"answer number {i} is fine", 1.0) for i in range(8)], 1.0)
    longer = health([run(f"{i}", f"{i} " + "so that we may see " * 5, 1.0) for i in range(8)], 1.0)
    assert any("words" in problem for problem in tripped(good, longer))
    assert any("repetition" in problem for problem in tripped(good, longer))
    same = health([run(f"{i}", "answer number one is fine", 0.0) for i in range(8)], 1.0)
    assert tripped(good, same) == ["different rows get the same answer"]
    assert tripped(good, good) == []


def test_balance_wants_answers_that_are_right_and_different() -> None:
    alike = [[run("1", "a", 1.0, i) for i in range(4)]]
    varied = [[run("1", f"a{i}", 1.0, i) for i in range(4)]]
    wrong = [[run("1", f"a{i}", 0.0, i) for i in range(4)]]
    assert balance(varied, 1.0, 2) == 1.0
    assert balance(alike, 1.0, 2) == pytest.approx(0.5 * 0.25)
    assert balance(wrong, 1.0, 2) == 0.0
