"""Soundness by search: random programs on random answers keep the promises of the language.

`LMC_PROGRAMS=20000` tries more programs, and `LMC_FUZZ=1` others.
"""

import logging
import os
from random import Random

import pytest

from lmc.ir.verify import verify
from lmc.passes.pipeline import run_passes
from lmc.values.partials import to_partial
from tests.programs import lowered
from tests.test_soundness.runs import Tally, try_program

PROGRAMS = int(os.environ.get("LMC_PROGRAMS", "2000"))
PARTS = 20
FIRST = Random().randrange(10**9) if "LMC_FUZZ" in os.environ else 0
MOST_REFUSED = 0.12  # the generator does not know how literals narrow a type


@pytest.mark.parametrize("part", range(PARTS))
def test_programs_keep_their_promises(part: int) -> None:
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    tally, count = Tally(), PROGRAMS // PARTS
    for number in range(part * count, (part + 1) * count):
        seed = FIRST + number
        try:
            try_program(seed, tally, whole=number % 20 == 0)
        except Exception as fault:
            raise AssertionError(f"the program of seed {seed}: {fault}") from fault
    assert sum(tally.refused.values()) <= MOST_REFUSED * tally.programs + 3, tally.refused
    assert tally.ended["value"] >= sum(tally.ended.values()) / 2, tally.ended
    assert tally.pieces > 0


def test_a_list_of_nones_without_them_is_empty() -> None:
    lowered("pipeline main() -> list[str] { return filter([none, none]) }")


def test_what_is_never_there_has_no_type_of_its_own() -> None:
    """The first of an empty list is none, so `?? 3` is 3, and the other branch is never taken."""
    text = "pipeline main() -> list[int] { return [(first(v) ?? 3) for v in [[] for x in [1]]] }"
    program = lowered(text)
    verify(program)
    verify(run_passes(program))


def test_an_item_of_no_list_may_be_a_condition() -> None:
    verify(
        lowered(
            "pipeline main() -> list[int] { return [(if x then 0 else 5) for x in flatten([])] }"
        )
    )


def test_a_record_of_a_union_grows_too() -> None:
    """`{"kind": "y"}` is no whole member yet, but the beginning of the second one."""
    text = """
    record A { kind: "x", n: int }
    record B { kind: "y", n: int }
    pipeline main() -> list[A | B] { return [A("x", 1)] }
    """
    type = lowered(text).graphs["main"].result
    [first, second] = to_partial(type, [{"kind": "x", "n": 1}, {"kind": "y"}])
    assert (first.n, second.kind, second.n) == (1, "y", None)
    assert type_name(second) == "BPartial"


def type_name(value: object) -> str:
    return value.__class__.__name__
