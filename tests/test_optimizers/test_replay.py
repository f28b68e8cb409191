"""Good runs of rounds before are learnt from again while they are better than the usual one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lmc.check.optimizers import SIGNATURES
from lmc.optimizers.lessons.comparing import scored
from lmc.optimizers.lessons.recipe import Recipe, Round
from lmc.optimizers.lessons.replay import Past
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run
from tests.test_optimizers.test_comparing import run

SCENE: Any = SimpleNamespace(alternatives=frozenset)


def turn(runs: list[Run], replay: int = 1, **options: Any) -> Round:
    given = {"loss": "pg", "select": "right", "replay": replay, "scaled": False} | options
    recipe = Recipe.of(SIGNATURES["train"].complete(given))
    return Round(recipe, 0, Parameters(), SCENE, runs)


def learnt(found: Round) -> list[tuple[str, float]]:
    rows: Any = scored(found).get("m", ())
    return [(row.answer, pytest.approx(row.score)) for row in rows]


def test_an_earlier_good_run_is_learnt_where_all_runs_of_now_are_wrong() -> None:
    past = Past(Parameters())
    past.recalled(turn([run("good", 0, 1.0), run("bad", 1, 0.0)]))
    wrong = [run("x", 0, 0.0), run("y", 1, 0.0)]
    assert learnt(turn(wrong)) == []  # all are alike
    found = learnt(past.recalled(turn(wrong)))
    assert found == [("x", 0.0), ("y", 0.0), ("good", 1.0)]


def test_what_was_good_before_is_compared_with_what_is_usual_now() -> None:
    past = Past(Parameters())
    past.recalled(turn([run("old", 0, 0.6), run("bad", 1, 0.0)]))
    found = learnt(past.recalled(turn([run("a", 0, 0.4), run("b", 1, 0.2)])))
    assert found == [("a", 0.1), ("b", -0.1), ("old", 0.3)]
    found = learnt(past.recalled(turn([run("c", 0, 1.0), run("d", 1, 0.5)])))
    assert found == [("c", 0.25), ("d", -0.25)]  # it is worse than the mean of now
    (kept,) = past.runs["1"]
    assert kept.pred == "c"


def test_rows_remember_their_own_best_runs_the_newest_first() -> None:
    past = Past(Parameters())
    past.recalled(turn([run("a", 0, 1.0), run("b", 1, 1.0), run("z", 0, 0.5, row="2")], 2))
    again = past.recalled(turn([run("c", 0, 1.0)], 2))
    assert [kept.pred for kept in again.earlier] == ["a", "b"]
    assert [kept.pred for kept in past.runs["1"]] == ["c", "a"]
    assert [kept.pred for kept in past.runs["2"]] == ["z"]


def test_nothing_is_remembered_unless_it_is_asked_for() -> None:
    past = Past(Parameters())
    plain = turn([run("a", 0, 1.0)], 0)
    assert past.recalled(plain) is plain
    assert not past.runs
