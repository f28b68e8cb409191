"""Answers to unions, sets and dicts: what a weak model writes is read right, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmc.prompts.layouts import layout_for
from lmc.prompts.spec import BARE, CallSpec, FieldSpec, ParseFailure
from lmc.types import (
    BOOL,
    FLOAT,
    INT,
    STR,
    DictType,
    EnumType,
    Field,
    ListType,
    LiteralType,
    NeverType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
)
from lmc.values import InvalidValue, validate

REFUND = RecordType(
    "Refund", (Field("kind", LiteralType(("refund",)), "", True, "refund"), Field("amount", FLOAT))
)
COMPLAINT = RecordType(
    "Complaint", (Field("kind", LiteralType(("complaint",))), Field("text", STR))
)
EITHER = UnionType((REFUND, COMPLAINT))
A = RecordType("A", (Field("x", INT), Field("z", INT, "", True, 1)))
B = RecordType("B", (Field("x", INT), Field("y", INT)))
SHAPES = UnionType((A, B))
NUMBER_OR_TEXT = UnionType((INT, STR))
NUMBER_OR_WORD = UnionType((INT, LiteralType(("unknown",))))
TEXT_OR_LIST = UnionType((STR, ListType(STR)))
RECORD_OR_TEXT = UnionType((REFUND, STR))
GIVEN = '{"kind": "refund", "amount": 3}'
PAID = {"kind": "refund", "amount": 3.0}
COLD = {"kind": "complaint", "text": "cold"}

READ: list[tuple[str, Type, str, Any]] = [
    ("chat", EITHER, GIVEN, PAID),
    ("chat", EITHER, '{"Kind": "REFUND", "Amount": "3"}', PAID),
    ("chat", EITHER, '{"Refund": {"amount": 3}}', PAID),
    ("chat", EITHER, '{"complaint": {"text": "cold"}}', COLD),
    ("chat", EITHER, "kind: refund\namount: 3", PAID),
    ("chat", EITHER, "**kind**: complaint\n**text**: cold", COLD),
    ("chat", EITHER, f"Here it is:\n```json\n{GIVEN}\n```", PAID),
    ("chat", EITHER, '{"type": "Refund", "kind": "refund", "amount": 3}', PAID),
    ("json", EITHER, f'{{"result": {GIVEN}}}', PAID),
    ("json", EITHER, GIVEN, PAID),
    ("xml", EITHER, f"<result>{GIVEN}</result>", PAID),
    ("chat", SHAPES, '{"x": 1}', {"x": 1, "z": 1}),
    ("chat", SHAPES, '{"x": 1, "y": 2}', {"x": 1, "y": 2}),
    ("chat", SHAPES, '{"x": 1, "y": 2, "why": "seen"}', {"x": 1, "y": 2}),
    ("chat", ListType(OptionalType(EITHER)), f"[null, {GIVEN}]", [None, PAID]),
    ("chat", OptionalType(EITHER), "None", None),
    ("chat", NUMBER_OR_TEXT, "5", 5),
    ("chat", NUMBER_OR_TEXT, '"5"', "5"),
    ("chat", NUMBER_OR_TEXT, "about 5", "about 5"),
    ("chat", NUMBER_OR_TEXT, "'n/a'", "n/a"),
    ("json", NUMBER_OR_TEXT, '{"result": "5"}', "5"),
    ("json", NUMBER_OR_TEXT, '{"result": 5}', 5),
    ("chat", OptionalType(NUMBER_OR_TEXT), '"null"', "null"),
    ("chat", OptionalType(NUMBER_OR_TEXT), "null", None),
    ("chat", NUMBER_OR_WORD, "five", 5),
    ("chat", NUMBER_OR_WORD, "**Unknown**", "unknown"),
    ("chat", NUMBER_OR_WORD, "The answer is 5.", 5),
    ("chat", UnionType((BOOL, INT)), "7", 7),
    ("chat", UnionType((BOOL, INT)), "true", True),
    ("chat", TEXT_OR_LIST, '["a", "b"]', ["a", "b"]),
    ("chat", TEXT_OR_LIST, "[a, b]", ["a", "b"]),
    ("chat", TEXT_OR_LIST, "a, b", "a, b"),
    ("chat", TEXT_OR_LIST, '"[a]"', "[a]"),
    ("chat", RECORD_OR_TEXT, GIVEN, PAID),
    ("chat", RECORD_OR_TEXT, "There is no refund.", "There is no refund."),
    ("chat", RECORD_OR_TEXT, '"if x {y: 1}"', "if x {y: 1}"),
    ("chat", DictType(INT), '{"a": 1, "b": "2"}', {"a": 1, "b": 2}),
    ("chat", DictType(INT), "a: 1\nb: two", {"a": 1, "b": 2}),
    ("chat", DictType(INT), "Counts:\n- a: 1\n- b: 2", {"a": 1, "b": 2}),
    ("chat", DictType(INT), "{}", {}),
    ("json", DictType(INT), '{"result": {"a": 1}}', {"a": 1}),
    ("json", DictType(INT), '{"a": 1}', {"a": 1}),
    ("xml", DictType(EITHER), f'<result>{{"a": {GIVEN}}}</result>', {"a": PAID}),
    ("chat", ListType(STR, unique=True), '["a", "b", "a"]', ["a", "b"]),
    ("chat", ListType(STR, unique=True), "a, b, a", ["a", "b"]),
]
REFUSED: list[tuple[str, Type, str, str]] = [
    ("chat", EITHER, '{"amount": 3}', "`kind` that is one of: refund, complaint"),
    ("chat", EITHER, '{"kind": "other", "amount": 3}', "one of: refund, complaint"),
    ("chat", EITHER, '{"kind": "complaint", "amount": 3}', "`text` is missing"),
    ("chat", EITHER, f"{GIVEN}\n{json.dumps(COLD)}", "2 JSON objects"),
    ("chat", EITHER, '{"Refund": {"kind": "complaint", "amount": 3}}', "refund"),
    ("chat", EITHER, '{"type": "Complaint", "kind": "refund", "amount": 3}', "it says"),
    ("chat", EITHER, "kind: refund\namount: 3\ntext: cold", "no field `text`"),
    ("chat", EITHER, f"The draft says {GIVEN}", "quotation"),
    ("chat", EITHER, GIVEN[:-1], "cut off"),
    ("chat", EITHER, f"[{GIVEN}]", "a list is there"),
    ("chat", EITHER, "refund", "expected either"),
    ("chat", EITHER, "null", "expected either"),
    ("chat", EITHER, "", "the empty answer"),
    ("chat", SHAPES, '{"x": 1, "y": 2, "z": 3}', "`A` and `B`"),
    ("chat", SHAPES, '{"y": 2}', "`A` needs `x`; `B` needs `x`"),
    ("json", NUMBER_OR_TEXT, '{"result": true}', "a number or text"),
    ("chat", NUMBER_OR_WORD, "unknown, or maybe 5", "one value only"),
    ("chat", NUMBER_OR_WORD, "I cannot say", "; or "),
    ("chat", TEXT_OR_LIST, '["a"', "no JSON list"),
    ("chat", RECORD_OR_TEXT, "if x {amount: 1}", "in quotes"),
    ("chat", DictType(INT), "a: 1\na: 2", "twice"),
    ("chat", DictType(INT), "The answer: 5", "no JSON object"),
    ("chat", DictType(INT), '{"a": 1} or {"a": 2}', "2 JSON objects"),
    ("json", DictType(INT), '{"result": 3}', "must be an object"),
    ("chat", ListType(STR, 2, 3, unique=True), '["a", "a"]', "at least 2"),
]


def read(layout: str, type: Type, text: str) -> Any:
    spec = CallSpec("Do it.", (FieldSpec("q", STR),), (FieldSpec(BARE, type),), type)
    return validate(type, layout_for(layout).parse(spec, text)[BARE], lenient=True)


@pytest.mark.parametrize(("layout", "type", "text", "value"), READ)
def test_an_answer_is_read(layout: str, type: Type, text: str, value: Any) -> None:
    found = read(layout, type, text)
    assert found == value and found.__class__ is value.__class__


@pytest.mark.parametrize(("layout", "type", "text", "why"), REFUSED)
def test_an_answer_is_refused_with_the_reason(layout: str, type: Type, text: str, why: str) -> None:
    with pytest.raises((ParseFailure, InvalidValue), match=why):
        read(layout, type, text)


def tree(height: int) -> RecordType:
    lower = ListType(tree(height - 1)) if height > 1 else ListType(NeverType("Tree"), None, 0)
    fields = (Field("label", STR, "in a word"), Field("children", lower))
    return RecordType("Tree", fields, "a tree", family="Tree", height=height, bound=3)


def test_a_recursive_record_is_described_by_its_name() -> None:
    spec = CallSpec("", (), (FieldSpec(BARE, ListType(tree(3))),), ListType(tree(3)))
    assert layout_for("chat").format_text(spec) == (
        'Reply with JSON list of JSON object Tree {"label": text (in a word), "children": JSON list'
        " of Tree} (a tree) nested at most 3 deep only."
    )


def test_schemas_of_fields_share_their_definitions() -> None:
    result = RecordType("R", (Field("one", tree(2), "the first"), Field("all", ListType(tree(2)))))
    outputs = tuple(FieldSpec(f.name, f.type, f.note) for f in result.fields)
    schema = layout_for("json").response_schema(CallSpec("", (), outputs, result))
    assert schema is not None
    assert list(schema["$defs"]) == ["Tree-2", "Tree-1"]
    assert schema["properties"]["one"] == {
        "anyOf": [{"$ref": "#/$defs/Tree-2"}],
        "description": "the first",
    }
    assert schema["properties"]["all"]["items"] == {"$ref": "#/$defs/Tree-2"}


def test_texts_of_a_union_have_quotes_in_prompts() -> None:
    mixed = UnionType((INT, EnumType("E", ("a", "b"))))
    spec = CallSpec("", (FieldSpec("q", mixed),), (FieldSpec(BARE, mixed),), mixed)
    layout = layout_for("chat")
    assert layout.inputs_text(spec, {"q": "a"}) == '[[q]] "a"'
    assert layout.answer_text(spec, {BARE: "a"}) == '"a"'
    assert layout.answer_text(spec, {BARE: 3}) == "3"
