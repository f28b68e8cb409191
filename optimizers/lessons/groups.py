"""The modules of a program that are trained together: those that share an adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lmc.frozen import frozen
from lmc.ir.graph import Graph
from lmc.models.adapters import Adapter, AdapterStore, is_adapter_id

if TYPE_CHECKING:
    from lmc.runtime.call import ModuleCall
    from lmc.runtime.executor import Executor
    from lmc.runtime.plan import Plan


@frozen
class Group:
    """Modules that share one adapter: the name of the adapter and the calls of the modules."""

    name: str
    calls: tuple[ModuleCall, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules' names."""
        return tuple(call.slots.module for call in self.calls)


def groups(executor: Executor, *targets: str, apart: bool = False) -> list[Group]:
    """The modules that some targets reach, grouped by their adapter.

    Modules with the same `adapter: name` in the source share their weights, unless they are to be
    kept `apart`. Others have their own.
    """
    found: dict[str, dict[str, ModuleCall]] = {}
    for call in (call for target in targets for call in module_calls(executor, target)):
        name = call.slots.module if apart else call.settings.get("adapter") or call.slots.module
        found.setdefault(name, {}).setdefault(call.slots.module, call)
    return [Group(name, tuple(calls.values())) for name, calls in found.items()]


def module_calls(executor: Executor, target: str) -> Iterator[ModuleCall]:
    """Every model call that a run of the target can reach, bound to its model."""
    seen: set[str] = set()

    def walk(plan: Plan) -> Iterator[ModuleCall]:
        for planned in plan.nodes:
            if planned.node.op == "model":
                yield executor.module_call(planned)
            for body in planned.bodies.values():
                yield from walk(body)
            if planned.node.op == "call":
                yield from enter(executor.program.graphs[planned.node.attrs["target"]])

    def enter(graph: Graph) -> Iterator[ModuleCall]:
        if graph.name not in seen:
            seen.add(graph.name)
            yield from walk(executor.plan(graph))

    yield from enter(executor.program.graphs[target])


def adapter_of(group: Group, store: AdapterStore) -> Adapter | None:
    """The adapter that the modules of a group use, if they use one that is stored here."""
    id = group.calls[0].request.adapter
    return store.find(id) if id and is_adapter_id(id) else None


def moved(
    before: Iterable[Group], after: Iterable[Group], store: AdapterStore
) -> Iterator[tuple[Group, Adapter | None, Adapter]]:
    """The groups that use another adapter than before, with the old one, if any, and the new."""
    first = {group.name: group for group in before}
    for group in after:
        old, now = (adapter_of(g, store) if g else None for g in (first.get(group.name), group))
        if now is not None and (old is None or old.id != now.id):
            yield group, old, now
