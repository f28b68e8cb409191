"""Choices and truth values are read right or refused: a denied label is not the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.prompts.labels import read_bool, read_choice
from lmc.prompts.spec import ParseFailure
from lmc.types import EnumType, LiteralType

Choice = EnumType | LiteralType
SPAM = LiteralType(("spam", "ham"))
NOT_SPAM = LiteralType(("SPAM", "NOT_SPAM"))
SENTIMENT = LiteralType(("very_positive", "positive", "negative", "very_negative"))
YES_NO, LETTERS, ABC = (
    LiteralType(("yes", "no")),
    LiteralType(("(A)", "(B)")),
    LiteralType(("A", "B", "C")),
)
SIGNS = LiteralType(("+", "-"))
RELEVANCE = EnumType("Relevance", ("direct", "partly_so", "none_"))
LEVEL = LiteralType(("low", "medium", "high"))
SUPPORT = LiteralType(("supported", "not_supported", "unclear"))
KIND = EnumType("Kind", ("billing", "technical", "other"))

READ: list[tuple[Choice, str, str]] = [
    (LEVEL, "The risk is high", "high"),
    (LEVEL, "It's not low; it is high.", "high"),
    (LEVEL, "neither low nor high, so medium", "medium"),
    (SUPPORT, "The claim is supported.", "supported"),
    (SUPPORT, "The claim is not supported", "not_supported"),
    (NOT_SPAM, "not clearly spam, so NOT_SPAM", "NOT_SPAM"),
    (NOT_SPAM, "not spam", "NOT_SPAM"),
    (NOT_SPAM, "This is not spam", "NOT_SPAM"),
    (NOT_SPAM, "SPAM", "SPAM"),
    (NOT_SPAM, "**not-spam**", "NOT_SPAM"),
    (SPAM, "spam (not ham)", "spam"),
    (SPAM, "spam, not ham", "spam"),
    (SPAM, "It is not ham, it is spam", "spam"),
    (SPAM, "not ham but spam", "spam"),
    (SPAM, "ham rather than spam", "ham"),
    (SPAM, "Is it spam? ham", "ham"),
    (SPAM, "no doubt it is spam", "spam"),
    (SPAM, "**Spam**", "spam"),
    (SPAM, "`SPAM`", "spam"),
    (SPAM, "[spam]", "spam"),
    (SPAM, "<spam>", "spam"),
    (SPAM, '"Spam".', "spam"),
    (SPAM, "Label: spam", "spam"),
    (SPAM, "Category: **ham**", "ham"),
    (SPAM, "The answer is spam.", "spam"),
    (SPAM, "spam\n\nThe sender is unknown.", "spam"),
    (SPAM, "ham - although it looks like spam", "ham"),
    (SPAM, "It looks like spam, so spam", "spam"),
    (SPAM, "It has traits of spam and of ham.\nham", "ham"),
    (SPAM, "I'd classify this as spam", "spam"),
    (SPAM, "Spam: no. Ham: yes", "ham"),
    (SENTIMENT, "very_positive", "very_positive"),
    (SENTIMENT, "very positive", "very_positive"),
    (SENTIMENT, "positive", "positive"),
    (SENTIMENT, "I find it very positive", "very_positive"),
    (SENTIMENT, "not positive but negative", "negative"),
    (SENTIMENT, "Very Positive!", "very_positive"),
    (YES_NO, "Answer: YES", "yes"),
    (YES_NO, "'No'.", "no"),
    (YES_NO, "yes or no? So the answer is no.", "no"),
    (YES_NO, "**Yes**\n\nThere is no doubt.", "yes"),
    (YES_NO, "Yes, because it fits.", "yes"),
    (YES_NO, "no, it is fine", "no"),
    (RELEVANCE, "none", "none_"),
    (RELEVANCE, "Partly so", "partly_so"),
    (RELEVANCE, "I would say it is direct", "direct"),
    (LETTERS, "So the answer is (B).", "(B)"),
    (LETTERS, "B", "(B)"),
    (LETTERS, "a thing like (A) is best", "(A)"),
    (ABC, "A", "A"),
    (ABC, "A.", "A"),
    (ABC, "A) because", "A"),
    (ABC, "Option B", "B"),
    (ABC, "The answer is C", "C"),
    (ABC, "(B)", "B"),
    (SIGNS, "-", "-"),
    (KIND, "billing", "billing"),
    (KIND, "BILLING: refund", "billing"),
    (KIND, "technical issue", "technical"),
    (KIND, "It's a billing problem", "billing"),
    (KIND, "Billing (the customer mentions technical words)", "billing"),
    (EnumType("Case", ("Ham", "HAM")), "HAM", "HAM"),
]

REFUSED: list[tuple[Choice, str]] = [
    (LEVEL, "medium to high"),
    (LEVEL, "medium-high"),
    (LEVEL, "higher"),
    (SUPPORT, "unsupported"),
    (SPAM, "not spam"),
    (SPAM, "Not spam."),
    (SPAM, "spam, ham"),
    (SPAM, "spam/ham"),
    (SPAM, "spam or ham"),
    (SPAM, "spam and ham"),
    (SPAM, "spam not ham"),
    (SPAM, "non-spam"),
    (SPAM, "This is non-spam"),
    (SPAM, "antispam"),
    (SPAM, "spam-like"),
    (SPAM, "It isn't spam"),
    (SPAM, "I can't say it is spam"),
    (SPAM, "spam? No."),
    (SPAM, "spam is unlikely"),
    (SPAM, "if it were spam I would say so"),
    (SPAM, "whether it is spam is unclear"),
    (SPAM, "neither spam nor ham"),
    (SPAM, "The answer is not spam."),
    (SPAM, "spam\nham"),
    (SPAM, "spam\nOn reflection it is ham"),
    (SPAM, "The answer is spam. Wait, the answer is ham"),
    (SPAM, "hamster"),
    (SPAM, ""),
    (SPAM, "dunno"),
    (SPAM, "Spam: no"),
    (SPAM, "not, in my view, spam"),
    (SENTIMENT, "not very positive"),
    (SENTIMENT, "positively"),
    (SENTIMENT, "positive/negative"),
    (SENTIMENT, "neutral-positive"),
    (YES_NO, "not yes"),
    (YES_NO, "There is no doubt."),
    (YES_NO, "No problem here"),
    (YES_NO, "yes and no"),
    (YES_NO, "Yes, no"),
    (RELEVANCE, "none of the above, I think"),
    (LETTERS, "(A) or (B)"),
    (ABC, "A thing like this"),
    (ABC, "I think B"),
    (SIGNS, "..."),
    (KIND, "On the one hand x, on the other hand y"),
    (KIND, "tech"),
    (KIND, "billing/technical"),
    (KIND, "not billing, technical"),
    (EnumType("Case", ("Ham", "HAM")), "ham"),
]

TRUTHS: list[tuple[str, bool | None]] = [
    ("The claim is true", True),
    ("This is not false", True),
    ("right now it fails", None),
    ("yes, it's wrong to say no", None),
    ("Answer: true\nAnswer: false", None),
    ("Yes.", True),
    ("**False**", False),
    ("No, it is not right", False),
    ("That is not correct", False),
    ("it isn't right", False),
    ("it is incorrect", False),
    ("I first thought it wrong. The answer is true.", True),
    ("1", True),
    ("0", False),
    ("maybe", None),
    ("it is true or false", None),
    ("yes and no", None),
    ("yes/no", None),
    ("No problem", None),
    ("No errors found.", None),
    ("There is no problem", None),
    ("true\nbecause it holds", True),
    ("Yes it is", True),
    ("I'm not sure it is true", None),
    ("if true, great", None),
    ("not entirely wrong", None),
    ("Correct answer: no", None),
    ("True", True),
    ("TRUE!", True),
    ("no", False),
    ("No.", False),
    ("no - it fails", False),
    ("Yes, no doubt", True),
    ("false. The claim that it is true is wrong.", False),
    ("untrue", None),
    ("True, but also false", None),
    ("not true", False),
    ("the answer is not true", False),
    ("Whether it is true is unclear", None),
    ("true\nfalse", None),
    ("Yes, it is not correct", None),
    ("It is valid", True),
    ("This cannot be right", None),
    ("neither true nor false", None),
    ("true or maybe false", None),
    ("I'd say yes", None),
]


def read(type: Choice, text: str) -> str | None:
    try:
        return read_choice(type, text)
    except ParseFailure:
        return None


@pytest.mark.parametrize(("type", "text", "value"), READ, ids=str)
def test_a_label_is_read(type: Choice, text: str, value: str) -> None:
    assert read_choice(type, text) == value


@pytest.mark.parametrize(("type", "text"), REFUSED, ids=str)
def test_a_label_that_is_not_given_is_refused(type: Choice, text: str) -> None:
    with pytest.raises(ParseFailure, match=r"^expected one of: "):
        read_choice(type, text)


@pytest.mark.parametrize(("text", "value"), TRUTHS)
def test_truth_values(text: str, value: bool | None) -> None:
    if value is not None:
        assert read_bool(text) is value
        return
    with pytest.raises(ParseFailure, match=r"^expected true or false, but "):
        read_bool(text)


DENIED = [
    "not {}", "It is not {}.", "This isn't {}", "never {}", "I would not call it {}",
    "anything but {}", "far from {}", "cannot be {}", "{}? No.", "{} is wrong", "{} is not right",
    "neither {} nor anything else", "The answer is not {}.", "hardly {}", "{} can be ruled out",
    "I doubt whether it is {}", "If it were {}, I would say so.", "non-{}",
    "un{}", "{}-like", "{}ish", "not really {}",
]  # fmt: skip
SAID = [
    "{}", "**{}**", "`{}`", '"{}"', "{}.", "({})", "[{}]", "Answer: {}", "The answer is {}.",
    "label: {}", "{}\n\nThe other one does not fit.", "I'd say {}.", "It is {}.",
    "{}, because it fits",
    "{} - it fits", "so the answer is **{}**", "#### {}",
]  # fmt: skip
LABELS = st.sampled_from([(t, v) for t in (SPAM, SENTIMENT) for v in t.values])
WRITTEN = st.sampled_from([str, str.upper, str.title, lambda v: v.replace("_", " ")])


@given(LABELS, st.sampled_from(DENIED), WRITTEN)
def test_a_denied_label_is_never_the_answer(label, frame, written) -> None:  # type: ignore[no-untyped-def]
    type, value = label
    assert read(type, frame.format(written(value))) is None


@given(LABELS, st.sampled_from(SAID), WRITTEN)
def test_a_label_is_read_in_any_dress(label, frame, written) -> None:  # type: ignore[no-untyped-def]
    type, value = label
    assert read_choice(type, frame.format(written(value))) == value


@given(
    LABELS, LABELS, st.sampled_from([", ", " or ", " and ", "/", " / ", "; ", "\n", " ", " vs. "])
)
def test_one_of_two_labels_is_never_chosen(one, other, joint) -> None:  # type: ignore[no-untyped-def]
    if one[0] is other[0] and one[1] != other[1]:
        text = f"{one[1]}{joint}{other[1]}"
        assert read(one[0], text) is None or text.replace(" ", "_") in one[0].values


@given(
    st.sampled_from(["true", "yes", "correct"]),
    st.sampled_from(["false", "no", "wrong"]),
    st.booleans(),
    st.sampled_from([" and ", " or ", "/", ", "]),
)
def test_one_of_two_truth_values_is_never_chosen(yes: str, no: str, swap: bool, joint: str) -> None:
    one, other = (no, yes) if swap else (yes, no)
    with pytest.raises(ParseFailure):
        read_bool(f"{one}{joint}{other}")
