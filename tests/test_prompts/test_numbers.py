"""Numbers are read right or refused: what may mean two numbers is neither of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.prompts.number_values import NumberType
from lmc.prompts.number_words import read_words
from lmc.prompts.numbers import read_number
from lmc.prompts.spec import ParseFailure
from lmc.types import FLOAT, INT, FloatType, IntType

SHARE, COUNT = FloatType(0.0, 1.0), IntType(0, None)
OF_5, OF_10 = IntType(1, 5), IntType(1, 10)
PERCENT, PERCENT_FLOAT = IntType(0, 100), FloatType(0.0, 100.0)

READ: list[tuple[NumberType, str, float]] = [
    (OF_5, "Score 4", 4),
    (INT, "15% of 40 = 6", 6),
    (FloatType(0.0, 10.0), "8/10", 8),
    (SHARE, "4/5", 0.8),
    (OF_5, "4/5", 4),
    (OF_5, "4 out of 5", 4),
    (OF_10, "7/10", 7),
    (SHARE, "30 %", 0.3),
    (SHARE, "30%", 0.3),
    (PERCENT, "85%", 85),
    (PERCENT_FLOAT, "85 percent", 85),
    (SHARE, "0.3 (1 = perfect)", 0.3),
    (OF_10, "Rating: 7\n\nIt misses 2 facts.", 7),
    (FLOAT, "1.234,56 €", 1234.56),
    (FLOAT, "2,34", 2.34),
    (INT, "12k", 12000),
    (FLOAT, "1.5 million", 1500000.0),
    (INT, "seven", 7),
    (INT, "twenty-one", 21),
    (INT, "1,234", 1234),
    (FLOAT, "1,5", 1.5),
    (FLOAT, "$1,234", 1234),
    (FLOAT, "1.234", 1.234),
    (FLOAT, "1,234,567", 1234567),
    (FLOAT, "1.234.567", 1234567),
    (FLOAT, "1\u202f234,5", 1234.5),
    (FLOAT, "1'234.50", 1234.5),
    (INT, "1_000", 1000),
    (FLOAT, "-5", -5),
    (FLOAT, "−5", -5),
    (FLOAT, "–5", -5),
    (COUNT, "- 5", 5),
    (FLOAT, "-$5", -5),
    (FLOAT, "$-5", -5),
    (FLOAT, "minus five", -5),
    (FLOAT, "negative 5", -5),
    (FLOAT, "+5", 5),
    (INT, "about 12", 12),
    (INT, "~12", 12),
    (FLOAT, "1e3", 1000),
    (FLOAT, "1.5e-3", 0.0015),
    (FLOAT, "1.5 × 10^6", 1500000.0),
    (FLOAT, "5×10³", 5000),
    (FLOAT, "3 / 4", 0.75),
    (FLOAT, "½", 0.5),
    (FLOAT, "1½", 1.5),
    (FLOAT, "22/7", 3.142857142857143),
    (FLOAT, "two thirds", 0.6666666666666666),
    (FLOAT, "half", 0.5),
    (FLOAT, "$1,234.50", 1234.5),
    (INT, "42 apples", 42),
    (INT, "12.0", 12),
    (INT, "12.", 12),
    (INT, "So 3 + 4 = 7 apples for 2", 7),
    (FLOAT, ".5", 0.5),
    (INT, "The answer is 5 of 10", 5),
    (INT, "The answer is 2 + 3 = 5.\nI checked it 7 times", 5),
    (INT, "**Answer:** 7 (see 3)", 7),
    (INT, "<<48/2=24>>24\nA: 72", 72),
    (INT, "48/2=24\n#### 72", 72),
    (INT, "so \\boxed{42} as 41 + 1", 42),
    (INT, "H2O has 3 atoms", 3),
    (INT, "```\n12\n```", 12),
    (INT, "$1,210.\n\nThis took 3 steps", 1210),
    (SHARE, "85%\nof 3", 0.85),
    (OF_5, "4 - misses 2 of 3 points", 4),
    (OF_5, "4 (5 = best)", 4),
    (OF_5, "2/5", 2),
    (OF_10, "I'd say 7 out of 10.", 7),
    (SHARE, "0.3 out of 1", 0.3),
    (SHARE, "0.3/1", 0.3),
    (SHARE, "0.3, as 1 of 3 claims holds", 0.3),
    (SHARE, "3/10", 0.3),
    (SHARE, "3/10 (weak)", 0.3),
    (SHARE, "Score: 0.3. Missing 1 point", 0.3),
    (SHARE, "0.3\nbecause step 1 is wrong", 0.3),
    (OF_10, "seven out of ten", 7),
    (OF_10, "4 stars out of 10", 4),
    (OF_5, "4 (out of 5)", 4),
    (OF_5, "4 on a scale of 1 to 5", 4),
    (OF_5, "4 (on a scale from 1-5)", 4),
    (OF_10, "7\n7", 7),
    (INT, "one", 1),
    (INT, "two hundred and five", 205),
    (INT, "5 (five)", 5),
    (INT, "a dozen", 12),
    (FLOAT, "$12m", 12000000.0),
    (FLOAT, "$1.5B", 1500000000.0),
    (FLOAT, "5M", 5000000.0),
    (INT, "5 km", 5),
    (INT, "3rd", 3),
    (SHARE, "1/3", 0.3333333333333333),
    (FloatType(0.0, 5.0), "4/5", 4),
    (FLOAT, "1,5 million", 1500000.0),
    (INT, "٣", 3),
    (OF_10, "Score: 8/10. It has 2 errors.", 8),
    (OF_10, "**8**/10", 8),
    (SHARE, "confidence: 85%", 0.85),
    (SHARE, "I am 0.8 sure", 0.8),
    (INT, "two dozen", 24),
    (FLOAT, "1.5 hundred", 150),
    (INT, "The total is 8. The answer is 13.", 13),
    (INT, "There are 3 bags with 4 each.\n12", 12),
    (FLOAT, "R$1.234,50", 1234.5),
    (FLOAT, "CHF 1'200.50", 1200.5),
    (FLOAT, "USD 5", 5),
    (FLOAT, "5 USD", 5),
    (INT, "-1", -1),
    (INT, "(5)", 5),
    (SHARE, ".85", 0.85),
    (INT, "007", 7),
    (OF_10, "10/10", 10),
    (OF_10, "11/10", 11),
    (INT, "5.0", 5),
    (INT, "score=7", 7),
    (OF_10, "<score>7</score>", 7),
    (OF_10, '{"score": 7}', 7),
    (INT, "2 + 3 = 5", 5),
    (INT, "x = 5", 5),
    (FLOAT, "5°C", 5),
    (INT, "It is 7, not 8", 7),
    (OF_10, "7 — misses 2 facts", 7),
    (OF_10, "7: misses 2 facts", 7),
    (OF_10, "7; misses 2 facts", 7),
    (OF_10, "7. Misses 2 facts", 7),
    (OF_10, "7 because it misses 2 facts", 7),
    (OF_10, "7 points, because 2 facts are missing", 7),
    (INT, "12 - 2 = 10", 10),
    (FLOAT, "5 thousand", 5000),
    (FLOAT, "5 million euros", 5000000.0),
    (INT, "5,000", 5000),
    (FLOAT, "5,000.00", 5000),
    (FLOAT, "5.000,00", 5000),
    (FLOAT, "0,123", 0.123),
    (FLOAT, "0.123", 0.123),
    (FLOAT, "1234,567", 1234.567),
    (FLOAT, "12,3456", 12.3456),
]

REFUSED: list[tuple[NumberType, str]] = [
    (FLOAT, "a = 3, b = 4"),
    (FLOAT, "($5)"),
    (OF_10, "out of 5, I'd give 4"),
    (OF_10, "8/10 overall, 7/10 for style"),
    (SHARE, "0.7-0.9"),
    (SHARE, "> 0.8"),
    (FLOAT, "5'11\""),
    (FLOAT, "192.168.0.1"),
    (FLOAT, "three to five"),
    (OF_5, "4 ... no, 3"),
    (OF_10, "2 facts are missing."),
    (OF_10, "Two facts missing"),
    (SHARE, "1 step is wrong"),
    (OF_5, "7/10"),
    (FLOAT, "30 %"),
    (FLOAT, "85%"),
    (INT, "85%"),
    (INT, "3-4"),
    (INT, "between 3 and 5"),
    (INT, "3 to 4"),
    (INT, "3–4"),
    (FLOAT, "1,234"),
    (INT, "1,5"),
    (FLOAT, "€1,234"),
    (INT, "1.234"),
    (INT, "1.000"),
    (FLOAT, "1 234,5"),
    (FLOAT, "- 5"),
    (FLOAT, "--5"),
    (INT, "5+"),
    (INT, "at least 5"),
    (INT, "<5"),
    (INT, ">= 5"),
    (INT, "not 5"),
    (FLOAT, "10²"),
    (FLOAT, "2^10"),
    (FLOAT, "1e999"),
    (FLOAT, "7/10"),
    (FLOAT, "3 1/2"),
    (FLOAT, "two and a half"),
    (FLOAT, "1/0"),
    (FLOAT, "1/2/2024"),
    (FLOAT, "2024-01-05"),
    (FLOAT, "10:30"),
    (FLOAT, "1.2.3"),
    (INT, "0x1F"),
    (INT, "$1,234.50"),
    (INT, "10 - 5"),
    (INT, "1 of 3:\n2 of 3:\n\n"),
    (INT, "2, 3\nare 2"),
    (OF_10, "4 (5 = best)"),
    (OF_5, "I'd say 7 out of 10."),
    (OF_10, "It misses 2 facts."),
    (OF_10, "4 (out of 5)"),
    (OF_10, "4 on a scale of 1 to 5"),
    (OF_10, "7 or 8"),
    (OF_10, "7, maybe 8"),
    (OF_10, "7 (maybe 8)"),
    (OF_10, "7\n8"),
    (OF_10, "7 7"),
    (OF_10, "1. The claim holds\n2. It is long"),
    (OF_10, "1. The claim holds"),
    (OF_10, "Clarity score: 3\nOverall score: 4"),
    (INT, "The answer is 3 or 4"),
    (INT, "The answer is not 5"),
    (INT, "This one is good"),
    (INT, "One of the claims"),
    (INT, "five six"),
    (INT, "hundreds"),
    (INT, "12m"),
    (INT, "5 ft 10 in"),
    (INT, "twenty-first"),
    (INT, "5 ± 1"),
    (SHARE, "2 of 3 claims are wrong"),
    (FloatType(0.0, 10.0), "4/5"),
    (INT, "1,234 million"),
    (INT, "no idea"),
    (INT, ""),
    (FLOAT, "NaN"),
    (FLOAT, "inf"),
    (INT, "4 out of 5 people"),
    (INT, "It costs 5 or 6"),
    (INT, "5 dozen"),
    (INT, "2 dozen"),
    (FLOAT, "5 lakh"),
    (INT, "The answer is 5. Wait, the answer is 6"),
    (FLOAT, "12 % to 15 %"),
    (SHARE, "20-30%"),
    (INT, "1,2,3"),
    (INT, "1, 2, 3"),
    (INT, "2 + 3"),
    (INT, "5 = 2 + 3"),
    (FLOAT, "five point five"),
    (OF_10, "7 but 2 facts are missing"),
    (OF_10, "7 - 2"),
    (OF_10, "10 minus 2"),
    (INT, "3 bags of 4 apples is 12"),
]


def read(type: NumberType, text: str) -> float | None:
    try:
        return read_number(type, text)
    except ParseFailure:
        return None


@pytest.mark.parametrize(("type", "text", "value"), READ, ids=str)
def test_a_number_is_read(type: NumberType, text: str, value: float) -> None:
    assert read_number(type, text) == pytest.approx(value)


@pytest.mark.parametrize(("type", "text"), REFUSED, ids=str)
def test_what_may_mean_another_number_is_refused(type: NumberType, text: str) -> None:
    with pytest.raises(ParseFailure) as problem:
        read_number(type, text)
    assert "expected a" in str(problem.value)
    assert len(str(problem.value)) < 300


@pytest.mark.parametrize(
    ("type", "words"),
    [
        (OF_5, "expected an integer from 1 to 5, but"),
        (SHARE, "expected a number from 0 to 1, but"),
        (COUNT, "expected an integer of at least 0, but"),
        (FLOAT, "expected a number, but"),
    ],
)
@pytest.mark.parametrize("text", ["no idea", "3-4", "8 or 9", "9" * 1000, "1 2 " * 3000])
def test_the_bounds_are_told(type: NumberType, words: str, text: str) -> None:
    with pytest.raises(ParseFailure) as problem:
        read_number(type, text)
    assert str(problem.value).startswith(words)


NUMBERS = st.integers(0, 999)
JOINTS = ["-", "–", " - ", " to ", " or ", " and ", ", ", " / ", ":", "..", " ± ", " x ", " "]


@given(
    NUMBERS,
    NUMBERS,
    st.sampled_from(JOINTS),
    st.sampled_from(["{}", "It is {}.", "The answer is {}"]),
)
def test_one_of_two_numbers_is_never_chosen(one: int, other: int, joint: str, frame: str) -> None:
    if one != other:
        assert read(INT, frame.format(f"{one}{joint}{other}")) is None


@given(st.integers(0, 20), st.integers(1, 20), st.sampled_from(["/", " / ", " out of ", " of "]))
def test_what_a_mark_is_out_of_is_never_the_mark(part: int, of: int, joint: str) -> None:
    text = f"{part}{joint}{of}"
    assert read(IntType(0, 20), text) == (part if of == 20 else None)
    assert read(SHARE, text) == (part if of == 1 else pytest.approx(part / of))
    assert read(FloatType(0.0, 10.0), text) == (part if of == 10 else None)


DRESSED = [
    "{}", "**{}**", "`{}`", '"{}"', "{}.", "Answer: {}", "The answer is {}.", "#### {}",
    "\\boxed{{{}}}", "Score: {} (2 facts are missing)", "{} - it misses 2 of 3 facts",
    "{}, because 2 facts are missing", "{}\n\nIt misses 2 facts.", "Two facts are missing.\n{}",
    "{} points", "<answer>{}</answer>", "| {} |", "The 1 thing that counts is the answer: {}",
]  # fmt: skip


@given(st.integers(-(10**12), 10**12), st.sampled_from(DRESSED))
def test_a_whole_number_is_read_in_any_dress(number: int, dress: str) -> None:
    assert read_number(INT, dress.format(number)) == number
    if abs(number) < 1000:
        assert read_number(IntType(-1000, 1000), dress.format(number)) == number


@given(st.decimals(-(10**6), 10**6, places=3, allow_nan=False), st.sampled_from(DRESSED))
def test_a_number_with_decimals_is_read_in_any_dress(number: Decimal, dress: str) -> None:
    assert read_number(FLOAT, dress.format(number)) == pytest.approx(float(number))


@given(
    st.integers(0, 10**12), st.sampled_from([(",", "."), (".", ","), ("'", "."), ("\u202f", ",")])
)
def test_groups_of_digits_are_read_or_refused(number: int, marks: tuple[str, str]) -> None:
    group, point = marks
    whole = f"{number:,}".replace(",", group)
    for type, text, value in [
        (INT, whole, number),
        (FLOAT, whole, number),
        (FLOAT, f"{whole}{point}25", number + 0.25),
    ]:
        assert read(type, text) in (None, pytest.approx(value)) or (group == "." and number < 10**6)
    if number >= 10**6:
        assert read(INT, whole) == number
        assert read(FLOAT, f"{whole}{point}25") == pytest.approx(number + 0.25)


WORDS = {
    "seven": 7, "twenty-one": 21, "two hundred": 200, "two hundred and five": 205, "a dozen": 12,
    "three dozen": 36, "one million two hundred thousand and five": 1_200_005, "half": 0.5,
    "two thirds": 2 / 3, "three quarters": 0.75, "a tenth": 0.1,
    "five six": None, "twenty twenty": None, "hundreds": None, "million": None, "one one": None,
    "nineteen eighty": None, "two million three billion": None, "five thirds": None,
}  # fmt: skip


@pytest.mark.parametrize(("words", "value"), WORDS.items())
def test_number_words(words: str, value: float | None) -> None:
    number = read_words(words)
    assert (None if number is None else float(number)) == (value and pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("40% of 220 castles is 88 castles.\nHalf of them are 44 castles.\nA: 44", 44),
        ("Half as many points as Naomi is 68/2=34 points.\nYuri scored 34+10=44.\nA: 54", 54),
        ("Five pies, cut into 8 pieces each, are 40 pieces.\nSo 26 were taken.\nA: 26", 26),
    ],
)
def test_the_first_words_of_reasoning_do_not_contradict_an_announced_answer(
    text: str, value: int
) -> None:
    assert read_number(IntType(), text) == value


def test_a_first_line_that_is_one_number_contradicts_an_announced_one() -> None:
    with pytest.raises(ParseFailure):
        read_number(IntType(), "7\nIt has some merit.\nAnswer: 3")
