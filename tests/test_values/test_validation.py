"""Untrusted values: taken as they are, or refused in words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lmc.diagnostics import LmcError
from lmc.types import (
    BOOL,
    FLOAT,
    INT,
    JSON,
    NEVER,
    NONE,
    STR,
    UNIT_FLOAT,
    VERDICT,
    DictType,
    EnumType,
    Field,
    IntType,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
)
from lmc.values import InvalidValue, validate

RELEVANCE = EnumType("Relevance", ("direct", "none_"))
PERSON = RecordType(
    "Person",
    (
        Field("name", STR),
        Field("age", IntType(0, 150)),
        Field("tags", ListType(STR, None, 2), "", True, []),
        Field("mark", OptionalType(RELEVANCE), "", True, None),
    ),
)

GOOD = [
    (STR, "x", "x"),
    (INT, 5, 5),
    (FLOAT, 5, 5.0),
    (UNIT_FLOAT, 1, 1.0),
    (BOOL, True, True),
    (NONE, None, None),
    (JSON, {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
    (OptionalType(INT), None, None),
    (ListType(INT, 1, 2), [1, 2], [1, 2]),
    (DictType(INT), {"a": 1}, {"a": 1}),
    (LiteralType(("yes", "no")), "yes", "yes"),
    (RELEVANCE, "none_", "none_"),
    (StrType(None, None, r"[A-Z]{2}\d+"), "AB12", "AB12"),
    (UnionType((INT, STR)), "x", "x"),
    (PERSON, {"name": "A", "age": 3}, {"name": "A", "age": 3, "tags": [], "mark": None}),
]


@pytest.mark.parametrize(("type", "raw", "value"), GOOD, ids=lambda v: str(v)[:30])
def test_values_of_a_type_are_taken(type: Type, raw: Any, value: Any) -> None:
    assert validate(type, raw) == value


BAD = [
    (INT, True, "the value must be an integer, got true"),
    (INT, "5", 'the value must be an integer, got "5"'),
    (INT, 5.0, "must be an integer, got 5.0"),
    (IntType(0, 10), 11, "must be at most 10, got 11"),
    (FLOAT, float("nan"), "must be a finite number"),
    (FLOAT, True, "must be a number, got true"),
    (UNIT_FLOAT, -1, "must be at least 0, got -1"),
    (BOOL, 1, "must be true or false, got 1"),
    (STR, 5, "must be text, got 5"),
    (StrType(2, 3), "abcd", "must have at most 3 characters"),
    (StrType(None, None, r"\d+"), "12a", r"must match \d+"),
    (StrType(None, None, r"\d+"), "12\n", r"must match \d+"),
    (JSON, {1: 2}, "must be a JSON value"),
    (NEVER, 1, "cannot be there"),
    (ListType(INT, 1, 2), [], "must have at least 1 items"),
    (ListType(INT), "12", "must be a list"),
    (LiteralType(("yes", "no")), "Yes", "must be one of: yes, no"),
    (OptionalType(RELEVANCE), "x", "must be one of: direct, none_"),
    (PERSON, {"name": "A"}, "`age` is missing"),
    (PERSON, {"name": "A", "age": 3, "aeg": 1}, "no field `aeg`; did you mean `age`?"),
    (PERSON, {"name": "A", "age": 3, "tags": ["a", 1]}, "`tags[1]` must be text, got 1"),
    (PERSON, 5, "must be an object, got 5"),
]


@pytest.mark.parametrize(("type", "raw", "words"), BAD, ids=lambda v: str(v)[:30])
def test_others_are_refused_in_words(type: Type, raw: Any, words: str) -> None:
    with pytest.raises(InvalidValue) as problem:
        validate(type, raw)
    assert words in str(problem.value)


def test_all_problems_are_told_up_to_five() -> None:
    with pytest.raises(InvalidValue) as problem:
        validate(ListType(INT), ["a"] * 7)
    assert str(problem.value).count("must be an integer") == 5
    assert str(problem.value).endswith("and 2 more")


def test_lenient_reads_numbers_and_drops_fields() -> None:
    raw = {"name": 5, "age": "3", "extra": 1}
    value = validate(PERSON, raw, lenient=True)
    assert (value["name"], value["age"]) == ("5", 3)
    assert "extra" not in value
    with pytest.raises(InvalidValue):
        validate(INT, True, lenient=True)


def test_defaults_are_not_shared() -> None:
    first = validate(PERSON, {"name": "A", "age": 3})
    first["tags"].append("x")
    assert validate(PERSON, {"name": "A", "age": 3})["tags"] == []


def test_deep_json_is_refused_not_a_crash() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidValue):
        validate(JSON, deep)


def test_a_pattern_that_would_go_back_is_refused() -> None:
    with pytest.raises(LmcError, match="bad-pattern"):
        validate(StrType(None, None, r"(?=a)a+"), "a" * 1001)


def test_a_pattern_is_linear_in_the_text() -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidValue):
        validate(StrType(None, None, r"(a+)+b"), "a" * 100_000)
    assert time.perf_counter() - start < 2


def test_validation_is_cheap() -> None:
    value = {"ok": True, "score": 0.5, "feedback": "x"}
    validate(VERDICT, value)

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(1000):
            validate(VERDICT, value)
        return (time.perf_counter() - start) / 1000

    assert min(timed() for _ in range(5)) < 30e-6
