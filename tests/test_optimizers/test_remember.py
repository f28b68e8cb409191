"""Stores that a compilation fills: in which order, by which rows, and into the artifact."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.base import Request
from lmc.models.scripted import Scripted

PROGRAM = '''
record Fact { town: str, label: str }
store facts: Fact { key: .town  keep: 50 }
generate recall(trip: int, town: str, known: list[Fact]) -> str { """Say the label of the town.""" }
pipeline main(trip: int, town: str) -> str {
  let label = recall(trip, town, [f for f in facts])
  if label != "unknown" { keep Fact(town=town, label=label) in facts }
  return label
}
'''
TOWNS = [f"town{i}" for i in range(6)]
ROWS = [{"trip": i, "town": TOWNS[i % 6], "label": f"L{i % 6}"} for i in range(120)]


class Learner:
    """A model that finds out one town after the other, and knows what it is shown.

    It knows the label of a town whose number is at most that of the facts that it is shown.
    """

    def __init__(self) -> None:
        self.shown: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, request: Request) -> list[str]:
        text = request.messages[-1]["content"]
        asked, _, known = text.partition("[[known]]")
        facts = re.findall(r'"town": "(\w+)"', known)
        [town] = re.findall(r"town\d", asked)
        self.shown.append((town, tuple(facts)))
        knows = town in facts or int(town[4:]) <= len(facts)
        return [f"L{town[4:]}" if knows else "unknown"] * request.n


def compiled(optimizer: str, **options: Any) -> tuple[Any, Learner]:
    learner = Learner()
    backend = Scripted(learner, name="learner")
    given = {"data": ROWS, "metric": "accuracy", "backend": backend, "cache": False, **options}
    result = lmc.compile("it.lmp", optimizer=optimizer, **given)
    return result, learner


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("it.lmp").write_text(PROGRAM)
    return tmp_path


def test_rows_remember_one_after_the_other() -> None:
    result, _ = compiled("remember(rows=20)", out="it.lmpc")
    assert result.test is not None
    assert result.test.after.mean == 1.0 > result.test.before.mean
    facts = result.artifact.parameters.stores["facts"]
    assert {f["town"] for f in facts} >= set(TOWNS[:5])
    backend = Scripted(Learner(), name="learner")
    own = lmc.load("it.lmp", backend=backend, cache=False)
    assert towns(own) == [], "a compilation writes to no store of the user"
    program = lmc.load("it.lmpc", backend=backend, cache=False, stores="memory")
    assert program.main(trip=7, town="town5") == "L5"


def test_the_order_of_commits_is_that_of_the_rows() -> None:
    first, _ = compiled("remember(at_once=8, rows=40)", run_dir="one")
    second, _ = compiled("remember(at_once=8, rows=40)", run_dir="two")
    stores = [r.artifact.parameters.stores for r in (first, second)]
    assert stores[0] == stores[1]


def test_rows_that_confirm_or_test_commit_nothing() -> None:
    """What a candidate shows a model is what the train rows left, and never grows after that."""
    result, learner = compiled("remember(rows=3)")
    sizes = [len(facts) for _, facts in learner.shown]
    held = len(result.artifact.parameters.stores.get("facts", ()))
    trained = max(sizes)
    assert trained <= 3
    assert held <= 3
    # a town that only the held-out rows ask about is never shown
    assert len({facts for _, facts in learner.shown}) <= 4


def test_a_threshold_keeps_bad_runs_out() -> None:
    wrong = [{**row, "label": "another"} for row in ROWS]
    result, _ = compiled("remember(threshold=1)", data=wrong)
    assert result.artifact.parameters.stores == {}
    assert not result.improved


def test_a_program_that_keeps_nothing_is_refused() -> None:
    Path("it.lmp").write_text('generate main(town: str) -> str { """Say it.""" }')
    with pytest.raises(LmcError) as failure:
        compiled("remember()")
    assert failure.value.code == "no-stores"


# --- with stores ---

READS = '''
record Fact { town: str, label: str }
store facts: Fact { key: .town  keep: 50 }
generate recall(trip: int, town: str, known: list[Fact]) -> str { """Say the label of the town.""" }
pipeline main(trip: int, town: str) -> str { return recall(trip, town, [f for f in facts]) }
pipeline learn(town: str) -> str { keep Fact(town=town, label="L") in facts return town }
'''


def filled(**options: Any) -> Any:
    Path("it.lmp").write_text(READS)
    program = lmc.load("it.lmp", backend=Scripted(Learner(), name="learner"), cache=False)
    for town in ("town4", "town5"):
        program.learn(town=town)
    return compiled("ablate()", target="main", out="it.lmpc", **options)[0]


def towns(program: Any) -> list[str]:
    return [record["town"] for record in program.stores.read(["facts"])["facts"].records]


def test_an_artifact_brings_what_the_stores_hold_on_wish() -> None:
    assert filled(run_dir="plain").artifact.parameters.stores == {}
    result = filled(with_stores=True)
    brought = result.artifact.parameters.stores["facts"]
    assert [record["town"] for record in brought] == ["town4", "town5"]
    memory = lmc.load("it.lmpc", cache=False, stores="memory", backend=Scripted("L"))
    assert towns(memory) == ["town4", "town5"]


def test_a_store_starts_with_it_until_something_was_kept() -> None:
    filled(with_stores=True)
    options: dict[str, Any] = {"cache": False, "stores": "own.db", "backend": Scripted("L")}
    with lmc.load("it.lmpc", **options) as program:
        assert towns(program) == ["town4", "town5"]
        program.learn(town="town4")
    with lmc.load("it.lmpc", **options) as program:
        assert towns(program) == ["town5", "town4"]  # written with the first commit, once
        assert program.stores.places["facts"].clear("facts") == 2
    with lmc.load("it.lmpc", **options) as program:
        assert towns(program) == []  # emptied by the user, so it stays empty
        program.learn(town="town1")
    with lmc.load("it.lmpc", **options) as program:
        assert towns(program) == ["town1"]


def test_a_store_that_holds_something_stays_as_it_is() -> None:
    filled(with_stores=True)
    Path("other.lmp").write_text(READS)
    with lmc.load("other.lmp", cache=False, stores="own.db", backend=Scripted("L")) as program:
        program.learn(town="town0")
    with lmc.load("it.lmpc", cache=False, stores="own.db", backend=Scripted("L")) as program:
        assert towns(program) == ["town0"]


def test_what_was_brought_can_be_cleared_before_anything_is_kept() -> None:
    filled(with_stores=True)
    options: dict[str, Any] = {"cache": False, "stores": "own.db", "backend": Scripted("L")}
    with lmc.load("it.lmpc", **options) as program:
        assert program.stores.places["facts"].clear("facts") == 2
        assert towns(program) == []


def test_an_artifact_that_only_reads_needs_no_place() -> None:
    Path("it.lmp").write_text(READS)
    with lmc.load("it.lmp", cache=False, backend=Scripted("L")) as program:
        program.learn(town="town3")
    Path("it.lmp").write_text(READS[: READS.index("pipeline learn")])
    compiled("ablate()", target="main", out="it.lmpc", with_stores=True)
    learner = Learner()
    program = lmc.load("it.lmpc", cache=False, backend=Scripted(learner))
    program.main(trip=7, town="town3")
    assert learner.shown == [("town3", ("town3",))]


def test_a_program_without_stores_brings_none() -> None:
    Path("it.lmp").write_text('generate main(town: str) -> str { """Say it.""" }')
    with pytest.raises(LmcError) as failure:
        compiled("ablate()", with_stores=True)
    assert failure.value.code == "no-stores"
