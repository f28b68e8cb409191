"""The passes in their order. Each pass is pure and idempotent, and has its own file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from lmc.ir.graph import ProgramGraph
from lmc.passes.common_calls import common_calls
from lmc.passes.constant_folding import constant_folding
from lmc.passes.context import PassContext
from lmc.passes.dead_code import dead_code
from lmc.passes.early_exit import early_exit
from lmc.passes.fuse_samples import fuse_samples
from lmc.passes.inline import inline
from lmc.passes.prefix_first import prefix_first
from lmc.passes.split_maps import split_maps
from lmc.passes.steady_calls import steady_calls

VERIFY = "LMC_VERIFY"  # environment variable: verify the graph after each pass
Pass = Callable[[ProgramGraph, PassContext], ProgramGraph]

PASSES: tuple[Pass, ...] = (
    inline,
    constant_folding,
    common_calls,
    dead_code,
    steady_calls,
    early_exit,
    fuse_samples,
    split_maps,
    prefix_first,
)


def run_passes(program: ProgramGraph, context: PassContext | None = None) -> ProgramGraph:
    """The program after all passes."""
    return list(steps(program, context or PassContext()))[-1][1]


def steps(program: ProgramGraph, context: PassContext) -> Iterator[tuple[str, ProgramGraph]]:
    """The program after each pass, with the pass's name.

    Raises: GraphFault if a pass breaks the specification and `LMC_VERIFY` is set.
    """
    verified = _verifying() if os.environ.get(VERIFY) else None
    for run in PASSES:
        program = run(program, context)
        if verified is not None:
            verified(program, f"after {run.__name__}")
        yield run.__name__, program


def _verifying() -> Callable[[ProgramGraph, str], None]:
    """Verifies a program after one pass after the other: what no pass touched, once."""
    from lmc.ir.verify import Verified, verify

    return partial(verify, seen=Verified())
