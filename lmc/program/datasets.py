"""Runs a program on Parquet files by workers, which write the results to a folder."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.graph import Graph
from lmc.measure.blocks import BlockRows
from lmc.measure.results_tables import SUFFIXES as PARQUET
from lmc.measure.rows import dataset_file, target_row
from lmc.measure.sources import FileRows, given_source, parts
from lmc.program.measuring import running, what_runs
from lmc.program.options import EvaluateOptions
from lmc.program.program import Program
from lmc.program.task import Target, acting_tools, declared_data, find_target, no_data
from lmc.requests.budget import Budget
from lmc.requests.usage import Usage
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_sync

if TYPE_CHECKING:
    from lmc.cluster.ray_folders import FailedRow


@frozen
class FolderFigures:
    """What a folder of results holds, and what this run used."""

    rows: int
    failed: int
    first_failures: Sequence[FailedRow]
    usage: Usage


def batch_into_folder(
    out: str,
    program: Program,
    started: Callable[[int], None],
    progress: Callable[[int], None],
    options: EvaluateOptions,
) -> FolderFigures:
    """Run a program on Parquet files, and write Parquet files with the results to a folder.

    Workers read, run and write; no row is in the driver. `started` is told the number of rows,
    `progress` how many more are done. A run that was killed goes on with the rows that are missing.
    Raises: LmcError[not-on-cluster, cannot-read, cannot-write, bad-row], and as `evaluate`.
    """
    from lmc.cluster.ray_datasets import far_executor, map_dataset, require_mappable
    from lmc.cluster.ray_folders import BLOCK_ROWS, Folder, few_readers, quietly, read_parquet

    target = find_target(program, options.target)
    graph = target.graph
    far_executor(program.executor)  # or it says why not, before Ray starts
    if acting := acting_tools(program.graph, graph):
        message = f"the rows of a folder may run twice, and `{acting[0]}` has an effect"
        help = "name a file for the results: each of its rows runs once"
        raise LmcError.of("effects-not-allowed", message, graph.span, help=help)
    paths, rows = _source(target, options.data)
    folder, budget = Folder.of(out), Budget.within(options.budget) if options.budget else None
    with ExitStack() as stack, few_readers(), quietly():
        dataset = read_parquet(paths)
        executor = stack.enter_context(_running(program, graph.name, budget))
        require_mappable(executor, graph.name, rows, dataset.schema().names)
        wanted = min(dataset.count(), options.limit or sys.maxsize)
        if not wanted:
            raise LmcError.of("no-rows", f"`{options.data or 'the dataset'}` has no rows")
        finished = folder.begin(_asked(program, graph, paths, options))
        started(wanted)
        progress(finished)
        if options.limit is not None:  # the first rows that are not finished
            dataset = dataset.limit(wanted - finished)
        blocks = dataset.repartition(target_num_rows_per_block=BLOCK_ROWS)
        folder.write(map_dataset(executor, graph.name, rows, blocks, progress))
        usage = executor.pool.usage
    found = folder.written()
    return FolderFigures(found.rows, found.failed, found.first_failures, usage)


@contextmanager
def _running(program: Program, target: str, budget: Budget | None) -> Iterator[Executor]:
    """As `running`, for a thread that waits for Ray."""
    stack = AsyncExitStack()
    executor = run_sync(stack.enter_async_context(running(program, target, budget)))
    try:
        yield executor
    finally:
        run_sync(stack.aclose())


def _source(target: Target, given: Any) -> tuple[list[str] | str, BlockRows]:
    """The Parquet files of the rows, or their address, and how rows become inputs.

    Raises: LmcError[no-data, unknown-data-format].
    """
    program, columns, row = target.program, {}, target_row(target.graph)
    named = given if given is not None else declared_data(target)
    if named is None:
        raise no_data(target)
    if "://" in str(named) and "#" not in str(named):
        return str(named), BlockRows(row, {}, program.consent)
    if named in target.datasets:
        file = dataset_file(target.datasets[named], program.base_dir, program.consent)
        source, row = file.source, file.row or row
        columns = dict(file.columns)
    else:
        source = given_source(str(named))
    files = [part.path for part in parts(source) if isinstance(part, FileRows)]
    if not files or any(file.suffix.lower() not in PARQUET for file in files):
        message = f"workers read Parquet files, and `{source.name}` has others"
        help = "convert them, or name a file for the results"
        raise LmcError.of("unknown-data-format", message, help=help)
    return [str(file.absolute()) for file in files], BlockRows(row, columns, program.consent)


def _asked(program: Program, graph: Graph, paths: Sequence[str], options: EvaluateOptions) -> str:
    """A hash of what makes the results what they are."""
    files = [paths] if isinstance(paths, str) else [*map(_version, paths)]
    told = (*what_runs(program, graph), repr(files), repr(options.limit))
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def _version(path: str) -> tuple[str, int, int]:
    found = os.stat(path)
    return path, found.st_size, found.st_mtime_ns
