"""Metrics: found before anything runs, exact in what they compare, honest when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph, Port, ProgramGraph
from lmc.measure.comparisons import accuracy, contains, f1, numeric
from lmc.measure.metrics import Metric, resolve_metric
from lmc.program.options import LoadOptions
from lmc.program.program import Program, check_file, lower_checked
from lmc.types import BOOL, FLOAT, INT, STR, Field, ListType, LiteralType, RecordType, Type

SOLUTION = RecordType("Solution", (Field("steps", ListType(STR)), Field("answer", INT)))
ROW = RecordType("Row", (Field("question", STR), Field("answer", INT)))
EMPTY = ProgramGraph({}, {}, {}, {}, (), {}, None, ())


def metric_of(
    spec: str,
    result: Type = SOLUTION,
    columns: tuple[str, ...] = ("question", "answer"),
    **more: Any,
) -> Metric:
    target = Graph("main", (Port("question", STR),), result, ())
    return resolve_metric(spec, EMPTY, target, columns, **more)


EQUAL: list[tuple[Any, Any, Type]] = [
    (5, 5, INT),
    ("5", 5, INT),
    ("$1,005 in all", 1005, INT),
    (5, 5.0, FLOAT),
    (5, "5", STR),
    ("Paris", " paris. ", STR),
    ("New  York", '"new york"', STR),
    (["Paris", "City of Light"], "city of light", STR),
    ("five", 5, INT),
    ("yes", True, BOOL),
    (False, "false", STR),
    ("YES", "yes", LiteralType(("yes", "no"))),
    (["a", "B"], ["A", "b"], ListType(STR)),
    ({"answer": 5}, {"answer": 5, "steps": ["x"]}, SOLUTION),
    (None, None, STR),
]
UNEQUAL: list[tuple[Any, Any, Type]] = [
    (5, 6, INT),
    ("a few", 5, INT),
    ("six", 5, INT),
    ("Paris", "Paris, France", STR),
    (["a", "b"], ["b", "a"], ListType(STR)),
    (["a"], ["a", "b"], ListType(STR)),
    (True, False, BOOL),
    (None, "none", STR),
    ({"answer": 5}, {"answer": 6}, SOLUTION),
    ([], "x", STR),
]


@pytest.mark.parametrize(("gold", "pred", "type"), EQUAL, ids=str)
def test_accuracy_sees_equal_values(gold: Any, pred: Any, type: Type) -> None:
    assert accuracy(gold, pred, type) == 1.0


@pytest.mark.parametrize(("gold", "pred", "type"), UNEQUAL, ids=str)
def test_accuracy_sees_different_values(gold: Any, pred: Any, type: Type) -> None:
    assert accuracy(gold, pred, type) == 0.0


def test_f1_is_that_of_squad() -> None:
    assert f1("The Eiffel Tower", "eiffel tower!", STR) == 1
    assert f1("in Paris, France", "Paris", STR) == pytest.approx(0.5)
    assert f1("a b b", "b b c", STR) == pytest.approx(2 * 2 / 5)
    assert f1(["London", "Paris"], "Paris", STR) == 1
    assert f1("", "the", STR) == 1
    assert f1("x", "", STR) == 0


def test_contains_goes_by_words() -> None:
    assert contains("Paris", "It is Paris, I think.", STR) == 1
    assert contains("12", "It is 112.", STR) == 0
    assert contains(["one", "1"], "just 1", STR) == 1
    assert contains("", "anything", STR) == 0


def test_numeric_reads_numbers_out_of_texts() -> None:
    assert numeric("48/2 = 24\n#### 1,072", 1072.0, FLOAT) == 1
    assert numeric("72", "So 70 + 2 = 72 dollars", STR) == 1
    assert numeric(1.0, 1.0000001, FLOAT) == 1
    assert numeric(1.0, 1.01, FLOAT) == 0
    assert numeric("none", 0, FLOAT) == 0
    assert numeric(0, 0.0, FLOAT) == 1


async def test_fields_of_the_same_name_are_compared() -> None:
    metric = metric_of("accuracy")
    assert (await metric.score({"answer": 5}, {"steps": [], "answer": 5})).value == 1
    wrong = await metric.score({"answer": 5}, {"steps": [], "answer": 6})
    assert (wrong.value, wrong.feedback) == (0, "answer: expected 5, got 6")


async def test_several_fields_give_their_mean() -> None:
    columns = ("question", "answer", "steps")
    score = await metric_of("accuracy", columns=columns).score(
        {"answer": 5, "steps": ["a"]}, {"steps": ["a"], "answer": 6}
    )
    assert score.value == 0.5
    one = metric_of("accuracy(steps)", columns=columns)
    assert (await one.score({"steps": ["a"]}, {"steps": ["a"], "answer": 6})).value == 1


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        (("question", "label", "id"), "label"),
        (("question", "target"), "target"),
        (("question", "colour"), "colour"),
    ],
)
async def test_a_bare_result_is_compared_with_the_answer(
    columns: tuple[str, ...], field: str
) -> None:
    metric = metric_of("accuracy", STR, columns)
    assert (await metric.score({field: "x"}, "X")).value == 1


REFUSED = [
    ("acuracy", SOLUTION, ("answer",), "unknown-metric.*did you mean `accuracy`"),
    ("accuracy(", SOLUTION, ("answer",), "unknown-metric"),
    ("accuracy(anwser)", SOLUTION, ("answer",), "metric-field.*did you mean `answer`"),
    ("accuracy(id)", SOLUTION, ("id", "answer"), "`Solution` has no field `id`"),
    ("f1", SOLUTION, ("question", "gold"), "no common field of.*name the field"),
    ("f1", STR, ("question", "a", "b"), r"which field of the rows.*`f1\(a\)`"),
    ("f1", STR, ("question",), "only inputs"),
    ("accuracy(question)", STR, ("question", "a"), "the rows have no label `question`"),
    ("nowhere.at_all:fn", STR, ("answer",), "tool-not-found"),
]


@pytest.mark.parametrize(("spec", "result", "columns", "words"), REFUSED)
def test_a_metric_that_cannot_work_is_told_at_once(
    spec: str, result: Type, columns: tuple[str, ...], words: str
) -> None:
    with pytest.raises(LmcError, match=words):
        metric_of(spec, result, columns)


# --- Python functions ---

MODULE = """
import json
from dataclasses import dataclass

