"""The parts of the comparison on a real model that need no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import real_peers
from bench.serving import MOST_TOKENS, SharedClock, key_of, request_of
from lmc.program.program import check_file

SCHEMA = {"type": "object", "properties": {"result": {"type": "boolean"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "result", "schema": SCHEMA}}


def payload(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "x"}]
    asked = {"model": "bench", "messages": messages, "temperature": 0.0, "max_tokens": 24}
    return {**asked, "response_format": FORMAT, **more}


def test_requests_that_differ_in_names_only_are_the_same() -> None:
    strict = {"type": "json_schema", "json_schema": {"name": "o", "strict": True, "schema": SCHEMA}}
    other = payload(model="y", response_format=strict, max_tokens=None, max_completion_tokens=24)
    assert real_peers.difference(payload(), other) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": "y"}]},
        {"temperature": 1.0},
        {"max_tokens": 25},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        {"response_format": None},
    ],
)
def test_what_decides_an_answer_makes_a_difference(more: dict[str, Any]) -> None:
    assert next(iter(more)) in real_peers.difference(payload(), payload(**more))


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("5 PM", ' "5 pm." ', True),
        ("5 PM", "6 PM", False),
        (None, None, True),
        (None, "", False),
        ("", None, False),
        (True, True, True),
        (True, "true", False),
    ],
)
def test_answers_are_compared_without_case_and_marks(gold: Any, answer: Any, right: bool) -> None:
    assert real_peers.same(gold, answer) is right


def test_tables_are_whole_before_the_next_begins() -> None:
    runs = list(real_peers.plan(["a", "b"], ["auto()"], ["mipro", "gepa"], [150, 400], 2))
    assert len(runs) == len(set(runs))
    assert [run[:2] for run in runs] == sorted(run[:2] for run in runs)
    assert {run[3] for run in runs if run[:3] == (0, 150, "b")} == {
        real_peers.WRITTEN, "auto()", "dspy mipro", "dspy gepa",
    }  # fmt: skip
    assert {run[3] for run in runs if run[0] == 1 and run[1] == 400} == {"auto()", "dspy mipro"}


def test_an_interval_knows_rows_and_runs() -> None:
    sure, unsure = [[1.0] * 50] * 3, [[1.0] * 50, [0.0] * 50]
    assert real_peers.interval(sure) == (1.0, 1.0)
    assert real_peers.interval(unsure) == (0.0, 1.0)
    low, high = real_peers.interval([[0.0, 1.0] * 50])
    assert 0.38 < low < 0.45 and 0.55 < high < 0.62


def result(system: str, rights: list[int], budget: int = 150, calls: int = 100) -> dict[str, Any]:
    found = {"seed": 0, "budget": budget, "task": "a", "system": system, "right": rights}
    return {**found, "calls": calls, "seconds": 1.0}


def test_the_table_says_with_how_many_calls_the_best_is_reached() -> None:
    results = [
        result(real_peers.WRITTEN, [0, 0, 0, 1], calls=0),
        result("auto()", [1, 1, 0, 0], calls=90),
        result("auto()", [1, 1, 1, 1], 400, 300),
        result("dspy mipro", [1, 1, 0, 0]),
        result("dspy mipro", [1, 1, 1, 0], 400, 390),
    ]
    table = real_peers.table(results)
    assert "DSPy's best is 75 % (dspy mipro, budget 400, 390 calls); lmc: with 300 calls" in table
    assert "- a: auto() − dspy mipro, budget 150: +0 [" in table
    assert "| a | auto() | **50** [0, 100], 90 calls, 1 s | **100** [100, 100], 300" in table


def test_what_does_not_search_is_among_the_best_and_compared_at_every_budget() -> None:
    results = [
        result("auto()", [1, 1, 0, 0], calls=90),
        result("auto()", [1, 1, 1, 0], 400, 300),
        result("dspy knn-few-shot", [1, 1, 1, 1], calls=0),
    ]
    table = real_peers.table(results)
    assert (
        "DSPy's best is 100 % (dspy knn-few-shot, budget 150, 0 calls); lmc: not reached" in table
    )
    assert "auto() − dspy knn-few-shot, budget 150: -50" in table
    assert "auto() − dspy knn-few-shot, budget 400: -25" in table


def test_seeds_draw_train_and_dev_but_not_test() -> None:
    rows = [{"text": str(number), "answer": "yes"} for number in range(300)]
    task = real_peers.Task("t", "text", "Yes", ["yes"], "Say it.", rows, "enum Yes { yes }\n")
    first, second = task.parts(0), task.parts(1)
    assert first["test"] == second["test"] and first["train"] != second["train"]
    seen = [row["text"] for part in first.values() for row in part]
    assert len(seen) == len(set(seen)) == 80 + 40 + 100


def test_the_program_of_a_task_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = real_peers.Task("t", "text", "str?", "str?", "Copy it.", [])
    Path("task.lmp").write_text(task.program())
    Path("rows.jsonl").write_text('{"text": "x", "answer": null}\n' * 200)
    assert "main" in check_file("task.lmp").modules


def test_time_is_shared_among_requests_that_run_at_once() -> None:
    now = [0.0]
    clock = SharedClock(lambda: now[0])
    first = clock.enter()
    now[0] = 4.0
    second = clock.enter()
    now[0] = 10.0
    assert clock.leave(first) == 4.0 + 3.0
    now[0] = 11.0
    assert clock.leave(second) == 3.0 + 1.0
    now[0] = 50.0
    assert clock.leave(clock.enter()) == 0.0
    assert clock.busy_s == 11.0


def test_only_answers_without_chance_are_remembered() -> None:
    cold, warm = payload(), payload(temperature=1.0)
    assert key_of(cold) == key_of({**cold, "model": "y", "seed": 3})
    assert not key_of(cold)[1] and key_of(warm)[1]
    assert not key_of({**warm, "seed": 3})[1]
    assert key_of({**warm, "seed": 3}) != key_of({**warm, "seed": 4})
    assert key_of(cold)[0] != key_of(payload(max_tokens=9))[0]


def test_the_engine_gets_the_schema_and_at_most_so_many_tokens() -> None:
    request = request_of("m", payload(max_tokens=4000))
    assert request.schema == SCHEMA and request.sampling.max_tokens == MOST_TOKENS
