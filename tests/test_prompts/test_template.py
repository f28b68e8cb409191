"""Templates: the module's own prompt, in a sandbox."""

from __future__ import annotations

import pytest

from lmc.diagnostics import LmcError
from lmc.prompts.layouts import layout_for
from lmc.prompts.spec import BARE, CallSpec, Demo, FieldSpec
from lmc.types import INT, JSON, STR, Field, ListType, RecordType

PASSAGE = RecordType("Passage", (Field("items", STR), Field("text", STR)))
SPEC = CallSpec(
    "Answer it.",
    (FieldSpec("question", STR), FieldSpec("notes", ListType(PASSAGE)), FieldSpec("n", INT)),
    (FieldSpec(BARE, INT),),
    INT,
    ("out > 0",),
)
INPUTS = {"question": "Why?", "notes": [{"items": "p1", "text": "So."}], "n": 3}
DEMOS = (Demo({"question": "Who?", "notes": [], "n": 1}, {BARE: 7}),)


def contents(template: dict[str, str], demos: tuple[Demo, ...] = ()) -> list[str]:
    return [m["content"] for m in layout_for("chat", template).prompt(SPEC, demos)(INPUTS)]


def test_parameters_and_slots_are_shown() -> None:
    user = """
{{ instructions }}
{% for p in notes %}[{{ p.items }}] {{ p.text }}
{% endfor %}{{ question }} {{ notes }} {{ n > 2 }}
{{ format }}
"""
    assert contents({"system": "You answer.", "user": user}) == [
        "You answer.",
        "Answer it.\n\nThe answer must satisfy: out > 0\n[p1] So.\n"
        'Why? [{"items": "p1", "text": "So."}] true\nReply with integer only.',
    ]


def test_demonstrations_are_turns_of_the_same_template() -> None:
    assert contents({"system": "S", "user": "{{ question }}"}, DEMOS) == ["S", "Who?", "7", "Why?"]


def test_a_template_may_show_demonstrations_itself() -> None:
    block = contents({"user": "{{ demos }}\n--\n{{ question }}"}, DEMOS)
    assert block == ["[[question]] Who?\n[[notes]] []\n[[n]] 1\n7\n--\nWhy?"]
    loop = "{% for d in demos %}{{ d.inputs.question }} {{ d.output }};{% endfor %} {{ question }}"
    assert contents({"user": loop}, DEMOS) == ["Who? 7; Why?"]


def test_only_a_system_template_leaves_the_question_to_the_layout() -> None:
    system, question = contents({"system": "{{ format }}"})
    assert system == "Reply with integer only."
    assert question.startswith("[[question]] Why?")


def test_answers_are_read_by_the_layout() -> None:
    layout = layout_for("json", {"user": "{{ question }}"})
    assert layout.parse(SPEC, '{"result": 5}') == {BARE: 5}
    assert layout.response_schema(SPEC) is not None


REFUSED = [
    "{{ ''.__class__.__mro__ }}",
    "{{ question.__init__.__globals__ }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ question.center(100000000) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ question | center(100000000) }}",
    "{{ question | indent(100000000) }}",
    "{{ range(1000000000) | list }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
    "{{ notes.append(1) }}",
    "{{ nope }}",
    "{{ notes[0].nope }}",
    "{{ question | nope }}",
    "{% if",
    "{% include '/etc/passwd' %}",
    "{{ n / 0 }}",
    "{{ cycler.__init__.__globals__.os }}",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_a_template_may_not_do_is_a_diagnostic(text: str) -> None:
    with pytest.raises(LmcError, match="bad-template"):
        contents({"user": text})


def test_input_text_is_never_a_template() -> None:
    layout = layout_for("chat", {"user": "{{ question }}"})
    spec = CallSpec("", (FieldSpec("question", JSON),), (FieldSpec(BARE, STR),), STR)
    messages = layout.prompt(spec, ())({"question": "{{ 7 * 7 }}"})
    assert messages == [{"role": "user", "content": "{{ 7 * 7 }}"}]
