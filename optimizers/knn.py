"""Retrieves the nearest demonstrations for each input.

Source: Liu et al. 2022, arXiv 2101.06804 (kNN selection; DSPy's KNNFewShot). Differences:
similarity is BM25; if an embedding model is named, both race. The pool holds accepted runs of every
module as well as labelled rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.models.embedding import PREFIX
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.candidates.trials import Mode, parameters_key
from lmc.optimizers.lessons.acquiring import NO_DEMOS, Harvest, shuffled
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


def _check_embedder(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    name = options.get("embedder")
    if name is not None and not executor.pool.full_name(name).startswith(PREFIX):
        message = f"`{name}` is not the name of an embedding model"
        raise LmcError.of("unknown-model", message, help=f"write `{PREFIX}{name}`")


@optimizer(
    paper="What Makes Good In-Context Examples, Liu et al. 2022, arXiv 2101.06804",
    check=_check_embedder,
)
async def knn(
    start: Parameters,
    context: Context,
    *,
    demos: int,
    pool: int,
    threshold: float,
    teacher: str | None,
    embedder: str | None,
) -> Parameters:
    """Show with each input the `demos` nearest demonstrations from a pool of `pool`.

    The pool has labelled rows and calls of accepted runs. `teacher`, a model or an artifact, makes
    these runs instead of the program. `embedder` is an embedding model such as
    `embed/openai/NAME`. Similarity by its embeddings then races against similarity by words.
    What is asked for, or was found before, loses only to what is better by more than chance.
    """
    harvest = Harvest(context, threshold)
    with context.until_spent():
        if teacher is not None or not harvest.says_all():
            rows, mode = shuffled(context, "knn"), Mode(teacher, training=True)
            await harvest.gather(start, rows, pool, mode, "accepted runs")
        pools = {"traced": harvest.traced, "mixed": harvest.mixed(), "labeled": harvest.labeled}
        counts = dict.fromkeys((demos, 1, max(1, demos // 2)))
        rivals: dict[str, Candidate] = {}  # a small budget drops the last
        for model, count, name in product(dict.fromkeys((embedder, None)), counts, pools):
            changed = _with_nearest(start, pools[name], pool, count, model)
            if changed != start:
                by = "by meaning" if model else "nearest"
                rival = Candidate(f"{name}, {count} {by}", changed, count)
                rivals.setdefault(parameters_key(changed), rival)
        if not rivals:
            context.tell(NO_DEMOS)
            return start
        incumbent, others = Candidate("start", start), list(rivals.values())
        shown = any(module.nearest is not None for module in start.modules.values())
        return await best_of(incumbent, others, context, incumbent if shown else others[0])
    return start


def _with_nearest(
    start: Parameters, found: DemoPool, pool: int, count: int, embedder: str | None
) -> Parameters:
    changed = start
    for name in found.by_module:
        if demos := tuple(found.of(name)[:pool]):
            changed = changed.with_slots(name, demos=demos, nearest=count, embedder=embedder)
    return changed
