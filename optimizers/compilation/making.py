"""Makes the rows of a `dataset` that a program makes. They train, and never prove anything.

Making is a run of the program like any other: it counts against the budget, and the trace store
has it. The id of a made row ends with that of the row it was made of.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmc.check.made_rows import Making
from lmc.diagnostics import LmcError, suggestion
from lmc.measure.rows import Row
from lmc.optimizers.base import MadeRow
from lmc.optimizers.candidates.trials import UNSCORED, Mode, Trials
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.optimizers.compilation.job import CompileJob
from lmc.optimizers.compilation.seeds import find_making, made_by, seed_rows
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run

if TYPE_CHECKING:
    from lmc.check.program import Step

ReadRuns = Callable[[Parameters, Sequence[Row], Mode], Awaitable[list[Run]]]
_BATCH_ROWS = 32
_PASSES = 4  # times that a row is asked for others, while new ones come
_RUNS_SHARE = 0.25  # largest share of the remaining runs


def require_rows(job: CompileJob, step: Step) -> None:
    """See that the graph of a step can run on the rows that the step names.

    Raises: LmcError[unknown-dataset, bad-made-rows, missing-column, unknown-target].
    """
    options = BY_NAME[step.name].signature.complete(step.kwargs)
    name, source = made_by(step), options.get("from")
    if name is None and source is None:
        return
    graphs = job.program.graph.graphs
    if source is not None and source not in graphs:
        message = f"no module or pipeline is called `{source}`"
        raise LmcError.of("unknown-target", message, help=suggestion(source, graphs))
    graph = graphs[source or job.target]
    if name is not None:
        find_making(job.task.target, name)
        known = {field.name for field in job.task.target.datasets[name].row.fields}
    else:
        known = {name for row in job.rows.train[:1] for name in row.values}
    needed = [p.name for p in graph.inputs if not p.has_default and not p.train]
    missing = [f"`{column}`" for column in needed if column not in known]
    if missing and known:
        rows = f"the rows of `{name}`" if name else "the rows"
        message = f"{rows} have no column {', '.join(missing)}, which `{graph.name}` takes"
        raise LmcError.of("missing-column", message, graph.span)


class RowMaker:
    """Makes rows within the budget of a compilation."""

    def __init__(self, job: CompileJob, trials: Trials, runs: ReadRuns) -> None:
        self.job, self.trials, self.runs = job, trials, runs

    def target(self, name: str) -> str:
        """What makes the rows. Raises: LmcError[unknown-dataset, bad-made-rows]."""
        return find_making(self.job.task.target, name).target

    async def rows(self, name: str, parameters: Parameters, first: int) -> list[MadeRow]:
        """Up to `n` different rows that no row of the data equals, made by some parameters.

        `first` is the number of the first sample, so that each round makes others.
        Raises: LmcError[unknown-dataset, bad-made-rows], BudgetExceeded.
        """
        task, train = self.job.task, self.job.rows.train
        making = find_making(task.target, name)
        seeds = seed_rows(task.target, making, train, task.seed)
        found: dict[str, MadeRow] = {}
        taken = self._taken()
        for sample in range(first, first + _PASSES):
            before = len(found)
            room = int(min(len(seeds), self.trials.runs_left() * _RUNS_SHARE))
            for start in range(0, room, _BATCH_ROWS):
                batch = seeds[start : min(room, start + _BATCH_ROWS)]
                made = await self._made(name, making, batch, parameters, sample)
                fresh = [m for m in made if self._key(m.row) not in taken | found.keys()]
                for one in await self._valid(making, fresh, parameters):
                    if len(found) < making.n:
                        found.setdefault(self._key(one.row), one)
                if len(found) == making.n:
                    return list(found.values())
            if len(found) == before:
                break
        return list(found.values())

    async def _made(
        self, name: str, making: Making, seeds: Sequence[Row], parameters: Parameters, sample: int
    ) -> list[MadeRow]:
        rows = [
            Row(row.id, {p: row.values[f] for p, f in making.inputs.items() if f in row.values})
            for row in seeds
        ]
        mode = Mode(training=True, sample=sample, target=making.target, metric=UNSCORED)
        return [
            MadeRow(Row(f"{name}/{sample}.{number}/{run.row}", values), run)
            for run in await self._run("making rows", parameters, rows, mode)
            for number, values in enumerate(_items(run.pred))
        ]

    async def _valid(
        self, making: Making, made: Sequence[MadeRow], parameters: Parameters
    ) -> list[MadeRow]:
        if making.where is None:
            return list(made)
        rows = [Row(one.row.id, {making.subject: one.row.values}) for one in made]
        mode = Mode(training=True, target=making.where, metric=UNSCORED)
        runs = await self._run("checking made rows", parameters, rows, mode)
        right = {run.row for run in runs if run.pred is True}
        return [one for one in made if one.row.id in right]

    async def _run(
        self, stage: str, parameters: Parameters, rows: Sequence[Row], mode: Mode
    ) -> list[Run]:
        if not rows:
            return []
        await self.trials.results(stage, [parameters], rows, mode)
        return [run for run in await self.runs(parameters, rows, mode) if not run.failed]

    def _taken(self) -> set[str]:
        """The keys of all rows of the data. What a row of them asks is not made again."""
        rows = self.job.rows
        parts = (rows.train, rows.select, rows.confirm, rows.test)
        return {self._key(row) for part in parts for row in part}

    def _key(self, row: Row) -> str:
        """What a row asks: the target's inputs in it, else all of it. Case and space are alike."""
        names = [port.name for port in self.job.task.graph.inputs if not port.train]
        asked = {name: row.values[name] for name in names if name in row.values}
        text = json.dumps(asked or dict(row.values), sort_keys=True, ensure_ascii=False)
        return " ".join(text.casefold().split())


def _items(made: Any) -> Iterator[Mapping[str, Any]]:
    items: Iterable[Any] = made if isinstance(made, list) else [made]
    return (item for item in items if isinstance(item, Mapping))
