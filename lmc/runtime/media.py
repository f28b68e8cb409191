"""See before the first call that the models of a run take the media that its modules give them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph, Node
from lmc.ir.reach import reached_nodes
from lmc.media.content import KINDS
from lmc.models.base import ModelFailure
from lmc.models.media_parts import cannot_take
from lmc.requests.bound import fallbacks
from lmc.types import MediaType, RecordType, Type

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine


def require_media(machine: Machine, graph: Graph, stubbed: Collection[str]) -> None:
    """Refuse a run in which a model cannot take what it will be given.

    What may be left out, such as the files of a conversation, is seen when it is sent.
    Raises: LmcError[media-not-supported].
    """
    if graph.name in stubbed:
        return
    for node in reached_nodes(machine.program, graph, without=stubbed):
        if node.op == "model" and (kinds := list(dict.fromkeys(_given(machine, node)))):
            failure = _failure(machine, node, kinds)
            if failure is not None:
                message = f"`{node.attrs['slots'].module}`: {failure.message}"
                raise LmcError.of("media-not-supported", message, node.span, help=failure.hint)


def _given(machine: Machine, node: Node) -> Iterator[str]:
    """The kinds of media that a model call is given in any case."""
    types = machine.program.graphs.get(node.attrs["slots"].module)
    for port in types.inputs if types else ():
        if port.name in node.attrs["names"] and not port.has_default:
            yield from _kinds(port.type)


def _kinds(type: Type) -> Iterator[str]:
    match type:
        case MediaType(kind) if kind in KINDS:
            yield kind
        case RecordType(fields=fields):
            for field in fields:
                if not field.has_default:
                    yield from _kinds(field.type)


def _failure(machine: Machine, node: Node, kinds: list[str]) -> ModelFailure | None:
    """The failure of the model of a call; None if it, or one of its fallbacks, takes all kinds."""
    slots = node.attrs["slots"]
    own = machine.parameters.modules.get(slots.module)
    chosen = (own.model if own else None) or machine.resolve(slots.settings.get("model"))
    first = machine.pool.bind(machine.model or chosen)
    named = slots.settings.get("fallback", first.settings.get("fallback"))
    others = [] if machine.model else [machine.pool.bind(name) for name in fallbacks(named)]
    failures = []
    for bound in (first, *others):
        takes = bound.backend.capabilities.media
        missing = next((kind for kind in kinds if kind not in takes), None)
        if missing is None:
            return None
        failures.append(cannot_take(bound.name, missing, takes))
    return failures[0]
