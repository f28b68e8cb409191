"""The passes in the order in which they run; each is pure and idempotent, one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lmc.ir.graph import ProgramGraph
from lmc.passes.common_calls import common_calls
from lmc.passes.context import PassContext
from lmc.passes.dead_code import dead_code

Pass = Callable[[ProgramGraph, PassContext], ProgramGraph]

PASSES: tuple[Pass, ...] = (common_calls, dead_code)


def run_passes(program: ProgramGraph, context: PassContext | None = None) -> ProgramGraph:
    """The program after all passes."""
    return list(steps(program, context or PassContext()))[-1][1]


def steps(program: ProgramGraph, context: PassContext) -> Iterator[tuple[str, ProgramGraph]]:
    """The program after each pass, with the pass's name."""
    for run in PASSES:
        program = run(program, context)
        yield run.__name__, program
