"""Datasets of Ray: their rows go to the workers, and never to the driver.

Ray Data reads, cuts tables into blocks, hands them to tasks, and writes. A task here gives slices
of its block to the workers, which are actors with names, and puts the results together in order.
The accounts stay with the driver, as for all runs.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

from lmc.cluster.crew import MOST_TRIES, START_S
from lmc.cluster.far import FarExecutor
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.measure.blocks import BlockRows, block_failures, joined, require_free
from lmc.runtime.executor import Executor
from lmc.tasks.loop import run_sync

SLICE_ROWS = 512
EACH = 2  # slices of a task that a worker has: while one ends, the other one runs
TASKS = 2  # for the same reason
LOOK_S = 1.0


def map_dataset(
    executor: Executor,
    target: str,
    rows: BlockRows,
    dataset: Any,
    progress: Callable[[int], None] = lambda rows: None,
) -> Any:
    """The `ray.data.Dataset` with columns of results, which is computed when it is read.

    The executor and its workers must be there until then. `progress` is told of rows that ran.
    Raises: LmcError[not-on-cluster, unknown-data-format, missing-column, bad-row, no-workers].
    """
    from ray.data import Dataset, TaskPoolStrategy

    far_executor(executor)
    if not isinstance(dataset, Dataset):
        message = f"a Python {type(dataset).__name__} is not a dataset of Ray Data"
        help = "`ray.data.from_items` and others make one; `batch` takes rows"
        raise LmcError.of("unknown-data-format", message, help=help)
    schema = dataset.schema(fetch_if_missing=False)
    far = require_mappable(executor, target, rows, None if schema is None else schema.names)
    crew = far.crew
    run_sync(crew.free_hand())
    runs = SharedRuns(crew.name, crew.size, rows, (far.id, crew.open_runs(progress), target))
    compute = TaskPoolStrategy(size=TASKS)
    return dataset.map_batches(
        runs.of_block, batch_size=None, batch_format="pyarrow", num_cpus=0, compute=compute
    )


def require_mappable(
    executor: Executor, target: str, rows: BlockRows, names: Collection[str] | None
) -> FarExecutor:
    """See that workers can run a target on columns of these names, if they are known.

    Raises: LmcError[not-on-cluster, missing-column, bad-row].
    """
    far = far_executor(executor)
    crew = far.crew
    if why := far.stays(target):
        message = f"workers cannot run `{target}`: {why}"
        help = "give its rows to `batch`, or to `lmc batch` with a file for the results"
        raise LmcError.of("not-on-cluster", message, far.graph(target).span, help=help)
    if crew.free_cpus < 1:
        message = f"{crew.size} workers leave no CPU of the cluster to read and write the dataset"
        raise LmcError.of("not-on-cluster", message, help="give less: `--on ray?workers=N`")
    if names is not None:
        require_free(names)
        rows.require(names)
    return far


def far_executor(executor: Executor) -> FarExecutor:
    """An executor whose runs are on workers. Raises: LmcError[not-on-cluster]."""
    if not isinstance(executor, FarExecutor):
        message = "datasets and folders of results need workers"
        help = 'name a cluster: `--on ray`, or `on="ray"` in Python'
        raise LmcError.of("not-on-cluster", message, help=help)
    return executor


@frozen
class SharedRuns:
    """What tasks know: the name of the workers and their number, and what they are to run."""

    crew: str
    workers: int
    rows: BlockRows
    order: tuple[str, int, str]

    def of_block(self, block: Any) -> Iterator[Any]:
        """A `pyarrow.Table` with its results, slice by slice in order. Raises: LmcError."""
        if not block.num_rows:
            yield joined(block, block_failures(0, ""))
            return
        names = block.schema.names
        self.rows.require(names)
        hands = Hands(self.crew)
        needed = block.select(self.rows.needed(names) or names[:1])  # without columns: no rows
        starts = range(0, block.num_rows, SLICE_ROWS)
        slices = [BlockSlice(at, needed.slice(at, SLICE_ROWS)) for at in starts]
        waiting, out = slices[::-1], dict[Any, BlockSlice]()
        for one in slices:
            while one.results is None:
                while waiting and len(out) < EACH * self.workers and (hand := hands.free(out)):
                    given = waiting.pop()
                    given.hand = hand
                    out[hands.send(hand, self.rows, self.order, given.rows)] = given
                waiting += self._collected(out, hands)
            yield joined(block.slice(one.start, SLICE_ROWS), one.results)
            one.rows = one.results = None

    def _collected(self, out: dict[Any, BlockSlice], hands: Hands) -> list[BlockSlice]:
        """Take results that are there. Returns what lost workers had."""
        import ray

        if not out:
            time.sleep(LOOK_S / 10)  # until a worker is there
            return []
        lost = []
        for one in ray.wait([*out], timeout=LOOK_S)[0]:
            piece = out.pop(one)
            try:
                piece.results = ray.get(one)
            except ray.exceptions.RayActorError:
                hands.lose(piece.hand)
                piece.tries += 1
                if piece.tries < MOST_TRIES:
                    lost.append(piece)
                    continue
                words = f"{MOST_TRIES} workers were lost on it, one after the other"
                piece.results = block_failures(piece.rows.num_rows, words)
            except ray.exceptions.RayTaskError as problem:
                raise (problem.cause if isinstance(problem.cause, LmcError) else problem) from None
        return lost


class BlockSlice:
    """Some rows of a block, where they start in it, and who has them."""

    def __init__(self, start: int, rows: Any) -> None:
        self.start, self.rows, self.results = start, rows, None
        self.hand, self.tries = "", 0


class Hands:
    """The workers that a task knows: actors whose names begin with that of their crew."""

    def __init__(self, crew: str) -> None:
        self._crew = crew
        self._up: dict[str, Any] = {}
        self._coming: dict[Any, tuple[str, Any]] = {}
        self._seen: set[str] = set()
        self._worked_s, self._looked_s = time.monotonic(), float("-inf")

    def send(self, hand: str, rows: BlockRows, order: tuple[str, int, str], table: Any) -> Any:
        """Give rows to a worker. Returns what will be the results."""
        return self._up[hand].rows.remote(*order, rows, table)

    def lose(self, hand: str) -> None:
        """A worker is gone."""
        self._up.pop(hand, None)

    def free(self, out: dict[Any, BlockSlice]) -> str | None:
        """The worker with the least to do; None if there is none with room.

        Raises: LmcError[no-workers].
        """
        self._look()
        load = Counter(piece.hand for piece in out.values())
        fitting = [hand for hand in self._up if load[hand] < EACH]
        return min(fitting, key=lambda hand: (load[hand], random.random()), default=None)

    def _look(self) -> None:
        """Find workers that came. One that is not up yet would keep its rows waiting."""
        import ray

        now_s = time.monotonic()
        if self._up:
            self._worked_s = now_s
        elif now_s - self._worked_s > START_S:
            raise LmcError.of("no-workers", "all workers of the cluster are lost")
        if now_s - self._looked_s < LOOK_S and self._up:
            return
        self._looked_s = now_s
        for name in ray.util.list_named_actors():
            if name.startswith(self._crew) and name not in self._seen:
                try:
                    actor = ray.get_actor(name)
                except ValueError:  # it is gone again
                    continue
                self._seen.add(name)
                self._coming[actor.up.remote()] = name, actor
        for one in ray.wait([*self._coming], num_returns=len(self._coming), timeout=0)[0]:
            name, actor = self._coming.pop(one)
            try:
                self._up[name] = ray.get(one) and actor
            except ray.exceptions.RayActorError:
                continue
