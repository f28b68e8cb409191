"""Guesses from a text: what followed the same tokens before, within what a grammar allows."""

import pytest

pytest.importorskip("llguidance")

from hypothesis import given
from hypothesis import strategies as st

from lmc.models.engine.constraints import Grammars
from lmc.models.engine.lookup import Lookup, within_grammar
from tests.test_models.tiny_llama import byte_tokenizer

END = 99


def test_the_longest_match_counts_and_of_equal_ones_the_last():
    assert Lookup([1, 2, 3, 4, 5, 2, 3]).guess(2) == [4, 5]
    assert Lookup([1, 9, 4, 7, 9, 5, 9]).guess(8) == [5, 9]
    assert Lookup([6, 7, 1, 2, 7, 3, 6, 7]).guess(1) == [1]  # two tokens before one
    assert Lookup([1, 2, 3]).guess(4) == []
    assert Lookup([]).guess(4) == []


def test_tokens_that_are_written_later_are_found():
    lookup = Lookup([1, 2])
    assert lookup.guess(3) == []
    lookup.tokens += [3, 1]
    assert lookup.guess(3) == [2, 3, 1]
    copy = lookup.copy()
    copy.tokens += [2, 8, 1]
    assert copy.guess(1) == [2]
    assert lookup.guess(3) == [2, 3, 1]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 9))
def test_a_guess_is_a_part_of_the_text(tokens, most):
    guess = Lookup([*tokens]).guess(most)
    assert len(guess) <= most
    text = "".join(map(str, tokens))
    assert "".join(map(str, guess)) in text
    if guess:  # what precedes it in the text ends as the text does
        assert any(
            text.startswith(text[-1] + "".join(map(str, guess)), i) for i in range(len(text))
        )


def test_a_row_that_is_guessed_wrongly_stops():
    lookup = Lookup([1])
    lookup.guessed, lookup.right = 15, 0
    assert lookup.pays
    lookup.guessed = 16
    assert not lookup.pays
    lookup.right = 4
    assert lookup.pays


def test_an_answer_ends_by_itself():
    assert within_grammar([1, 2, END, 3], None, {END}) == [1, 2]
    assert within_grammar([END], None, {END}) == []


def test_a_guess_keeps_to_the_grammar_and_has_what_it_forces():
    tokenizer = byte_tokenizer()
    grammars = Grammars(tokenizer, len(tokenizer), {tokenizer.eos_token_id})
    start = grammars.constraint('start: "(" ("yes" | "no") ")"\n')

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    for token in start.forced():
        start.accept(token)
    ends = {tokenizer.eos_token_id}
    assert within_grammar(ids("yes)"), start, ends) == ids("yes)")
    assert within_grammar(ids("y"), start, ends) == ids("yes)")
    assert within_grammar(ids("nobody"), start, ends) == ids("no)")
    assert within_grammar(ids("maybe"), start, ends) == []
    assert start.forced() == []  # it has not moved
