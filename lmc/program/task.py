"""A task: the target to measure or improve, its rows and its metric.

Everything is found and checked before the first model call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from lmc.check.made_rows import MADE
from lmc.check.program import DatasetDef, OptimizeDef
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.graph import Graph, ProgramGraph
from lmc.ir.reach import reached_tools
from lmc.measure.metric_functions import function_metric
from lmc.measure.metrics import Metric, resolve_metric
from lmc.measure.rows import (
    Row,
    Rows,
    SourceRows,
    Split,
    dataset_file,
    load_dataset,
    split_rows,
    target_row,
)
from lmc.measure.sources import TableRows, file_source, given_source, object_source
from lmc.program.options import Part, TaskOptions
from lmc.program.program import Program
from lmc.types import RecordType


@frozen
class Target:
    """A module or pipeline of a program, with its `optimize` block."""

    program: Program
    graph: Graph
    declared: OptimizeDef | None

    @property
    def datasets(self) -> Mapping[str, DatasetDef]:
        """The datasets that the program declares."""
        return self.program.blocks.datasets


class Data:
    """Rows in the order of their file, their parts, and their type if a `dataset` declares it.

    `declared_parts` is True if a `dataset` declares which rows are for testing. A file is read on
    each iteration over its rows, and split when a part is first needed.
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
        """The parts of the rows."""
        return self._split()

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of the rows."""
        first = next(iter(self.rows), None)
        return tuple(first.values) if first else ()

    def part(self, name: Part | None) -> Rows:
        """The rows of a part.

        Without a name, the test rows, or all rows if no `dataset` declares test rows.
        """
        name = name or ("test" if self.declared_parts else "all")
        if name == "all":
            return self.rows
        chosen: tuple[Row, ...] = getattr(self.split, name)
        return chosen


NO_DATA = Data((), lambda: Split((), (), ()))


@frozen
class Task:
    """A target with its rows, its metric, and the seed of all random choices."""

    target: Target
    data: Data
    metric: Metric
    seed: int

    @property
    def program(self) -> Program:
        """The program that the target belongs to."""
        return self.target.program

    @property
    def graph(self) -> Graph:
        """The graph of the target."""
        return self.target.graph


def find_task(program: Program, options: TaskOptions) -> Task:
    """Make a task from the options, and from the `optimize` block for others. Raises: LmcError."""
    target = find_target(program, options.target)
    require_effects(program.graph, target.graph, allowed=options.effects)
    data = find_data(target, options.data, options.seed)
    metric = find_metric(target, data, options.metric)
    require_effects(program.graph, target.graph, [metric.name], allowed=options.effects)
    return Task(target, data, metric, options.seed)


def require_effects(
    program: ProgramGraph, graph: Graph, judges: Iterable[str] = (), *, allowed: bool
) -> None:
    """See that what a target does in the world may be done on every row.

    `judges` names what scores the rows; metrics of the program have effects too.
    Raises: LmcError[effects-not-allowed].
    """
    acting = acting_tools(program, graph, judges)
    if acting and not allowed:
        told = ", ".join(f"`{name}`" for name in acting)
        message = f"each row would have the effect of {told}, as often as `{graph.name}` runs on it"
        help = "if that is meant: `--allow-effects`, or `effects=True` in Python"
        raise LmcError.of("effects-not-allowed", message, graph.span, help=help)


def acting_tools(program: ProgramGraph, graph: Graph, judges: Iterable[str] = ()) -> list[str]:
    """The tools with an effect that a target, or what scores its rows, can call."""
    metrics = (program.metrics[name].graph for name in judges if name in program.metrics)
    graphs = [graph, *(metric for metric in metrics if metric is not None)]
    reached = dict.fromkeys(name for g in graphs for name in reached_tools(program, g))
    return [name for name in reached if program.tools[name].settings.get("effect")]


def find_target(program: Program, name: str | None) -> Target:
    """The named module or pipeline, else the target of the last `optimize` block.

    Raises: LmcError[unknown-target, nothing-to-run].
    """
    fitting = [block for block in program.blocks.optimizes if name is None or block.target == name]
    declared = fitting[-1] if fitting else None
    name = name or (declared.target if declared else None)
    return Target(program, program.target(name).graph, declared)


def find_data(target: Target, given: Any, seed: int) -> Data:
    """The rows of a dataset of the program, of a file, or of a sequence of mappings.

    Raises: LmcError[no-data, held-sources], and errors in the rows.
    """
    program, graph = target.program, target.graph
    inputs = [port.name for port in graph.inputs]
    given = given if given is not None else declared_data(target)
    if given is None:
        raise no_data(target)
    if isinstance(given, str) and given in target.datasets:
        dataset = target.datasets[given]
        if MADE in dataset.settings:
            message = f"the rows of `{given}` are made by a program, and prove nothing"
            raise LmcError.of("bad-made-rows", message, dataset.span)

        def declared_split() -> Split:
            return load_dataset(
                dataset, program.base_dir, inputs=inputs, seed=seed, consent=program.consent
            )

        file = dataset_file(dataset, program.base_dir, program.consent)
        return Data(file, declared_split, dataset.row, declared_parts="split" in dataset.settings)
    rows = _given_rows(program, graph, given)
    return Data(rows, lambda: split_rows(list(rows), seed=seed, inputs=inputs))


def _given_rows(program: Program, graph: Graph, given: Any) -> Rows:
    """Rows of files, queries and datasets that the user names, of tables, and of mappings.

    Mappings are held in memory. Raises: LmcError.
    """
    options: Any = {"others": True, "consent": program.consent}
    if isinstance(given, str | Path):
        source = given_source(given) if isinstance(given, str) else file_source(given)
        return SourceRows(source, target_row(graph), **options)
    if (table := object_source(given)) is not None:
        return SourceRows(table, target_row(graph), **options)
    if not (held := list(given)):
        return ()
    rows = SourceRows(TableRows("the data", lambda: held), target_row(graph), **options)
    return tuple(Row(f"{number}", row.values) for number, row in enumerate(rows, start=1))


def no_data(target: Target) -> LmcError:
    """The error of a target that has no rows."""
    help = "give --data, or `data:` in an `optimize` block"
    if target.program.blocks.held:
        help = "give --data: the sources in the artifact have no dataset for it"
    return LmcError.of("no-data", f"no data for `{target.graph.name}`", help=help)


def declared_data(target: Target) -> str | None:
    """The dataset of the `optimize` block, else the only one of the program.

    Raises: LmcError[held-sources].
    """
    target.program.blocks.require("the data", "--data")
    if target.declared is not None:
        return target.declared.data
    datasets = [name for name, d in target.datasets.items() if MADE not in d.settings]
    return datasets[0] if len(datasets) == 1 else None


def metric_name(target: Target, given: Any) -> Any:
    """The given metric, else the one of the `optimize` block, else the program's only one.

    None if there is no such metric. Raises: LmcError[held-sources].
    """
    if given:
        return given
    target.program.blocks.require("the metric", "--metric")
    metrics = target.program.graph.metrics
    declared = target.declared.metric if target.declared else None
    return declared or (next(iter(metrics)) if len(metrics) == 1 else None)


def find_metric(target: Target, data: Data, given: Any) -> Metric:
    """The metric that `metric_name` finds, else accuracy.

    Raises: LmcError[unknown-metric], and errors if it does not fit the target or the rows.
    """
    if hasattr(given, "score"):
        own: Metric = given
        return own
    program = target.program
    if callable(given):
        name = getattr(given, "__name__", type(given).__name__)
        result = target.graph.result
        return function_metric(name, name, data.row_type, result, None, given=given)
    if given is not None and not isinstance(given, str):
        message = f"a Python {type(given).__name__} is not a metric"
        help = "give a name, a function, or an object with `score`"
        raise LmcError.of("unknown-metric", message, help=help)
    return resolve_metric(
        metric_name(target, given) or "accuracy",
        program.graph,
        target.graph,
        data.columns,
        row_type=data.row_type,
        base_dir=program.base_dir,
        executor=program.executor,
        consent=program.consent,
    )
