"""Selectors over paths: siblings in searches, splices, pairs of even length."""

from __future__ import annotations

from typing import Any

from lmc.models.base import SampledTokens
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces.paths import of_even_length, sibling_pairs, splices
from lmc.traces.selectors import Pair
from lmc.traces.store import Run


def call(place: tuple[int, ...], said: str, asked: Any = "q", module: str = "step") -> CallTrace:
    messages = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    return CallTrace(
        place, None, module, "generate", {}, outputs={"result": said}, result=said,
        messages=messages, raw=[said],
    )  # fmt: skip


def run(score: float, *calls: CallTrace, sample: int = 0, regions: Any = ()) -> Run:
    trace = Trace(list(calls), list(regions))
    return Run("j", "p", "main", "s", "1", "d", {}, trace, score, "x", sample=sample)


def searched(score: float, chosen: int = 4) -> Run:
    """A search of two levels: `a` and `b` and `c` after the start, then `d` and `e` after `a`."""
    tree = [
        {"parent": 0, "step": "a", "value": 0.75}, {"parent": 0, "step": "b", "value": 0.5},
        {"parent": 0, "step": "c", "value": 0.25}, {"parent": 1, "step": "d", "value": 0.5},
        {"parent": 1, "step": "e", "value": 0.5},
    ]  # fmt: skip
    region = RegionTrace((0,), None, "search", "s", {}, detail={"tree": tree, "chosen": chosen})
    calls = [
        *(call((0, 0, i), said, "start") for i, said in enumerate("abc")),
        *(call((0, 1, i), said, "after a") for i, said in enumerate("de")),
        *(call((0, n, -1), "0.5", f"value {n}", "value") for n in range(1, 6)),
    ]
    return run(score, *calls, regions=[region])


def told(pairs: list[Pair]) -> list[tuple[str, str, float]]:
    return [(pair.chosen.raw[-1], pair.rejected.raw[-1], pair.weight) for pair in pairs]


def test_a_step_of_the_path_is_better_than_the_worst_one_from_the_same_place() -> None:
    assert told(sibling_pairs([searched(1.0)])) == [("a", "c", 0.5)]  # `d` and `e` are level
    assert sibling_pairs([searched(0.0)]) == []  # the path led nowhere
    assert sibling_pairs([searched(1.0, chosen=0)]) == []
    assert told(sibling_pairs([searched(0.5)], 0.5)) == [("a", "c", 0.5)]
    (pair,) = sibling_pairs([searched(1.0)])
    assert pair.chosen.messages == pair.rejected.messages


def turns(*said: str) -> list[dict[str, str]]:
    """A conversation: what was said, and what was seen then."""
    found = [{"role": "user", "content": "task"}]
    for words in said:
        found.append({"role": "assistant", "content": words})
        found.append({"role": "user", "content": f"saw {words}"})
    return found


def acted(score: float, *said: str, sample: int = 0) -> Run:
    calls = [call((0, i), words, turns(*said[:i])) for i, words in enumerate(said)]
    return run(score, *calls, sample=sample)


def test_a_right_run_goes_on_behind_the_first_wrong_step_of_another() -> None:
    wrong, right = acted(0.0, "go", "left", "stop"), acted(1.0, "go", "right", "on", "in", sample=1)
    found = splices([wrong, right])
    assert [one.call.raw[-1] for one in found] == ["right", "on", "in"]
    assert list(found[0].messages) == turns("go", "left")
    assert list(found[1].messages) == [*turns("go", "left"), *turns("right")[1:]]
    assert list(found[2].messages) == [*turns("go", "left"), *turns("right", "on")[1:]]
    assert splices([wrong]) == splices([right]) == []
    assert splices([acted(0.0, "go", "left"), right]) == []  # nothing shows the wrong step
    assert splices([acted(0.0, "go", "right", "on", "in"), right]) == []  # said alike


def test_where_prompts_hold_no_turns_only_the_mended_step_is_learnt() -> None:
    wrong = run(0.0, call((0, 0), "a", "1"), call((0, 1), "b", "2 after a"))
    right = run(1.0, call((0, 0), "c", "1"), call((0, 1), "d", "2 after c"), sample=1)
    (one,) = splices([wrong, right])
    assert (one.messages[0]["content"], one.call.raw[-1]) == ("2 after a", "c")


def test_pairs_of_even_length_are_made_anew_so_that_few_are_lost() -> None:
    long, short = "x" * 30, "y" * 10
    pairs = [
        Pair(call((0,), long), call((0,), short + "z")),
        Pair(call((1,), short), call((1,), long + "z")),
    ]
    assert of_even_length(pairs[:1], 1.5) == []
    assert [(p.chosen.raw[-1], p.rejected.raw[-1]) for p in of_even_length(pairs, 1.5)] == [
        (long, long + "z"),
        (short, short + "z"),
    ]
    assert of_even_length(pairs[:1], 3.0) == pairs[:1]
    other = [pairs[0], Pair(call((1,), short, "another"), call((1,), long + "z", "another"))]
    assert of_even_length(other, 1.5) == []  # only answers to one prompt are compared
    for pair in pairs[:1]:
        pair.chosen.sampled = SampledTokens("t", (1, 2))
        pair.rejected.sampled = SampledTokens("t", (1, 2))
    assert of_even_length(pairs[:1], 1.0) == pairs[:1]  # in tokens, where they are known
