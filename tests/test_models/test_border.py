import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.models import border
from lmc.models.base import Answer, ModelFailure, Request, Sampling
from lmc.models.border import (
    MOST_TOKENS,
    WrongReply,
    judge,
    read_completion,
    sound,
    sound_text,
    token_count,
    with_estimates,
)
from tests.loopback import said

ASK = Request("m", ({"role": "user", "content": "one two"},), logprobs=True)
NAN, INF = float("nan"), float("inf")

JUDGED = [
    (said("yes"), "yes"),
    (said("yes", None), "yes"),
    (said("yes", "eos"), "yes"),
    (said("yes", "STOP"), "yes"),
    (said([{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]), "yes"),
    (said([{"type": "thinking", "text": "hm"}, {"text": "yes"}]), "yes"),
    (said("yes", "stop", tool_calls=[{"id": "1"}]), "yes"),
    (said(""), "empty"),
    (said(None), "empty"),
    (said(" \n\t"), "empty"),
    (said([]), "empty"),
    (said("half of", "length"), "length"),
    (said(None, "length", reasoning_content="hm"), "length"),
    (said("half of", "MAX_TOKENS"), "length"),
    (said("", "content_filter"), "content_filter"),
    (said("half of", "content_filter"), "content_filter"),
    (said(None, "SAFETY"), "content_filter"),
    (said(None, "tool_calls", tool_calls=[{"id": "1"}]), "tool_calls"),
    (said(None, "stop", tool_calls=[{"id": "1"}]), "tool_calls"),
    (said(None, "function_call"), "tool_calls"),
    (said(None, "stop", refusal="No."), "refusal"),
    (said("I", "stop", refusal="No."), "refusal"),
    (said("half of", "error"), "server"),
]


@pytest.mark.parametrize(("body", "expected"), JUDGED, ids=range(len(JUDGED)))
def test_what_an_answer_is(body, expected):
    (answer,) = read_completion(body, ASK)
    outcome = judge(sound(answer), "m")
    if isinstance(outcome, Answer):
        assert outcome.text == expected
    else:
        assert (
            outcome.kind == expected and outcome.retryable and outcome.paid[0].text == answer.text
        )
        assert "`m`" in outcome.message


WRONG = [
    None,
    [],
    "choices",
    {},
    {"choices": None},
    {"choices": {}},
    {"choices": "none"},
    {"choices": []},
    {"choices": [None]},
    {"choices": [{}]},
    {"choices": [{"message": None}]},
    {"choices": [{"message": "yes"}]},
    {"choices": [{"text": "yes"}]},
    said(7),
    said(True),
    said({"answer": "yes"}),
    said(["yes"]),
    said([{"type": "text", "text": 1}]),
    said("yes", 5),
    said("yes", ["stop"]),
    said("yes", refusal=["No."]),
    {"choices": [{**said("yes")["choices"][0], "logprobs": [1]}]},
    {"choices": [{**said("yes")["choices"][0], "logprobs": {"content": [{"logprob": "x"}]}}]},
    {"choices": [{**said("yes")["choices"][0], "logprobs": {"content": [{"logprob": NAN}]}}]},
]


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_what_is_no_reply(body):
    with pytest.raises(WrongReply):
        read_completion(body, ASK)


@pytest.mark.parametrize(
    "value", [None, -1, -1e6, NAN, INF, 1e308, 10**30, MOST_TOKENS + 1, "12", True, 2.5, [], {}]
)
def test_counts_that_are_none(value):
    body = said("yes") | {"usage": {"prompt_tokens": value, "completion_tokens": value}}
    answers = read_completion(body, ASK)
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == (0, 0)
    ((told,), estimated) = with_estimates(answers, ASK)
    assert estimated and told.prompt_tokens >= 2 and told.completion_tokens >= 1
    assert sound(Answer("yes", value, value, value)).cost_usd >= 0.0


@pytest.mark.parametrize("usage", [None, [], "many", 3, {}])
def test_usage_that_is_none(usage):
    assert read_completion(said("yes") | {"usage": usage}, ASK)[0].prompt_tokens == 0


def test_counts_that_are_some():
    assert [token_count(v) for v in (0, 7, 7.0, MOST_TOKENS)] == [0, 7, 7, MOST_TOKENS]


def test_all_choices_that_were_paid_count_but_only_those_wanted_are_kept():
    choices = [{**said(text)["choices"][0], "index": i} for i, text in enumerate("abc")]
    body = {"choices": choices[::-1], "usage": {"prompt_tokens": 4, "completion_tokens": 9}}
    (answer,) = read_completion(body, ASK)
    assert (answer.text, answer.completion_tokens) == ("a", 9)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("half \ud83d end", "half \ufffd end"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("nul\0", "nul\ufffd"),
        ("grün", "grün"),
    ],
)
def test_text_that_cannot_be_written(text, right):
    assert sound_text(text) == right == sound(Answer(text)).text


@given(st.text(st.characters(codec=None, categories=None)))
def test_text_is_sound_afterwards(text):
    made = sound_text(text)
    assert "\0" not in made and made.encode("utf-8").decode("utf-8") == made


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = [
    *("choices", "message", "content", "usage", "finish_reason", "logprobs", "index"),
    *("refusal", "tool_calls", "prompt_tokens", "completion_tokens", "text", "logprob"),
]


def nested(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)


anything = st.recursive(scalars, nested, max_leaves=30)


@given(st.lists(anything, min_size=1, max_size=3), anything, anything, anything)
def test_whatever_comes_is_an_answer_or_a_failure(contents, finish, usage, logprobs):
    choices = [
        {"message": {"content": c}, "finish_reason": finish, "logprobs": logprobs} for c in contents
    ]
    try:
        answers = read_completion({"choices": choices, "usage": usage}, ASK)
    except WrongReply:
        return
    for answer in answers:
        made = sound(answer)
        assert 0 <= made.prompt_tokens <= MOST_TOKENS and type(made.completion_tokens) is int
        json.dumps(made.text).encode()
        assert all(math.isfinite(p) for p in made.logprobs or ())
        assert isinstance(judge(made, "m"), Answer | ModelFailure)


def test_text_is_cut_at_stop_before_it_is_judged():
    request = Request("m", ASK.messages, Sampling(stop=("END",)))
    (answer,) = read_completion(said("END of it"), request)
    outcome = judge(answer, "m")
    assert isinstance(outcome, ModelFailure) and outcome.kind == "empty"


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("I do. " * 40, True),
        ('{"people": "' + "of the world, the people " * 20 + "of the wor", True),
        ("x" * 159, False),
        ("x" * 160, True),
        ("".join(f"{n} and {n + 1}, " for n in range(60)), False),
        ("one line of a poem\n" * 20 + "and its end", False),
        ("", False),
    ],
)
def test_a_text_that_repeats_itself_is_told_from_a_long_one(text, loops):
    assert border.loops(text) is loops
    failure = judge(Answer(text, completion_tokens=9, finish_reason="length"), "m")
    assert isinstance(failure, ModelFailure) and failure.looped is loops
    assert ("repeats itself" in failure.message) is loops
    assert isinstance(judge(Answer(text or "a"), "m"), Answer)  # it ended by itself


def test_failures_travel_between_processes():
    failure = ModelFailure("length", "cut", retryable=True, hint="more", paid=[Answer("a")])
    failure.add_note("late")
    again = pickle.loads(pickle.dumps(failure))
    assert vars(again) == vars(failure) and str(again) == str(failure)
