"""What a program is measured on: its rows and its metric, found before anything is paid for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lmc.check.program import DatasetDef, OptimizeDef
from lmc.diagnostics import LmcError, error
from lmc.ir.graph import Graph
from lmc.measure.evaluate import Evaluation, Progress
from lmc.measure.evaluate import evaluate as evaluate_rows
from lmc.measure.metrics import Metric, resolve_metric
from lmc.measure.results import ResultsFile, write_results
from lmc.measure.rows import (
    Row,
    RowFile,
    Rows,
    Split,
    dataset_file,
    load_dataset,
    split_rows,
    target_row,
)
from lmc.program.program import Program, load
from lmc.requests.budget import Budget
from lmc.tasks.loop import run_sync
from lmc.types import RecordType

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

T = TypeVar("T")
Part = Literal["train", "dev", "test", "all"]


class Data:
    """Rows as they stand in their file, their parts, and their type where a `dataset` declares it.

    `declared_parts` says that a `dataset` tells which rows are for testing. A file is read when its
    rows are walked over, and split when a part is asked for.
    """

    def __init__(
        self,
        rows: Rows,
        split: Callable[[], Split],
        row_type: RecordType | None = None,
        *,
        declared_parts: bool = False,
    ) -> None:
        self.rows, self.row_type, self.declared_parts = rows, row_type, declared_parts
        self._split = split

    @cached_property
    def split(self) -> Split:
        """The parts."""
        return self._split()

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of the rows."""
        first = next(iter(self.rows), None)
        return tuple(first.values) if first else ()

    def part(self, name: Part | None) -> Rows:
        """The rows of a part; without a name those for testing, or all where none are set apart."""
        name = name or ("test" if self.declared_parts else "all")
        if name == "all":
            return self.rows
        chosen: tuple[Row, ...] = getattr(self.split, name)
        return chosen


NO_DATA = Data((), lambda: Split((), (), ()))


def declaration(program: Program, target: str | None) -> OptimizeDef | None:
    """The `optimize` block for a target; without one named, the file's last block."""
    blocks = program.checked.optimizes if program.checked else []
    fitting = [b for b in blocks if target is None or b.target == target]
    return fitting[-1] if fitting else None


def goal(program: Program, target: str | None) -> tuple[Graph, OptimizeDef | None]:
    """What is measured or improved (the named target, else the declared one), and its block."""
    declared = declaration(program, target)
    return program.target(target or (declared.target if declared else None)).graph, declared


def find_data(
    program: Program, graph: Graph, given: Any, declared: OptimizeDef | None, seed: int
) -> Data:
    """The rows of a dataset of the program, of a file, or given as mappings. Raises: LmcError."""
    datasets = program.checked.datasets if program.checked else {}
    inputs = [port.name for port in graph.inputs]
    given = given if given is not None else _declared_data(declared, datasets)
    if given is None:
        message = f"no data for `{graph.name}`"
        raise LmcError(
            error("no-data", message, help="give --data, or `data:` in an `optimize` block")
        )
    if isinstance(given, str) and given in datasets:
        dataset = datasets[given]

        def declared_split() -> Split:
            return load_dataset(dataset, program.base_dir, inputs=inputs, seed=seed)

        file = dataset_file(dataset, program.base_dir)
        return Data(file, declared_split, dataset.row, declared_parts="split" in dataset.settings)
    rows: Rows
    if isinstance(given, str | Path):
        rows = RowFile(Path(given), target_row(graph), others=True)
    else:
        rows = tuple(Row(f"{number}", dict(values)) for number, values in enumerate(given, start=1))
    return Data(rows, lambda: split_rows(list(rows), seed=seed, inputs=inputs))


def _declared_data(declared: OptimizeDef | None, datasets: Mapping[str, DatasetDef]) -> str | None:
    if declared is not None:
        return declared.data
    return next(iter(datasets), None) if len(datasets) == 1 else None


def find_metric(
    program: Program, graph: Graph, spec: Any, declared: OptimizeDef | None, data: Data
) -> Metric:
    """The metric that is named, declared, or the program's only one. Raises: LmcError."""
    if hasattr(spec, "score"):
        given: Metric = spec
        return given
    metrics = program.graph.metrics
    name = (
        spec
        or (declared.metric if declared else None)
        or (next(iter(metrics)) if len(metrics) == 1 else None)
    )
    return resolve_metric(
        name or "accuracy",
        program.graph,
        graph,
        data.columns,
        row_type=data.row_type,
        base_dir=program.base_dir,
        executor=program.executor,
    )


def evaluate(
    program: Program | str | Path, data: Any = None, metric: Any = None, **options: Any
) -> Evaluation:
    """Measure a program on rows; the options are those of `measure`."""
    loaded = program if isinstance(program, Program) else load(program)
    return measure(loaded, data=data, metric=metric, **options)


def measure(
    program: Program,
    *,
    metric: str | Metric | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Measure a program on rows; what is not given comes from its `optimize` block.

    `data` is a dataset of the program, a file, or rows as mappings; `part` is train, dev, test or
    all; `limit` takes the first rows alone. Other options are `target`, `seed` and `budget`.
    Raises: LmcError.
    """

    def run(executor: Executor, target: str, rows: Rows, metric: Metric) -> Awaitable[Evaluation]:
        return evaluate_rows(executor, target, rows, metric, progress=progress)

    return _measured(program, run, metric=metric, **options)


def measure_into(
    path: Path,
    program: Program,
    *,
    metric: str | Metric | None = None,
    progress: Progress | None = None,
    started: Callable[[Rows, Metric], None],
    **options: Any,
) -> ResultsFile:
    """As `measure`, with the results in a file; of a file that is measured whole no row is held.

    `started` is called with the rows and the metric when all is checked.
    """

    def run(executor: Executor, target: str, rows: Rows, metric: Metric) -> Awaitable[ResultsFile]:
        started(rows, metric)
        return write_results(path, executor, target, rows, metric, progress)

    return _measured(program, run, metric=metric, **options)


def _measured(
    program: Program,
    run: Callable[[Executor, str, Rows, Metric], Awaitable[T]],
    *,
    data: str | Path | Sequence[Mapping[str, Any]] | None = None,
    metric: str | Metric | None,
    target: str | None = None,
    part: Part | None = None,
    limit: int | None = None,
    seed: int = 0,
    budget: Mapping[str, float] | None = None,
) -> T:
    graph, declared = goal(program, target)
    found = find_data(program, graph, data, declared, seed)
    resolved = find_metric(program, graph, metric, declared, found)
    rows = found.part(part)
    rows = rows.head(limit) if isinstance(rows, RowFile) else tuple(rows)[:limit]
    if not len(rows):
        raise LmcError(error("too-few-rows", f"there are no rows to measure `{graph.name}` on"))
    pool = program.open_pool(budget=Budget.within(budget)) if budget else program.pool
    try:
        executor = program.open_executor(pool)
        executor.preflight(graph.name)

        async def work() -> T:
            return await run(executor, graph.name, rows, resolved)

        return run_sync(work())
    finally:
        if pool is not program.pool:
            run_sync(pool.close())
