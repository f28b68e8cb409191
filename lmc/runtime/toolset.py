"""The tools that an agent has in one run: those of the source, and those of its servers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmc.frozen import frozen
from lmc.ir.actions import FINISH
from lmc.ir.graph import Graph, Offer
from lmc.ir.reach import acting, acts, pure_tools
from lmc.prompts.tool_turns import OfferedTool, parameters_schema, wire_names
from lmc.runtime.binding import bind_inputs
from lmc.runtime.plan import PlannedNode
from lmc.types import Type
from lmc.values import InvalidValue, validate

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine
    from lmc.runtime.scope import Scope

MOST_REMOTE = 200  # tools of one server that a model is offered
_NAME = re.compile(r"\W+")


class BadArgument(ValueError):
    """An argument that does not have the type of its parameter. The message is for the model."""


def _checked(type: Type, name: str, value: Any) -> Any:
    try:
        return validate(type, value, lenient=True)
    except InvalidValue as problem:
        raise BadArgument(f"the argument `{name}`: {problem}") from None


@frozen
class Card:
    """One tool of an agent: what its model sees, and the body that runs it.

    `remote` is the tool's name on its server, and `schema` the parameters as the server has them.
    """

    offer: Offer
    body: str
    remote: str | None = None
    schema: Mapping[str, Any] | None = None

    def bound(self, arguments: Any) -> dict[str, Any]:
        """The inputs of the body for some arguments, checked by type.

        Raises: BadArgument, LmcError[missing-input, unknown-input].
        """
        ports = self.offer.inputs
        given = arguments if isinstance(arguments, dict) else {}
        if not isinstance(arguments, dict) and len(ports) == 1:
            given = {ports[0].name: arguments}
        types = {port.name: port.type for port in ports}
        env = bind_inputs(Graph(self.offer.name, ports, self.offer.result, ()), given)
        checked = {key: _checked(types[key], key, value) for key, value in given.items()}
        if self.remote is None:
            return env | checked
        told = {key: value for key, value in checked.items() if value is not None}
        return {"tool": self.remote, "arguments": told}

    def tool(self, wire: str) -> OfferedTool:
        """The tool for the protocol of a provider."""
        ports = ((p.name, p.type, p.note, p.has_default, p.default) for p in self.offer.inputs)
        schema = dict(self.schema) if self.schema is not None else parameters_schema(ports)
        return OfferedTool(wire, self.offer.name, self.offer.doc, schema)


class Toolset:
    """The tools of an agent by the name that its model uses.

    With `open_ended`, they are not only those of the source.
    """

    def __init__(self, cards: Iterable[Card], *, open_ended: bool = False) -> None:
        self.cards = {card.offer.name: card for card in cards}
        self.open_ended = open_ended

    @property
    def offers(self) -> list[Offer]:
        """What the model sees."""
        return [card.offer for card in self.cards.values()]

    @cached_property
    def tools(self) -> list[OfferedTool]:
        """The tools for the protocol of a provider."""
        wires = wire_names(self.cards)
        return [card.tool(wires[name]) for name, card in self.cards.items()]


async def toolset_of(machine: Machine, planned: PlannedNode, scope: Scope) -> Toolset:
    """The tools of an agent. Its servers are asked for theirs. Raises: LmcError[tool-failed]."""
    offers = _offers(planned)
    chosen = machine.resolve(planned.node.attrs.get("tools"))
    kept = [o for o in offers if chosen is None or o.name in chosen]
    cards = [Card(offer, offer.name) for offer in kept if not _is_open(offer, scope)]
    servers = [offer for offer in kept if _is_open(offer, scope)]
    listings = await asyncio.gather(*(machine.list_tools(s.name, planned.node) for s in servers))
    taken = {FINISH, *(card.offer.name for card in cards)}
    names = [tool.name for listing in listings for tool in listing]
    twice = {name for name in names if names.count(name) > 1} if len(servers) > 1 else set()
    for server, listing in zip(servers, listings):
        for card in _cards_of(server, listing, taken | twice):
            taken.add(card.offer.name)
            cards.append(card)
    return Toolset(cards, open_ended=bool(servers))


def _offers(planned: PlannedNode) -> Sequence[Offer]:
    """The tools in the source. A graph of an older version describes them by their bodies only."""
    for planned_node in planned.bodies["act"].nodes:
        if "offers" in planned_node.node.attrs:
            offers: Sequence[Offer] = planned_node.node.attrs["offers"]
            return offers
    graphs = (plan.graph for key, plan in planned.bodies.items() if key != "act")
    return [Offer(graph.name, graph.inputs, graph.result, graph.doc) for graph in graphs]


def _is_open(offer: Offer, scope: Scope) -> bool:
    return offer.server and offer.name not in scope.run.stubs


def _cards_of(server: Offer, listing: Sequence[Any], taken: set[str]) -> list[Card]:
    """The tools of a server. A name that another tool has gets that of the server before it."""
    cards = []
    used = set(taken)
    for tool in listing[:MOST_REMOTE]:
        name = _NAME.sub("_", tool.name)
        if name in used:
            name = f"{_NAME.sub('_', server.name)}_{name}"
        if name in used:
            continue
        used.add(name)
        offer = replace(server, name=name, inputs=tool.inputs, doc=tool.doc, server=True)
        cards.append(Card(offer, server.name, tool.name, tool.schema))
    return cards


def may_act(machine: Machine, planned: PlannedNode, card: Card) -> bool:
    """Whether a tool may do more than give a value, so that its calls keep their order."""
    effects = acting(machine.program, pure_tools(machine.program))
    return any(acts(node, effects) for node in planned.bodies[card.body].graph.nodes)
