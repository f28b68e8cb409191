"""Acquire and score: the program, or a teacher, runs on train rows, and what is right is kept."""

from __future__ import annotations

import random
from collections.abc import Mapping

from lmc.optimizers.base import Context
from lmc.optimizers.demonstrations import (
    DemoPool,
    corrected_demos,
    example_pool,
    labeled_pool,
    traced_demos,
)
from lmc.optimizers.events import Note
from lmc.optimizers.routes import Module, Route, reached_modules, result_routes
from lmc.optimizers.trials import Mode
from lmc.runtime.budget import BudgetExceeded
from lmc.runtime.data import Row
from lmc.runtime.evaluate import RowResult
from lmc.runtime.parameters import Parameters

BATCH_ROWS = 32  # rows that run together, before it is looked whether the budget allows more
RUNS_SHARE = 0.5  # of the runs that are left


async def acquire(
    start: Parameters, context: Context, *, threshold: float, teacher: str | None
) -> DemoPool:
    """Collect labels of the train rows, and the calls of all runs on them that are accepted.

    For the same inputs the call counts: it has all fields. Rows whose labels say all that can be
    learnt are not run.
    """
    program, target = context.program, context.target
    modules, routes = reached_modules(program, target), result_routes(program, target)
    labeled = labeled_pool(program, target, context.train).under(example_pool(modules))
    if teacher is None and _says_all(labeled, modules, len(context.train)):
        return labeled
    traced, mode = DemoPool(), Mode(teacher, training=True)
    rows = list(context.train)
    random.Random(f"{context.seed}/acquire").shuffle(rows)
    rows = rows[: int(min(len(rows), context.trials.runs_left() * RUNS_SHARE))]
    accepted = 0
    try:
        for first in range(0, len(rows), BATCH_ROWS):
            batch = rows[first : first + BATCH_ROWS]
            (results,) = await context.trials.results("acquiring traces", [start], batch, mode)
            for row, result in zip(batch, results):
                accepted += _learn(
                    context, row, result, threshold, modules, routes, traced, labeled
                )
    except BudgetExceeded:
        pass
    text = f"{accepted} of {len(rows)} runs were accepted"
    context.report(Note(text, totals=context.trials.totals()))
    return labeled.under(traced)


def _learn(
    context: Context,
    row: Row,
    result: RowResult,
    threshold: float,
    modules: Mapping[str, Module],
    routes: Mapping[str, Route],
    traced: DemoPool,
    labeled: DemoPool,
) -> bool:
    if result.trace is None:
        return False
    inputs = frozenset(port.name for port in context.program.graphs[context.target].inputs)
    for module, demo in corrected_demos(result.trace, routes, row, inputs):
        labeled.add(module, demo)
    if result.value is None or result.value < threshold:
        return False
    for module, demo in traced_demos(result.trace, modules, row):
        traced.add(module, demo)
    return True


def _says_all(labeled: DemoPool, modules: Mapping[str, Module], rows: int) -> bool:
    """Whether each module has a label for nearly every row, and writes nothing but its result."""
    return all(
        len(labeled.of(name)) >= 0.9 * rows and not module.slots.settings.get("reason")
        for name, module in modules.items()
    )
