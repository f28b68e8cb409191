"""Every layout: what it writes it reads back, and much that models write besides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lmc.diagnostics import LmcError
from lmc.prompts.layouts import LAYOUTS, layout_for
from lmc.prompts.spec import BARE, REASONING, CallSpec, Demo, FieldSpec, ParseFailure
from lmc.prompts.values import parse_value
from lmc.types import (
    BOOL,
    INT,
    STR,
    Field,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    Type,
)

SOLUTION = RecordType(
    "Solution",
    (
        Field("steps", ListType(STR), "one step per item"),
        Field("answer", INT),
        Field("unit", OptionalType(STR), "", True, None),
    ),
)
ONE = RecordType("One", (Field("result", INT),))
INPUTS = {"problem": "2 + 2?", "hints": ["add"]}
SOLVED = {"steps": ["2 + 2 = 4"], "answer": 4}


def spec_of(result: Type, *, reason: bool = False, requirements: tuple[str, ...] = ()) -> CallSpec:
    if isinstance(result, RecordType):
        outputs = tuple(FieldSpec(f.name, f.type, f.note) for f in result.fields)
    else:
        outputs = (FieldSpec(BARE, result),)
    if reason:
        outputs = (FieldSpec(REASONING, STR, "think step by step"), *outputs)
    inputs = (FieldSpec("problem", STR), FieldSpec("hints", ListType(STR)))
    return CallSpec("Solve it.", inputs, outputs, result, requirements)


PLAIN = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
ANSWERS: list[tuple[CallSpec, st.SearchStrategy[Any]]] = [
    (spec_of(INT), st.fixed_dictionaries({BARE: st.integers()})),
    (spec_of(STR), st.fixed_dictionaries({BARE: PLAIN})),
    (spec_of(BOOL), st.fixed_dictionaries({BARE: st.booleans()})),
    (spec_of(ListType(STR)), st.fixed_dictionaries({BARE: st.lists(st.text(max_size=4))})),
    (spec_of(ONE), st.fixed_dictionaries({"result": st.integers()})),
    (
        spec_of(SOLUTION),
        st.fixed_dictionaries(
            {"steps": st.lists(st.text(max_size=4)), "answer": st.integers()},
            optional={
                "unit": st.none()
                | PLAIN.filter(lambda t: t.lower() not in ("null", "none", "nothing"))
            },
        ),
    ),
    (
        spec_of(LiteralType(("yes", "no")), reason=True),
        st.fixed_dictionaries({REASONING: PLAIN, BARE: st.sampled_from(["yes", "no"])}),
    ),
]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(("spec", "answers"), ANSWERS, ids=lambda v: str(getattr(v, "result", "")))
@given(st.data())
def test_what_a_layout_writes_it_reads_back(
    name: str, spec: CallSpec, answers: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    layout, outputs = layout_for(name), data.draw(answers)
    demos = (Demo(INPUTS, outputs),)
    messages = layout.prompt(spec, demos)(INPUTS)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert layout.parse(spec, messages[2]["content"]) == outputs
    assert messages[1] == messages[3]
    if schema := layout.response_schema(spec):
        Draft202012Validator(schema).validate(outputs)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"steps": ["2 + 2 = 4"], "answer": 4}\n```',
        "Of course! {'Steps': ['2 + 2 = 4'], 'answer': '4 apples'} is it.",
        'steps: ["2 + 2 = 4"]\nanswer: **4**',
    ],
)
def test_an_answer_in_another_form_is_read(name: str, text: str) -> None:
    assert layout_for(name).parse(spec_of(SOLUTION), text) == SOLVED


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_list_of_records_may_stand_alone(name: str) -> None:
    spec = spec_of(ListType(ONE))
    assert layout_for(name).parse(spec, '[{"result": 1}, {"result": 2}]') == {
        BARE: [{"result": 1}, {"result": 2}]
    }


def test_a_wrapped_result_is_read_under_its_name() -> None:
    layout = layout_for("json")
    assert layout.parse(spec_of(ListType(ONE)), '{"result": [{"result": 1}]}') == {
        BARE: [{"result": 1}]
    }
    for text in ('{"reslt": 5}', '{"result": 5', '{"value": 5}', 'Sure: {"result": 1'):
        with pytest.raises(ParseFailure):
            layout.parse(spec_of(INT), text)


@pytest.mark.parametrize("name", LAYOUTS)
def test_reasoning_may_stand_before_a_bare_answer(name: str) -> None:
    spec = spec_of(INT, reason=True)
    assert layout_for(name).parse(spec, "2 and 2 make 4. So the answer is 4.") == {BARE: 4}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_plain_string_is_taken_as_it_is(name: str) -> None:
    spec = spec_of(STR)
    text = '{"result": "x"} [[result]] <result>y</result>'
    assert layout_for(name).parse(spec, f" {text}\n") == {BARE: text}
    assert layout_for(name).response_schema(spec) is None
    assert layout_for(name).prompt(spec, ())(INPUTS)[0]["content"] == "Solve it."


@pytest.mark.parametrize("name", LAYOUTS)
def test_requirements_are_told(name: str) -> None:
    messages = layout_for(name).prompt(spec_of(INT, requirements=("out > 3",)), ())(INPUTS)
    assert "must satisfy: out > 3" in messages[0]["content"]


MARKED = {
    "chat": 'Thinking.\n**[[Steps]]:** ["2 + 2 = 4"]\n## [[ answer ]] 4',
    "xml": 'Thinking.\n<Steps>["2 + 2 = 4"]</Steps>\nand\n<answer>4',
    "json": '{"steps": ["2 + 2 = 4"], "answer": 4}',
}


@pytest.mark.parametrize(("name", "text"), MARKED.items())
def test_marks_may_be_dressed_up(name: str, text: str) -> None:
    assert layout_for(name).parse(spec_of(SOLUTION), text) == SOLVED


@pytest.mark.parametrize(
    ("name", "text"), [("chat", "[[answer]] 4"), ("xml", "<answer>4</answer>")]
)
def test_a_missing_mark_is_named(name: str, text: str) -> None:
    with pytest.raises(ParseFailure, match=r"steps.* is missing; reply with"):
        layout_for(name).parse(spec_of(SOLUTION), text)


def test_tags_inside_a_value_do_not_end_it() -> None:
    spec = spec_of(RecordType("Page", (Field("html", STR), Field("title", STR))))
    outputs = {"html": "<b>x</b> < 3 & </html> y", "title": "t"}
    layout = layout_for("xml")
    assert layout.parse(spec, layout.answer_text(spec, outputs)) == outputs


def test_chat_prompt_is_the_text_models_were_trained_on() -> None:
    spec = spec_of(SOLUTION, reason=True, requirements=("out.answer >= 0",))
    messages = layout_for("chat").prompt(spec, (Demo(INPUTS, SOLVED),))(INPUTS)
    assert messages == [
        {
            "role": "system",
            "content": "Solve it.\n\nReply with these fields, each after its mark:\n"
            "[[reasoning]] text: think step by step\n"
            "[[steps]] JSON list of text: one step per item\n"
            "[[answer]] integer\n"
            "[[unit]] text, or null\n\n"
            "The answer must satisfy: out.answer >= 0",
        },
        {"role": "user", "content": '[[problem]] 2 + 2?\n[[hints]] ["add"]'},
        {"role": "assistant", "content": '[[steps]] ["2 + 2 = 4"]\n[[answer]] 4'},
        {"role": "user", "content": '[[problem]] 2 + 2?\n[[hints]] ["add"]'},
    ]


def test_an_unknown_layout_is_told_with_its_neighbour() -> None:
    with pytest.raises(LmcError, match=r"unknown-layout.*did you mean `json`"):
        layout_for("jsn")


def test_fences_inside_of_a_list_are_its_own() -> None:
    assert parse_value(ListType(STR), '["```", "```"]') == ["```", "```"]
    assert parse_value(ListType(STR), 'Sure:\n```json\n["a"]\n```') == ["a"]
