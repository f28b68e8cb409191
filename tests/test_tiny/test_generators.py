"""The generators: the same under a seed, readable by the layout, and apart from the evaluation."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.tiny.families import FAMILIES, draw_training_instance
from lmc.tiny.task import LAYOUT, Instance, draw_instance, held_out
from lmc.tiny.words import LABELS, UNSEEN_LABELS, draw_labels


def drawn(
    family: str, seed: int, count: int, demos: int = 2, unseen: bool = False
) -> list[Instance]:
    rng, found = Random(seed), []
    while len(found) < count:
        instance = draw_instance(rng, FAMILIES[family](rng), demos, unseen)
        if instance:
            found.append(instance)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_decides(family: str) -> None:
    first, again, other = (
        [(i.messages(), i.answer()) for i in drawn(family, seed, 5)] for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_read_back(family: str) -> None:
    for instance in drawn(family, 5, 60):
        read = LAYOUT.parse(instance.task.spec, instance.answer())
        assert read == instance.case.outputs


@pytest.mark.parametrize("easy_share", [1.0, 0.0])
def test_training_text_has_no_held_out_case(easy_share: float) -> None:
    rng = Random(7)
    for _ in range(150):
        instance = draw_training_instance(rng, easy_share)
        for case in (*instance.demos, instance.case):
            assert not held_out(instance.task.spec, case)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_of_the_evaluation_are_held_out(family: str) -> None:
    for instance in drawn(family, 9, 20, unseen=True):
        assert held_out(instance.task.spec, instance.case)
        assert not any(held_out(instance.task.spec, d) for d in instance.demos)


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_training_labels_are_none_of_the_held_out(seed: int, count: int) -> None:
    assert not set(draw_labels(Random(seed), count)) & set(UNSEEN_LABELS)


def test_label_lists_share_no_word() -> None:
    assert not set(LABELS) & set(UNSEEN_LABELS)


def test_demonstrations_do_not_show_the_question() -> None:
    for family in FAMILIES:
        for instance in drawn(family, 11, 30, demos=4):
            assert all(instance.case.inputs != d.inputs for d in instance.demos)
