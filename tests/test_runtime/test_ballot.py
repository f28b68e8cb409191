"""Counting votes; early stop never changes who wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lmc.runtime.votes.ballot import Ballot, Ties, ballot_key


def hold(
    keys: list[str | None], ties: Ties, min_agree: float | None, *, early: bool
) -> tuple[object, int]:
    """The winner, and how many samples were drawn."""
    ballot = Ballot(len(keys), ties, min_agree, seed="7")
    while wave := ballot.wave() if early else ballot.left:
        ballot.keys += keys[len(ballot.keys) : len(ballot.keys) + wave]
    return ballot.winner(), len(ballot.keys)


@given(
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12),
    st.sampled_from(["first"]),
    st.sampled_from([None, 2, 3, 0.5, 0.8]),
)
def test_stopping_early_does_not_change_the_winner(
    keys: list[str | None], ties: Ties, agree: float | None
) -> None:
    whole, all_drawn = hold(keys, ties, agree, early=False)
    early, drawn = hold(keys, ties, agree, early=True)
    assert early == whole
    assert drawn <= all_drawn == len(keys)


@given(
    st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=12),
    st.sampled_from(["random"]),
)
def test_stopping_early_waits_for_ties_that_are_not_settled(
    keys: list[str | None], ties: Ties
) -> None:
    assert hold(keys, ties, None, early=True)[0] == hold(keys, ties, None, early=False)[0]


def test_a_clear_majority_needs_three_of_five() -> None:
    assert hold(["a"] * 5, "first", None, early=True) == ("a", 3)


def test_with_ties_to_the_first_two_of_four_are_enough() -> None:
    assert hold(["a", "a", "b", "b"], "first", None, early=True) == ("a", 2)
    assert hold(["a", "a", "b", "b"], "random", None, early=True)[1] == 4
    assert hold(["a", "a", "a", "b"], "random", None, early=True) == ("a", 3)


def test_an_agreement_out_of_reach_stops_the_vote() -> None:
    assert hold(["a", "b", "c", "a"], "first", 4, early=True) == (None, 4)
    assert hold(["a", "b", "a", "a", "a"], "first", 5, early=True) == (None, 5)
    assert hold(["a", "b", "c", "d", "e"], "first", 4, early=True)[1] == 4


def test_a_share_of_the_samples_can_be_asked_for() -> None:
    assert hold(["a", "a", "b"], "first", 0.6, early=False)[0] == "a"
    assert hold(["a", "a", "b"], "first", 0.7, early=False)[0] is None
    assert hold(["a", "a"], "first", 1.0, early=False)[0] == "a"
    assert hold(["a", "b"], "first", 1.0, early=False)[0] is None


def test_failed_samples_abstain() -> None:
    assert hold([None, None, "b"], "first", None, early=False)[0] == "b"
    assert hold([None, None], "first", None, early=False)[0] is None


def test_keys_compare_by_content() -> None:
    assert ballot_key({"a": 5.0, "b": [1]}, normalize=False) == ballot_key(
        {"b": [1], "a": 5}, normalize=False
    )
    assert ballot_key("Paris. ", normalize=True) == ballot_key("paris", normalize=True)
    assert ballot_key("Paris", normalize=False) != ballot_key("paris", normalize=False)
    assert ballot_key(True, normalize=False) != ballot_key(1, normalize=False)
