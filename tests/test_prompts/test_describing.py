"""Notes and docs reach the prompt at every depth and in every layout."""

from __future__ import annotations

import pytest

from lmc.prompts.describing import describe_type
from lmc.prompts.layouts import LAYOUTS
from lmc.prompts.spec import BARE, CallSpec, FieldSpec
from lmc.types import (
    BOOL,
    FLOAT,
    INT,
    JSON,
    STR,
    DictType,
    EnumType,
    Field,
    IntType,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
)

KIND = EnumType("Kind", ("billing", "tech"), ("about money", "about code"), "what it is about")
PART = RecordType(
    "Part", (Field("kind", KIND, "the kind note"), Field("cents", FLOAT, "no dollars")), "a part"
)
OTHER = RecordType("Other", (Field("x", INT, "the x note"),))
WHOLE = RecordType(
    "Whole",
    (
        Field("own", STR, "the own note"),
        Field("part", PART, "the part note"),
        Field("parts", ListType(OptionalType(PART)), "the parts note"),
        Field("named", DictType(ListType(PART))),
        Field("either", UnionType((OTHER, INT))),
    ),
    "the whole thing",
)
NOTES = [
    "about money", "about code", "what it is about", "the kind note", "no dollars", "a part",
    "the own note", "the part note", "the parts note", "the x note", "the whole thing",
]  # fmt: skip


def asked(layout: str, result: Type) -> str:
    fields = result.fields if isinstance(result, RecordType) else (Field(BARE, result),)
    outputs = tuple(FieldSpec(f.name, f.type, f.note) for f in fields)
    return LAYOUTS[layout].prompt(CallSpec("", (), outputs, result), ())({})[0]["content"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("note", NOTES)
def test_every_note_reaches_the_model(layout: str, note: str) -> None:
    assert note in asked(layout, WHOLE)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrap", [ListType, OptionalType, DictType, lambda t: UnionType((t, STR))])
def test_every_note_of_a_bare_result_reaches_the_model(layout: str, wrap: type) -> None:
    text = asked(layout, wrap(WHOLE))
    assert [note for note in NOTES if note not in text] == []


def test_notes_stand_behind_what_they_are_about() -> None:
    assert describe_type(PART) == (
        'JSON object {"kind": one of: billing (about money), tech (about code) (what it is about) '
        '(the kind note), "cents": number (no dollars)} (a part)'
    )


PLAIN: list[tuple[Type, str]] = [
    (IntType(0, 10), "integer from 0 to 10"),
    (LiteralType(("yes", "no")), "one of: yes, no"),
    (EnumType("E", ("a", "b"), ("", "note")), "one of: a, b (note)"),
    (ListType(BOOL, 1, 3), "JSON list of 1 to 3 items of true or false"),
    (RecordType("R", (Field("a", OptionalType(STR)),)), 'JSON object {"a": text, or null}'),
    (UnionType((INT, STR)), "either integer, or text (in quotes)"),
    (LiteralType(("refund",)), '"refund"'),
    (ListType(STR, 1, 3, unique=True), "JSON list without repetitions of 1 to 3 items of text"),
    (JSON, "JSON value"),
]


@pytest.mark.parametrize(("type", "words"), PLAIN)
def test_without_notes_the_words_are_those_that_models_were_trained_on(
    type: Type, words: str
) -> None:
    assert describe_type(type) == words
