"""The subtype relation and what is built on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.check.annotations import resolve
from lmc.check.constants import misfit
from lmc.check.subtyping import comparable, forget, has_equality, is_subtype, join, optional
from lmc.types import (
    BOOL,
    ERROR,
    FLOAT,
    INT,
    JSON,
    NEVER,
    NONE,
    STR,
    VERDICT,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NeverType,
    OptionalType,
    RecordType,
    StrType,
    UnionType,
)

YES_NO = LiteralType(("yes", "no"))
GRADE = EnumType("Grade", ("good", "bad"))
POINT = RecordType("Point", (Field("x", INT), Field("y", INT)))
NAMED = RecordType("Named", (Field("y", FLOAT), Field("x", INT)))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (INT, FLOAT),
        (IntType(0, 5), IntType(0, 10)),
        (IntType(0, 1), FloatType(0.0, 1.0)),
        (IntType(3, 3), INT),
        (StrType(1, 5), StrType(None, 9)),
        (StrType(None, 5), StrType(0, 5)),
        (StrType(pattern="a+"), STR),
        (LiteralType(("yes",)), YES_NO),
        (YES_NO, StrType(2, 3)),
        (LiteralType(("aa",)), StrType(pattern="a+")),
        (ListType(INT, 1, 3), ListType(FLOAT, None, 3)),
        (ListType(NEVER, 0, 0), ListType(POINT)),
        (DictType(INT), DictType(FLOAT)),
        (NONE, OptionalType(STR)),
        (STR, OptionalType(STR)),
        (OptionalType(INT), OptionalType(FLOAT)),
        (POINT, NAMED),
        (INT, UnionType((STR, INT))),
        (UnionType((INT, BOOL)), UnionType((STR, INT, BOOL))),
        (POINT, JSON),
        (NONE, JSON),
        (ERROR, POINT),
        (POINT, ERROR),
    ],
)
def test_subtypes(narrow, wide):
    assert is_subtype(narrow, wide)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (FLOAT, INT),
        (BOOL, INT),
        (INT, STR),
        (INT, IntType(0, None)),
        (IntType(0, 11), IntType(0, 10)),
        (STR, StrType(1, None)),
        (StrType(pattern="a"), StrType(pattern="b")),
        (STR, YES_NO),
        (LiteralType(("ja",)), YES_NO),
        (LiteralType(("abc",)), StrType(None, 2)),
        (LiteralType(("good",)), GRADE),
        (GRADE, STR),
        (ListType(INT), ListType(INT, 1, None)),
        (ListType(STR), ListType(INT)),
        (OptionalType(STR), STR),
        (NONE, STR),
        (NAMED, POINT),
        (VERDICT, POINT),
        (JSON, STR),
        (UnionType((INT, STR)), INT),
    ],
)
def test_not_subtypes(a, b):
    assert not is_subtype(a, b)


REFUND = RecordType("Refund", (Field("kind", LiteralType(("r",))), Field("n", INT)))
COMPLAINT = RecordType("Complaint", (Field("kind", LiteralType(("c",))), Field("n", INT)))
WIDER = RecordType("Wider", (*COMPLAINT.fields, Field("m", INT)))


def tree(height: int) -> RecordType:
    below = ListType(tree(height - 1)) if height > 1 else ListType(NeverType("Tree"), None, 0)
    return RecordType("Tree", (Field("of", below),), family="Tree", height=height, bound=3)


scalars = st.sampled_from(
    [
        STR,
        INT,
        FLOAT,
        BOOL,
        NONE,
        JSON,
        YES_NO,
        GRADE,
        POINT,
        IntType(0, 5),
        FloatType(0.0, 2.0),
        StrType(1, 4),
        StrType(pattern="a+"),
        LiteralType(("a", "yes")),
        REFUND,
        WIDER,
        UnionType((INT, STR)),
        UnionType((REFUND, COMPLAINT)),
        UnionType((REFUND, COMPLAINT, LiteralType(("a",)), ListType(INT))),
        tree(1),
        tree(3),
    ]
)
types = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(optional),
        st.builds(ListType, inner, st.none() | st.just(1), st.none() | st.just(4), st.booleans()),
        inner.map(DictType),
    ),
    max_leaves=4,
)


@given(types)
def test_a_type_is_a_subtype_of_itself_and_of_what_it_forgets(type_):
    assert is_subtype(type_, type_)
    assert is_subtype(type_, forget(type_))
    assert is_subtype(type_, optional(type_))


@given(types, types)
def test_a_join_holds_both(a, b):
    joined = join(a, b)
    assert joined is None or (is_subtype(a, joined) and is_subtype(b, joined))
    assert (joined is None) == (join(b, a) is None)


@given(types, types, types)
def test_subtypes_are_transitive(a, b, c):
    if is_subtype(a, b) and is_subtype(b, c):
        assert is_subtype(a, c)


@given(types, types)
def test_subtypes_are_comparable(a, b):
    if is_subtype(a, b) and NONE not in (a, b):
        assert comparable(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (REFUND, UnionType((REFUND, COMPLAINT))),
        (WIDER, UnionType((REFUND, COMPLAINT))),
        (UnionType((REFUND, WIDER)), UnionType((COMPLAINT, REFUND, INT))),
        (ListType(INT, unique=True), ListType(FLOAT)),
        (ListType(STR, None, 1), ListType(STR, unique=True)),
        (ListType(STR, 0, 0), ListType(INT, unique=True)),
        (tree(2), tree(3)),
        (ListType(tree(1), unique=True), ListType(tree(3), unique=True)),
    ],
)
def test_a_member_a_set_and_a_lower_level_fit(a, b):
    assert is_subtype(a, b) and not is_subtype(b, a)


def test_items_of_a_set_that_lose_fields_may_become_equal():
    assert is_subtype(ListType(WIDER), ListType(COMPLAINT))
    assert not is_subtype(ListType(WIDER, unique=True), ListType(COMPLAINT, unique=True))


def test_only_json_cannot_be_counted():
    assert has_equality(POINT)
    assert has_equality(ListType(OptionalType(FLOAT)))
    assert not has_equality(RecordType("R", (Field("data", JSON),)))
    assert has_equality(DictType(STR))
    assert not has_equality(DictType(JSON))


@pytest.mark.parametrize(
    ("value", "type_", "problem"),
    [
        (3, IntType(0, 5), None),
        (9, IntType(0, 5), "the value is `9`, but `int(0..5)` is required"),
        (True, INT, "the value is `True`, but `int` is required"),
        (1, FLOAT, None),
        (None, OptionalType(INT), None),
        ({"x": 1, "y": "2"}, POINT, '`y` is `"2"`, but `int` is required'),
        ([{"x": 1}], ListType(POINT), "`[0]` has no `y`"),
        ([], ListType(INT, 1), "the value has 0 items, but `list[int](1..)` is required"),
        ("good", GRADE, None),
        ("ok", GRADE, 'the value is `"ok"`, but `Grade` is required'),
    ],
)
def test_misfits(value, type_, problem):
    assert misfit(value, type_) == problem


def test_types_print_as_they_are_written():
    from lmc.check.scope import CheckContext, File
    from lmc.source import Source
    from lmc.syntax.parser import parse

    written = [
        "str",
        "int(0..10)",
        "int(..5)",
        "float(-1..0.5)",
        'str(1..200, r"[a-z]+")',
        "list[str](1..5)?",
        "dict[str, list[int]]",
        '"yes" | "no"',
        "json?",
    ]
    fields = "\n".join(f"f{i}: {text}" for i, text in enumerate(written))
    tree, problems = parse(Source("t.lmp", f"record R {{ {fields} }}"))
    assert not problems
    context = CheckContext(None, {}, {})  # type: ignore[arg-type]
    found = [str(resolve(context, File(tree, ""), f.type)) for f in tree.decls[0].fields]
    assert found == written
