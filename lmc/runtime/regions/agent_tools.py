"""Which tools an agent has in one run: those of the source, and those of its servers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.ir.actions import FINISH
from lmc.ir.graph import Offer
from lmc.ir.reach import acting, acts, pure_tools
from lmc.runtime.plan import PlannedNode
from lmc.runtime.scope import Scope
from lmc.runtime.toolset import Card, Toolset

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine

MOST_REMOTE = 200  # tools of one server that a model is offered
_NAME = re.compile(r"\W+")


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
