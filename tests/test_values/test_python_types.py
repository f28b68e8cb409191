"""Typed objects at the Python border, and back."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from lmc.canonical import canonical
from lmc.types import (
    BOOL,
    FLOAT,
    INT,
    JSON,
    NONE,
    STR,
    VERDICT,
    DictType,
    EnumType,
    Field,
    IntType,
    ListType,
    LiteralType,
    NeverType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
)
from lmc.values import InvalidValue, json_schema, python_type, to_json, to_python, validate

COLOUR = EnumType("Colour", ("red", "none_"), ("like blood", ""), "What it looks like")
POINT = RecordType("Point", (Field("x", INT, "to the right"), Field("y", INT, "", True, 0)))
ODD = RecordType(
    "geometry.Odd",
    (
        Field("json", STR),
        Field("copy", INT),
        Field("model_config", INT),
        Field("class", STR),
        Field("points", ListType(POINT), "", True, [{"x": 1, "y": 2}]),
    ),
    "Names that pydantic or Python has taken",
)


def values_of(type: Type) -> st.SearchStrategy[Any]:
    match type:
        case OptionalType(item):
            return st.none() | values_of(item)
        case ListType(NeverType()):
            return st.just([])
        case ListType(item, unique=True):
            return st.lists(values_of(item), max_size=3, unique_by=canonical)
        case ListType(item):
            return st.lists(values_of(item), max_size=3)
        case UnionType(options):
            return st.one_of(*map(values_of, options))
        case DictType(item):
            return st.dictionaries(st.text(max_size=3), values_of(item), max_size=3)
        case RecordType():
            return st.fixed_dictionaries({f.name: values_of(f.type) for f in type.fields})
        case EnumType(variants=names) | LiteralType(values=names):
            return st.sampled_from(names)
    simple: dict[Type, st.SearchStrategy[Any]] = {
        STR: st.text(max_size=5),
        INT: st.integers(),
        FLOAT: st.floats(allow_nan=False, allow_infinity=False),
        BOOL: st.booleans(),
        NONE: st.none(),
        JSON: st.none() | st.booleans() | st.integers() | st.lists(st.text(max_size=2)),
    }
    return simple[type]


REFUND = RecordType(
    "Refund", (Field("kind", LiteralType(("a", "b")), "", True, "a"), Field("n", INT))
)
COMPLAINT = RecordType("Complaint", (Field("kind", LiteralType(("c",))), Field("n", INT)))
WIDER = RecordType("Wider", (Field("n", INT), Field("m", INT, "", True, 1)))
NARROWER = RecordType("Narrower", (Field("n", INT), Field("k", COLOUR)))


def tree(height: int) -> RecordType:
    """A record that contains itself in a list, in a union, and in a record that contains it."""
    if height == 0:
        beyond = NeverType("Tree")
        branches: Type = ListType(beyond, None, 0)
        either: Type = INT
        inner: Type = NONE
    else:
        lower = tree(height - 1)
        branches, either = ListType(lower), UnionType((lower, INT))
        inner = OptionalType(
            RecordType("Hull", (Field("of", lower),), family="Hull", height=height, bound=4)
        )
    fields = (Field("branches", branches), Field("either", either), Field("inner", inner))
    return RecordType("Tree", fields, family="Tree", height=height + 1, bound=4)


TREE = tree(3)
SIMPLE = st.sampled_from(
    [
        *(STR, INT, FLOAT, BOOL, JSON, COLOUR, LiteralType(("yes", "no")), tree(2)),
        UnionType((REFUND, COMPLAINT)),
        UnionType((WIDER, NARROWER, STR, ListType(FLOAT))),
        ListType(FLOAT, unique=True),
    ]
)
TYPES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        inner.map(ListType),
        inner.map(DictType),
        inner.map(OptionalType),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda ts: RecordType("R", tuple(Field(f"f{i}", t) for i, t in enumerate(ts)))
        ),
    ),
    max_leaves=4,
)


@given(st.data())
def test_to_python_and_back_gives_the_value(data: st.DataObject) -> None:
    type = data.draw(TYPES)
    value = data.draw(values_of(type))
    assert to_json(type, to_python(type, validate(type, value))) == value


@given(st.data())
def test_every_value_satisfies_the_schema(data: st.DataObject) -> None:
    type = data.draw(TYPES)
    schema = json_schema(type)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(data.draw(values_of(type)))


@given(st.data())
def test_pickled_values_are_as_they_were(data: st.DataObject) -> None:
    type = data.draw(TYPES)
    value = to_python(type, data.draw(values_of(type)))
    again = pickle.loads(pickle.dumps(value))
    assert again == value and again.__class__ is value.__class__


def test_taken_names_pickle_and_another_process_reads_them() -> None:
    odd = {"json": "a", "copy": 1, "model_config": 2, "class": "c", "points": [{"x": 3, "y": 4}]}
    value = [to_python(ODD, odd), to_python(COLOUR, "none_")]
    dumped = pickle.dumps(value)
    assert pickle.loads(dumped) == value
    read = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    told = subprocess.run([sys.executable, "-c", read], input=dumped, capture_output=True)
    assert told.stdout.decode().strip() == str(value), told.stderr


def test_records_are_frozen_and_print_as_they_are_written() -> None:
    verdict = to_python(VERDICT, {"ok": True, "score": 0.5, "feedback": "fine"})
    assert repr(verdict) == "Verdict(ok=True, score=0.5, feedback='fine')"
    with pytest.raises(ValidationError):
        verdict.ok = False


def test_a_type_has_one_class() -> None:
    again = RecordType("Point", (Field("x", INT, "to the right"), Field("y", INT, "", True, 0)))
    assert python_type(POINT) is python_type(again)
    assert to_python(COLOUR, "red") is python_type(COLOUR).red


def test_taken_names_are_kept_where_python_lets_them() -> None:
    value = validate(ODD, {"json": "j", "copy": 1, "model_config": 2, "class": "c"})
    odd = to_python(ODD, value)
    assert (odd.json, odd.copy, odd.model_config_, odd.class_) == ("j", 1, 2, "c")
    assert odd.points[0].y == 2
    assert type(odd).__name__ == "Odd"
    assert to_json(ODD, odd) == value


def test_many_kinds_of_objects_become_json() -> None:
    class Model(BaseModel):
        x: int

    class Paint(Enum):
        red = 1

    data = dataclasses.make_dataclass("Data", ["x", "y"])
    assert to_json(POINT, Model(x=1)) == {"x": 1, "y": 0}
    assert to_json(POINT, data(1, 2)) == {"x": 1, "y": 2}
    assert to_json(COLOUR, Paint.red) == "red"
    assert to_json(ListType(INT), (1, 2)) == [1, 2]
    with pytest.raises(InvalidValue):
        to_json(POINT, object())


def test_python_callers_cannot_build_wrong_records() -> None:
    with pytest.raises(ValidationError):
        python_type(POINT)(x="far")


def test_schema_says_it_all() -> None:
    assert json_schema(POINT) == {
        "type": "object",
        "properties": {
            "x": {"type": "integer", "description": "to the right"},
            "y": {"type": "integer", "default": 0},
        },
        "required": ["x"],
        "additionalProperties": False,
    }
    assert json_schema(COLOUR) == {
        "type": "string",
        "enum": ["red", "none_"],
        "description": "What it looks like. red: like blood",
    }
    assert json_schema(IntType(0, 5)) == {"type": "integer", "minimum": 0, "maximum": 5}
    assert json_schema(StrType(None, 5, r"\d+")) == {
        "type": "string",
        "maxLength": 5,
        "pattern": r"^(?:\d+)$",
    }


def test_all_levels_of_a_recursive_record_have_one_class() -> None:
    leaf = {"branches": [], "either": 1, "inner": None}
    value = leaf | {"branches": [leaf], "either": leaf, "inner": {"of": leaf}}
    found = to_python(TREE, validate(TREE, value))
    classes = {found.__class__, found.branches[0].__class__, found.either.__class__}
    assert classes == {found.__class__, found.inner.of.__class__} == {python_type(TREE)}
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.inner.__class__ is found.inner.__class__


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"kind": "b", "n": 1}, "Refund"),
        ({"kind": "c", "n": 1}, "Complaint"),
    ],
)
def test_a_member_of_a_union_has_its_own_class(value: Any, name: str) -> None:
    union = UnionType((REFUND, COMPLAINT))
    found = to_python(union, validate(union, value))
    assert type(found).__name__ == name and to_json(union, found) == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"n": 1}, "must have a `kind` that is one of: a, b, c"),  # a tag has no default here
        ({"kind": "a", "n": "x"}, "`n` must be an integer"),
        ({"kind": "a", "n": 1, "m": 2}, "has no field `m`"),
        (3, "must be an object"),
    ],
)
def test_problems_are_those_of_the_member(value: Any, problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem):
        validate(UnionType((REFUND, COMPLAINT)), value)


def test_places_inside_of_unions_are_those_of_the_value() -> None:
    whole = DictType(ListType(UnionType((WIDER, NARROWER, STR, ListType(FLOAT)))))
    with pytest.raises(InvalidValue) as caught:
        validate(whole, {"k": ["s", {"n": 1, "k": "blue"}, [1, "x"]]})
    assert str(caught.value) == (
        '`k[1].k` must be one of: red, none_, got "blue"; `k[2][1]` must be a number, got "x"'
    )


def test_numbers_that_are_equal_are_one_item_of_a_set() -> None:
    with pytest.raises(InvalidValue, match=r"must have each item once, but has 1\.0 twice"):
        validate(ListType(FLOAT, unique=True), [1, 2.5, 1.0])
    assert validate(ListType(JSON, unique=True), [1, True]) == [1, True]
