"""Thoughts before an answer are no part of it."""

import pytest

from lmc.prompts.layouts import layout_for
from lmc.prompts.spec import BARE, CallSpec, FieldSpec, ParseFailure
from lmc.prompts.thinking import answer_so_far, without_thoughts
from lmc.runtime.traces import Trace
from lmc.types import BOOL, INT, STR, Field, RecordType
from tests.test_runtime.graphs import executor, generate

TEXT = CallSpec("", (), (FieldSpec(BARE, STR),), STR)
VERDICT = RecordType("V", (Field("ok", BOOL), Field("why", STR)))
FIELDS = CallSpec("", (), tuple(FieldSpec(f.name, f.type) for f in VERDICT.fields), VERDICT)


@pytest.mark.parametrize(
    "text",
    [
        "<think>17 or 42?\nno</think>\n\n42",
        "\n<THINK></think>42",
        "<thinking>[[ok]] no </think> </thinking> 42",
        "it is even, so\n</think>\n42",  # the template opened the block in the prompt
    ],
)
def test_a_block_of_thoughts_is_dropped(text: str) -> None:
    assert without_thoughts(TEXT, text) == "42"


@pytest.mark.parametrize(
    "text", ["42", "a < b", "say `<think>` first", "HTML has no `</think>` mark", "<b>42</b>"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_thoughts(TEXT, text) == text


def test_a_field_of_that_name_is_no_thought() -> None:
    own = RecordType("R", (Field("think", STR),))
    spec = CallSpec("", (), (FieldSpec("think", STR),), own)
    text = "<think>aloud</think>"
    assert layout_for("xml").parse(spec, without_thoughts(spec, text)) == {"think": "aloud"}


def test_thoughts_without_end_are_no_answer() -> None:
    with pytest.raises(ParseFailure, match="max_tokens"):
        without_thoughts(TEXT, "<think>17 or 42? Let me")


def test_marks_within_thoughts_do_not_count() -> None:
    text = "<think>maybe [[ok]] false [[why]] no</think>[[ok]] true\n[[why]] it is"
    read = layout_for("chat").parse(FIELDS, without_thoughts(FIELDS, text))
    assert read == {"ok": True, "why": "it is"}


async def test_the_trace_keeps_the_thoughts() -> None:
    raw, trace = "<think>6 * 7</think>42", Trace()
    assert await executor([raw], generate("g", INT)).run("g", {"x": "?"}, trace=trace) == 42
    assert trace.calls[0].raw == [raw]
    assert trace.calls[0].result == 42


async def test_an_answer_cut_off_in_thought_is_asked_for_again() -> None:
    assert await executor(["<think>6 * 7 is", "42"], generate("g", INT)).run("g", {"x": "?"}) == 42


def test_what_is_heard_of_a_thinking_model_is_its_answer() -> None:
    text, heard = "<think>6 * 7</think>\nIt is 42", ""
    for end in range(len(text) + 1):
        so_far = answer_so_far(text[:end])
        assert so_far.startswith(heard)
        heard = so_far
    assert heard == "It is 42"
    assert answer_so_far("<th") == ""
    assert answer_so_far("<them>") == "<them>"
