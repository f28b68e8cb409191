"""What an unfinished answer has given is a part of what the whole answer gives."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.prompts.growth import ABSENT, Growth
from lmc.prompts.layouts import LAYOUTS
from lmc.prompts.spec import BARE, CallSpec, FieldSpec, ParseFailure
from lmc.types import (
    BOOL,
    FLOAT,
    INT,
    JSON,
    STR,
    DictType,
    EnumType,
    Field,
    ListType,
    OptionalType,
    RecordType,
    StrType,
    Type,
)
from lmc.values import validate

ITEM = RecordType(
    "Item", (Field("name", STR), Field("price", FLOAT), Field("code", OptionalType(STR)))
)
ORDER = RecordType(
    "Order",
    (
        Field("kind", EnumType("Kind", ("new", "newer"))),
        Field("reply", STR),
        Field("items", ListType(ITEM)),
        Field("counts", DictType(INT)),
        Field("sure", BOOL),
        Field("id", StrType(pattern=r"[A-Z]{2}\d+")),
        Field("rest", JSON),
        Field("tags", ListType(STR), "", True, []),
    ),
)
BITS = st.sampled_from(["a", "b ", "[[kind]]", "</reply>", "<|im_end|>", '"', "{", "\\", "\n"])
TEXTS = st.lists(BITS, max_size=4).map(lambda bits: "".join(bits).strip())
ITEMS = st.fixed_dictionaries(
    {"name": TEXTS, "price": st.sampled_from([0.5, 12.0, 1e21]), "code": st.none() | TEXTS}
)
ORDERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["new", "newer"]),
        "reply": TEXTS,
        "items": st.lists(ITEMS, max_size=3),
        "counts": st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 100)),
        "sure": st.booleans(),
        "id": st.just("AB12"),
        "rest": st.sampled_from([None, 1, [1, 22], {"a": "b"}]),
        "tags": st.lists(TEXTS, max_size=2),
    }
)


def spec_of(result: Type) -> CallSpec:
    fields = result.fields if isinstance(result, RecordType) else (Field(BARE, result),)
    outputs = tuple(FieldSpec(f.name, f.type) for f in fields)
    return CallSpec("Do it.", (), outputs, result)


def is_part(part: Any, whole: Any) -> bool:
    """Whether a value may grow to another: texts and lists begin alike, dicts have fewer keys."""
    match part, whole:
        case str(), str():
            return whole.startswith(part)
        case dict(), dict():
            return all(key in whole and is_part(part[key], whole[key]) for key in part)
        case list(), list():
            return len(part) <= len(whole) and all(map(is_part, part, whole))
    return type(part) is type(whole) and part == whole


def so_far(layout: str, spec: CallSpec, text: str, *whole: str) -> Any:
    growth = Growth(frozenset(tuple(path.split(".")) for path in whole))
    try:
        return LAYOUTS[layout].so_far(spec, text, growth)
    except ParseFailure:
        return {}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(order=ORDERS)
def test_every_beginning_of_an_answer_gives_a_part_of_it(layout: str, order: Any) -> None:
    spec = spec_of(ORDER)
    text = LAYOUTS[layout].answer_text(spec, order)
    assert LAYOUTS[layout].parse(spec, text) == order
    for end in range(len(text) + 1):
        found = so_far(layout, spec, text[:end])
        assert is_part(found, order), (text[:end], found)
    assert so_far(layout, spec, text).keys() >= order.keys() - {"tags"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("type", "value"),
    [(ListType(STR), ["one", "two"]), (ListType(INT), [1, 23]), (INT, 12), (STR, "some text")],
)
def test_results_that_are_no_records(layout: str, type: Type, value: Any) -> None:
    spec = spec_of(type)
    text = LAYOUTS[layout].answer_text(spec, {BARE: value})
    for end in range(len(text) + 1):
        found = so_far(layout, spec, text[:end]).get(BARE, ABSENT)
        assert found is ABSENT or is_part(found, value)


def grows(layout: str, text: str, pick: Any, *whole: str) -> list[Any]:
    """The values that a part of the order takes one after another."""
    spec, seen = spec_of(ORDER), []
    for end in range(len(text) + 1):
        try:
            value = pick(so_far(layout, spec, text[:end], *whole))
        except (LookupError, TypeError):
            continue
        if value not in seen:
            seen.append(value)
    return seen


ANSWER = {
    "kind": "newer",
    "reply": "Yes.",
    "items": [
        {"name": "lamp", "price": 12.5, "code": None},
        {"name": "b", "price": 1.0, "code": "x"},
    ],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_label_and_a_number_come_whole_and_texts_grow(layout: str) -> None:
    text = LAYOUTS[layout].answer_text(spec_of(ORDER), ANSWER)
    assert grows(layout, text, lambda v: v["kind"]) == ["newer"]
    assert grows(layout, text, lambda v: v["reply"])[-3:] == ["Ye", "Yes", "Yes."]
    assert grows(layout, text, lambda v: v["items"][0]["price"]) == [12.5]
    assert grows(layout, text, lambda v: len(v["items"])) == [0, 1, 2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_field_can_be_asked_to_come_whole(layout: str) -> None:
    text = LAYOUTS[layout].answer_text(spec_of(ORDER), ANSWER | {"counts": {"a": 1}})
    assert grows(layout, text, lambda v: v["reply"], "reply") == ["Yes."]
    assert grows(layout, text, lambda v: v["items"][0]["name"], "items.name") == ["lamp"]
    assert grows(layout, text, lambda v: len(v["items"]), "items") == [2]


def test_a_record_with_defaults_is_not_taken_for_whole() -> None:
    inner = RecordType("Inner", (Field("a", INT, "", True, 0), Field("b", INT, "", True, 0)))
    spec = spec_of(RecordType("Outer", (Field("inner", inner), Field("after", INT))))
    text = '{"inner": {"a": 1, "b": 2}, "after": 3}'
    seen = [so_far("json", spec, text[:end], "inner").get("inner") for end in range(len(text))]
    assert next(v for v in seen if v is not None) == {"a": 1, "b": 2}
    assert validate(inner, {}) == {"a": 0, "b": 0}  # so half of it would be a valid value


@pytest.mark.parametrize("layout", LAYOUTS)
@given(noise=st.text(st.sampled_from('[]{}<>/"\\ab:,[[kind]]\n0'), max_size=30))
def test_no_text_of_a_model_breaks_it(layout: str, noise: str) -> None:
    found = so_far(layout, spec_of(ORDER), noise)
    assert set(found) <= {f.name for f in ORDER.fields}


def test_a_list_of_many_items_is_read_in_one_go() -> None:
    text = '{"tags": [' + '"a", ' * 50_000
    assert re.match(r"\{", text)
    assert len(so_far("json", spec_of(ORDER), text)["tags"]) == 50_000
