"""What a program is measured on: its rows and its metric, found before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmc.check.program import DatasetDef, OptimizeDef
from lmc.check.types import RecordType
from lmc.diagnostics import LmcError, error
from lmc.ir.graph import Graph
from lmc.runtime.budget import Budget
from lmc.runtime.data import Row, Split, load_dataset, load_rows, split_rows, target_row
from lmc.runtime.evaluate import Evaluation, Progress, evaluate
from lmc.runtime.loop import run_sync
from lmc.runtime.metrics import Metric, resolve_metric

if TYPE_CHECKING:
    from lmc.runtime.program import Program

Part = Literal["train", "dev", "test", "all"]


@dataclass(frozen=True, slots=True)
class Data:
    """Rows in their parts, and their type where a `dataset` declares it."""

    rows: tuple[Row, ...]  # as they stand in their file
    split: Split
    row_type: RecordType | None
    declared_parts: bool  # a `dataset` says which rows are for testing

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of the rows."""
        return tuple(self.rows[0].values) if self.rows else ()

    def part(self, name: Part | None) -> tuple[Row, ...]:
        """The rows of a part; without a name those for testing, or all where none are set apart."""
        name = name or ("test" if self.declared_parts else "all")
        return self.rows if name == "all" else getattr(self.split, name)


NO_DATA = Data((), Split((), (), ()), None, False)


def declaration(program: Program, target: str | None) -> OptimizeDef | None:
    """The `optimize` block for a target; without one named, the file's last block."""
    blocks = program.checked.optimizes if program.checked else []
    fitting = [b for b in blocks if target is None or b.target == target]
    return fitting[-1] if fitting else None


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
        split = load_dataset(dataset, program.base_dir, inputs=inputs, seed=seed)
        return Data(split.all, split, dataset.row, "split" in dataset.settings)
    if isinstance(given, str | Path):
        rows = load_rows(Path(given), target_row(graph), others=True)
    else:
        rows = [Row(f"{number}", dict(values)) for number, values in enumerate(given, start=1)]
    return Data(tuple(rows), split_rows(rows, seed=seed, inputs=inputs), None, False)


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


def measure(
    program: Program,
    *,
    data: str | Path | Sequence[Mapping[str, Any]] | None = None,
    metric: str | Metric | None = None,
    target: str | None = None,
    part: Part | None = None,
    limit: int | None = None,
    seed: int = 0,
    budget: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    started: Any = None,
) -> Evaluation:
    """Measure a program on rows; what is not given comes from its `optimize` block.

    `data` is a dataset of the program, a file, or rows as mappings; `part` is train, dev, test or
    all. `started` is called with the rows and the metric when all is checked. Raises: LmcError.
    """
    declared = declaration(program, target)
    graph = program.target(target or (declared.target if declared else None)).graph
    found = find_data(program, graph, data, declared, seed)
    resolved = find_metric(program, graph, metric, declared, found)
    rows = found.part(part)[:limit]
    if not rows:
        raise LmcError(error("too-few-rows", f"there are no rows to measure `{graph.name}` on"))
    pool = program.open_pool(budget=_budget(budget)) if budget else program.pool
    try:
        executor = program.open_executor(pool)
        executor.preflight(graph.name)
        if started is not None:
            started(rows, resolved)
        return run_sync(evaluate(executor, graph.name, rows, resolved, progress=progress))
    finally:
        if pool is not program.pool:
            run_sync(pool.close())


def _budget(limits: Mapping[str, float]) -> Budget:
    calls, tokens = limits.get("calls"), limits.get("tokens")
    return Budget(
        None if calls is None else int(calls),
        None if tokens is None else int(tokens),
        limits.get("usd"),
        limits.get("minutes"),
    )
