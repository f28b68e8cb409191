"""The generators: the same under a seed, readable by the layout, and apart from the evaluation."""

import re
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.tiny.corpus import Encoder
from examples.tiny.course import STAGES, batches, stage_at
from examples.tiny.drills import TOKENS, draw_drill
from examples.tiny.families import FAMILIES, draw_easy_instance, draw_training_instance
from examples.tiny.logic import PUZZLES, Puzzle, booleans, counting
from examples.tiny.task import LAYOUT, Instance, draw_instance, held_out
from examples.tiny.tokenizer import load_tokenizer
from examples.tiny.words import LABELS, UNSEEN_LABELS, draw_labels
from lmc.tiny import MODEL_DIR


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


@pytest.mark.parametrize("draw", [draw_easy_instance, draw_training_instance])
def test_training_text_has_no_held_out_case(draw: Callable[[Random], Instance]) -> None:
    rng = Random(7)
    for _ in range(150):
        instance = draw(rng)
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


@pytest.mark.parametrize("make", PUZZLES)
def test_the_last_step_of_a_puzzle_gives_its_answer(make: Callable[[Random], Puzzle]) -> None:
    rng = Random(13)
    for _ in range(50):
        _, steps, answer = make(rng)
        counted = [step for step in steps if not step.endswith(": no")]
        assert not counted or answer in re.split(r"[ ,]+", counted[-1])


def test_truth_values_agree_with_python() -> None:
    rng = Random(17)
    for _ in range(300):
        text, steps, answer = booleans(rng)
        expression = re.sub(r" is$| =$|\?$", "", text)
        assert set(expression.split()) <= {"True", "False", "and", "or", "not", "(", ")"}
        assert {str(eval(step)) for step in (expression, *steps)} == {answer}


def test_counts_agree_with_the_words() -> None:
    rng = Random(19)
    for _ in range(200):
        text, steps, answer = counting(rng)
        assert sum(
            int(step.split(" + ")[1].split(" ")[0]) for step in steps if " + " in step
        ) == int(answer)
        assert text.count(",") + 2 >= len(steps)


def test_drills_answer_a_key_always_alike() -> None:
    encoder = Encoder(load_tokenizer(MODEL_DIR))
    rng = Random(23)
    for _ in range(50):
        tokens, learnt = draw_drill(rng, encoder)
        assert len(tokens) == len(learnt) >= TOKENS
        assert all(learnt[i] for i, token in enumerate(tokens) if token == encoder.end)
        assert not any(learnt[i] for i, token in enumerate(tokens) if token == encoder.user)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    begins = [0.0, *(stage.until for stage in STAGES[:-1])]
    assert begins == sorted(begins)
    assert [stage_at(tokens) for tokens in begins] == list(STAGES)
    assert stage_at(1e12) == STAGES[-1]
    encoder = Encoder(load_tokenizer(MODEL_DIR))
    for stage in STAGES:
        first, again = (list(batches(encoder, 3, 5, stage, 2)) for _ in range(2))
        assert first == again
        for rows in first:
            assert len(rows) == 1 or max(len(t) for t, _ in rows) * len(rows) <= (
                stage.batch_tokens // 2
            )
