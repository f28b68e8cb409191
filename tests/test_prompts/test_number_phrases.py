"""Numbers within phrases: bounds, scales, doubts, denials and names give no wrong number."""

from __future__ import annotations

import pytest

from lmc.prompts.numbers import NumberType, read_number
from lmc.prompts.spec import ParseFailure
from lmc.types import FLOAT, INT, FloatType, IntType

TYPES: dict[str, NumberType] = {
    "1 to 5": IntType(1, 5), "1 to 10": IntType(1, 10), "-5 to 5": IntType(-5, 5),
    "0 to 1": FloatType(0.0, 1.0), "-1 to 1": FloatType(-1.0, 1.0), "integer": INT, "number": FLOAT,
}  # fmt: skip
READ: dict[str, list[tuple[str, float]]] = {
    "1 to 5": [
        ("Good (4)", 4), ("Rating (1-5): 4", 4), ("Rating (1 to 5): 4", 4),
        ("Score (out of 5): 4", 4), ("~~4~~ 3", 3), ("<s>4</s> 3", 3), ("4: one point off", 4),
        ("Previous rating: 3\nNew rating: 4", 4), ("a weak 4", 4),
    ],
    "1 to 10": [
        ("Score: 4\nConfidence: 9", 4), ("Maximum score: 10\nScore: 7", 7),
    ],
    "0 to 1": [
        ("1 in 4", 0.25), ("1 in 10", 0.1), ("one in four", 0.25),
    ],
    "-5 to 5": [
        ("score -3", -3),
    ],
    "integer": [
        ("half a dozen", 6), ("half a million", 500000), ("No. 5", 5), ("Nr. 5", 5),
        ("Ans. 5", 5), ("approx. 6", 6), ("ca. 6", 6), ("eleven hundred", 1100),
    ],
    "number": [
        ("half a million", 500000), ("three tenths", 0.3),
    ],
}  # fmt: skip
REFUSED: dict[str, list[str]] = {
    "1 to 5": [
        "On a scale of 1 to 10, I'd say 4.", "5, minus 1 for style", "5 (-1 for style)",
        "2/5 criteria are met", "2/5 of the claims are supported",
        "Only 2/5 of the claims are supported.", "Score: 2/5 of the claims hold",
        "3, bordering on 4", "3, leaning towards 4", "3 (leaning 4)",
    ],
    "1 to 10": [
        "Max score: 10", "Maximum score: 10", "Minimum score: 1", "Highest possible score: 10",
        "Passing score: 6", "Threshold score: 6",
    ],
    "0 to 1": [
        "50/50", "7 on a scale of 1 to 10", "0.3 (scale: 0-100)",
    ],
    "-1 to 1": [
        "Negative: 0.7", "negative, 0.7",
    ],
    "-5 to 5": [
        "±3",
    ],
    "number": [
        "twice 9", "double 9", "5 hundredths", "√2", "5¢", "0 . 5", "0. 5",
    ],
    "integer": [
        "twice 9", "√16", "sqrt(16)", "mod 5", "3;4", "COVID-19", "GPT-4", "1990s", "the 1990s",
        "1 万", "2 mille", "2 Tausend", "2 millones", "2 milliard", "2 Milliarden", "2 zillion",
        "2 gazillion", "2 quadrillion", "2 grand", "5 minimum", "5 (at least)", "5, at least",
        "5, possibly more", "upwards of 5", "north of 5", "5-plus", "5 plus", "5 items or more",
        "5 items at most", "It isn't 5", "I don't think it's 5", "I doubt it is 5.",
        "It can't be 5", "5 is wrong", "5 is incorrect.", "5 is not right", "5? No.",
        "5 is not the answer", "The answer isn't 5", "The answer is 5. Hmm, it's 6 in fact.",
        "five (6)", "about 6 (5.5)", "six, seven", "oh five", "double zero", "all but 5",
        "every 5", "5 more", "5 more than before", "5 less", "5 too many", "5 each, so 10",
        "5 each (10 in total)", "5 hundredths",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "value"), [(name, *case) for name, cases in READ.items() for case in cases]
)
def test_a_number_is_read_from_a_phrase(name: str, text: str, value: float) -> None:
    assert read_number(TYPES[name], text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts]
)
def test_a_phrase_that_gives_no_certain_number_is_refused(name: str, text: str) -> None:
    with pytest.raises(ParseFailure, match=r"^expected an? "):
        read_number(TYPES[name], text)
