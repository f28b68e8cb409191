"""The tools that an agent has in one run: those of the source, and those of its servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from lmc.frozen import frozen
from lmc.ir.graph import Graph, Offer
from lmc.prompts.tool_turns import OfferedTool, parameters_schema, wire_names
from lmc.runtime.binding import bind_inputs
from lmc.types import Type
from lmc.values import InvalidValue, validate
from lmc.values.aliases import from_seen, seen_type, to_seen


class BadArgument(ValueError):
    """An argument that does not have the type of its parameter. The message is for the model."""


def _checked(type: Type, name: str, value: Any) -> Any:
    try:
        return validate(type, from_seen(type, value), lenient=True)
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
        needed = {port.name for port in ports if not port.has_default}
        told = {k: value for k, value in checked.items() if value is not None or k in needed}
        return {"tool": self.remote, "arguments": told}

    def tool(self, wire: str) -> OfferedTool:
        """The tool for the protocol of a provider."""
        ports = (
            (p.name, seen_type(p.type), p.note, p.has_default, to_seen(p.type, p.default))
            for p in self.offer.inputs
        )
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