@dataclass
class Score:
    value: float
    feedback: str = ""

def typed(gold, pred): return gold.answer == pred.answer
def raw(gold, pred): return gold["answer"] == pred.answer
def number(gold, pred): return 0.5
def pair(gold, pred): return 1, "fine"
def mapping(gold, pred): return {"score": 0.25, "feedback": "meh"}
def scored(gold, pred): return Score(0.75, "ok")
async def later(gold, pred): return True

def broken(gold, pred):
    return json.loads("{")

def nan(gold, pred): return float("nan")
def words(gold, pred): return "good"
def three(a, b, c): return 1
"""
GOLD, PRED = {"question": "?", "answer": 5}, {"steps": [], "answer": 5}


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_metrics.py").write_text(MODULE)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    yield tmp_path
    __import__("sys").modules.pop("own_metrics", None)


@pytest.mark.parametrize(
    ("name", "row", "value", "feedback"),
    [
        ("typed", ROW, 1, ""),
        ("raw", None, 1, ""),
        ("number", None, 0.5, ""),
        ("pair", None, 1, "fine"),
        ("mapping", None, 0.25, "meh"),
        ("scored", None, 0.75, "ok"),
        ("later", None, 1, ""),
    ],
)
async def test_functions_may_give_many_things(
    functions: Path, name: str, row: RecordType | None, value: float, feedback: str
) -> None:
    metric = metric_of(f"own_metrics:{name}", row_type=row, base_dir=functions)
    score = await metric.score(GOLD, PRED)
    assert (score.value, score.feedback) == (value, feedback)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", r"own_metrics.py:19:1: error\[metric-failed\]: .* raised JSONDecodeError"),
        ("nan", r"bad-score.*'nan', which is not a finite number"),
        ("words", "bad-score.*'good'"),
    ],
)
async def test_failures_of_functions_are_diagnostics(
    functions: Path, name: str, words: str
) -> None:
    metric = metric_of(f"own_metrics:{name}", base_dir=functions)
    with pytest.raises(LmcError, match=words):
        await metric.score(GOLD, PRED)


def test_functions_with_other_arguments_are_refused_at_once(functions: Path) -> None:
    with pytest.raises(LmcError, match=r"bad-metric.*missing a required argument"):
        metric_of("own_metrics:three", base_dir=functions)
    with pytest.raises(LmcError, match="tool-not-found"):
        metric_of("own_metrics:nope", base_dir=functions)


# --- metrics of the program ---

SOURCE = """
record Row { question: str, answer: int, bonus: float = 0.5 }
record Solution { steps: list[str], answer: int }

generate main(question: str) -> Solution

metric accuracy(gold: Row, pred: Solution) -> bool { return pred.answer == gold.answer + 1 }

metric graded(gold: Row, pred: Solution) -> Score {
  return Score(value=gold.bonus, feedback=if pred.answer == gold.answer then "" else "wrong")
}

metric outside(gold: Row, pred: Solution) -> bool from "own_metrics:typed"
"""


@pytest.fixture
def program(functions: Path) -> Program:
    (functions / "p.lmp").write_text(SOURCE)
    graph = lower_checked(check_file(functions / "p.lmp"))
    return Program(graph, LoadOptions(cache=False), base_dir=functions)


async def test_metrics_of_the_program_come_first(program: Program, functions: Path) -> None:
    target = program.graph.graphs["main"]
    for name, value, feedback in (("accuracy", 0, ""), ("graded", 0.5, ""), ("outside", 1, "")):
        metric = resolve_metric(
            name,
            program.graph,
            target,
            ["question", "answer"],
            base_dir=functions,
            executor=program.executor,
        )
        score = await metric.score(GOLD, PRED)
        assert (score.value, score.feedback) == (value, feedback)


async def test_a_row_that_does_not_fit_the_metric_is_told(program: Program) -> None:
    target = program.graph.graphs["main"]
    metric = resolve_metric("accuracy", program.graph, target, [], executor=program.executor)
    with pytest.raises(LmcError, match=r"metric-failed.*`answer` must be an integer"):
        await metric.score({"question": "?", "answer": "5"}, PRED)


async def test_several_metrics_give_their_weighted_mean() -> None:
    columns = ("question", "answer", "steps")
    metric = metric_of("3 * accuracy(answer) + f1(steps)", SOLUTION_OF_TEXTS, columns)
    gold = {"answer": 5, "steps": "add two and three"}
    found = await metric.score(gold, {"answer": 5, "steps": "subtract"})
    assert found.value == 0.75
    assert found.feedback.startswith("accuracy(answer) 1; f1(steps) 0 (")
    assert (await metric.score(gold, {"answer": 6, "steps": "add two and three"})).value == 0.25


def test_a_term_that_is_no_metric_is_told() -> None:
    with pytest.raises(LmcError, match="accurcy"):
        metric_of("2 * accurcy(answer) + numeric(answer)")


SOLUTION_OF_TEXTS = RecordType("Solution", (Field("steps", STR), Field("answer", INT)))
