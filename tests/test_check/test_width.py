"""Which values lose fields on the way to a type, and what is left of them."""

import pytest

from lmc.check.subtyping import narrows
from lmc.check.width import narrowed, project
from lmc.types import (
    INT,
    JSON,
    NONE,
    STR,
    DictType,
    Field,
    IntType,
    ListType,
    OptionalType,
    RecordType,
    UnionType,
)

X, Y = Field("x", INT), Field("y", INT)
A, B = RecordType("A", (X,)), RecordType("B", (X, Y))
SAME = RecordType("Same", (X,))
TURNED = RecordType("Turned", (Y, X))
HOLDS_A, HOLDS_B = (RecordType(f"Holds{t}", (Field("in", t),)) for t in (A, B))
C = RecordType("C", (Field("x", IntType(0, 5)), Y))
WIDE = {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("actual", "wanted", "loses"),
    [
        (B, A, True),
        (A, A, False),
        (SAME, A, False),
        (TURNED, B, True),  # the fields are in the order of the type
        (HOLDS_B, HOLDS_A, True),
        (ListType(B), ListType(A), True),
        (ListType(A, 2, 2), ListType(A), False),
        (DictType(B), DictType(A), True),
        (OptionalType(B), OptionalType(A), True),
        (B, OptionalType(A), True),
        (NONE, OptionalType(A), False),
        (B, JSON, False),
        (ListType(B), ListType(JSON), False),
        (INT, STR, False),
        (B, UnionType((A, STR)), True),
        (B, UnionType((A, B)), False),
        (UnionType((B, STR)), UnionType((A, STR)), True),
        (UnionType((A, STR)), UnionType((STR, A)), False),
    ],
)
def test_what_loses_fields(actual, wanted, loses):
    assert narrows(actual, wanted) is loses
    assert not loses or narrowed(actual, wanted) != actual


def test_bounds_of_a_narrowed_list_stay():
    assert narrowed(ListType(B, 2, 3), ListType(A)) == ListType(A, 2, 3)


@pytest.mark.parametrize(
    ("type_", "value", "left"),
    [
        (A, WIDE, {"x": 1}),
        (HOLDS_A, {"in": WIDE, "z": 1}, {"in": {"x": 1}}),
        (ListType(A), [WIDE, {"x": 3}], [{"x": 1}, {"x": 3}]),
        (DictType(A), {"k": WIDE}, {"k": {"x": 1}}),
        (OptionalType(A), WIDE, {"x": 1}),
        (OptionalType(A), None, None),
        (JSON, WIDE, WIDE),
        (UnionType((A, B)), WIDE, WIDE),
        (UnionType((A, STR)), WIDE, {"x": 1}),
        (UnionType((A, STR)), "text", "text"),
        (UnionType((RecordType("N", (Field("n", OptionalType(INT)),)), A)), WIDE, {"x": 1}),
        (UnionType((C, A)), {"x": 9, "y": 2}, {"x": 9, "y": 2}),  # of C, as its fields say
        (UnionType((A, RecordType("D", (X, Field("z", STR))))), WIDE, {"x": 1}),
        (A, "no record", "no record"),  # for the validator to refuse
    ],
)
def test_what_is_left(type_, value, left):
    assert project(type_, value) == left
