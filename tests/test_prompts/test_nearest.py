"""Demonstrations like the input."""

from lmc.prompts.nearest import Nearest
from lmc.prompts.spec import Demo

TEXTS = ["the cat sat on the mat", "stocks fell again", "a dog and a cat", "rain in the north"]
DEMOS = [Demo({"text": text, "more": [1, {"deep": True}]}, {"result": text}) for text in TEXTS]


def picked(text: str, count: int) -> list[str]:
    return [demo.inputs["text"] for demo in Nearest(DEMOS, count).pick({"text": text})]


def test_the_most_similar_come_last() -> None:
    assert picked("Where is the cat, on a mat?", 2) == ["a dog and a cat", "the cat sat on the mat"]
    assert picked("STOCKS rise", 1) == ["stocks fell again"]


def test_nothing_in_common_gives_the_first_ones() -> None:
    assert picked("zzz", 2) == [TEXTS[1], TEXTS[0]]
    assert picked("", 1) == [TEXTS[0]]


def test_few_are_all_shown() -> None:
    assert picked("cat", 9) == TEXTS
    assert Nearest([], 3).pick({"text": "x"}) == ()
