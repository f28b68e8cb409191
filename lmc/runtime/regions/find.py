"""What a store holds that is nearest to a query by meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmc.ir.functions import FUNCTIONS
from lmc.ir.words import text_of
from lmc.models.base import Answer, ModelFailure
from lmc.requests.usage import Usage
from lmc.runtime.failures import Attempts, no_answer
from lmc.runtime.plan import PlannedNode
from lmc.runtime.scope import Scope

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine
    from lmc.runtime.retrieval import MeaningIndex


async def perform_find(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> list[Any]:
    """The records that are most like a query.

    A model that replaces all others is none of embeddings, so words are compared then.
    """
    name = planned.node.attrs["store"]
    query, count = args
    records = scope.run.stubs.get(name, scope.run.stores[name].records)
    if len(records) < 2 or machine.model is not None or name in scope.run.stubs:
        found: list[Any] = FUNCTIONS["find"]({}, records, query, count)
        return found

    async def by_meaning(within: Scope) -> list[Any]:
        index = _index(machine, name, records)
        try:
            numbers, answer = await index.nearest(query, count)
        except ModelFailure as failure:
            embedder = f"`{machine.program.stores[name].embedder}`"
            raise no_answer(name, embedder, planned.node.span, failure, Attempts()) from failure
        if within.run.trace is not None:
            within.run.trace.found += Usage.of([answer, *index.paid])
        index.paid = []  # they are paid once
        return [records[number] for number in numbers]

    nearest: list[Any] = await scope.region(
        "find", name, {"query": query, "count": count}, by_meaning
    )
    return nearest


def _index(machine: Machine, name: str, records: list[Any]) -> MeaningIndex:
    """The index over a snapshot, kept for the runs that read the same one."""
    from lmc.models.embedding import embedding_request
    from lmc.runtime.retrieval import MeaningIndex

    held = machine.meanings.get(name)
    if held is None or held[0] is not records:

        async def embed(text: str) -> Answer:
            embedder = machine.program.stores[name].embedder
            (answer,) = await machine.pool.ask(embedder, embedding_request(text))
            return answer

        held = machine.meanings[name] = (records, MeaningIndex([*map(text_of, records)], embed))
    return held[1]
