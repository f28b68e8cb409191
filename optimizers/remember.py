"""Lets a program fill its stores from its own runs on the train rows.

Source: ExpeL, Zhao et al. 2023, arXiv 2308.10144, section 4.1 (experience gathered on training
tasks before the test), and Voyager, Wang et al. 2023, arXiv 2305.16291 (a library of skills that
grows task by task). Differences: what is kept is what the program keeps, typed and bounded, and the
filled stores must beat the stores as they were on rows that nothing was kept from.

A row reads what the rows before it kept, as runs after a deployment would. With `at_once`, so many
rows read the same stores, and what they keep is committed in the order of the rows. So the result
does not depend on which run ends first. Rows that choose, confirm or test commit nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.reach import keeps, reached_stores
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.lessons.acquiring import shuffled
from lmc.runtime.parameters import Parameters
from lmc.stores.snapshot import committed

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult
    from lmc.runtime.executor import Executor


def _check_keeps(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    if not keeps(executor.program, executor.program.graphs[target]):
        message = f"`{target}` keeps nothing, so its runs leave nothing to remember"
        help = "`keep value in store` keeps a record of a run"
        raise LmcError.of("no-stores", message, help=help)


@optimizer(
    paper="ExpeL, Zhao et al. 2023, arXiv 2308.10144",
    check=_check_keeps,
)
async def remember(
    start: Parameters, context: Context, *, rows: int | None, at_once: int, threshold: float
) -> Parameters:
    """Fill the stores with what the program keeps in its runs on train rows.

    A row reads what the rows before it kept. `at_once` rows read the same stores. What a run keeps
    counts if its score is at least `threshold`.
    """
    filled = start
    executor = context.open_executor(start)
    names = reached_stores(context.program, context.program.graphs[context.target])
    found = await asyncio.to_thread(executor.stores.read, names)
    records = {name: list(found[name].records) for name in names}
    with context.until_spent():
        ordered = shuffled(context, "remember")[:rows]
        for first in range(0, len(ordered), at_once):
            group = ordered[first : first + at_once]
            [results] = await context.trials.results("remembering", [filled], group)
            filled = start.with_stores(_after(context, records, results, threshold))
    if filled == start:
        context.tell("no run on the train rows kept anything")
        return start
    with context.until_spent():
        return await best_of(Candidate("start", start), [Candidate("filled", filled)], context)
    return start


def _after(
    context: Context,
    records: dict[str, list[Any]],
    results: Sequence[RowResult],
    threshold: float,
) -> Mapping[str, Sequence[Any]]:
    """The stores after a group of runs, in the order of the rows."""
    for result in results:
        if result.value is None or result.value < threshold:
            continue
        for name, value in result.kept:
            store = context.program.stores[name]
            records[name] = committed(store, records[name], [value])
    return {name: list(some) for name, some in records.items()}
