"""The type of an answer with its certainty."""

from __future__ import annotations

from collections.abc import Mapping

from lmc.ir.graph import Node
from lmc.types import FLOAT, Field, OptionalType, RecordType, Type

VALUE, CERTAINTY, LOGPROB = "value", "certainty", "logprob"


def weighed_type(type: Type) -> RecordType:
    """A record of a value of that type, its certainty, and its log-probability.

    Both are none if no model was asked, or if it gives no log-probabilities.
    """
    number = OptionalType(FLOAT)
    fields = (Field(VALUE, type), Field(CERTAINTY, number), Field(LOGPROB, number))
    return RecordType("Weighed", fields)


def is_weighed_value(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether a node gives an answer that was weighed, without its certainty."""
    if node.op != "op" or node.attrs["fn"] != "attr" or node.attrs["name"] != VALUE:
        return False
    return nodes[node.inputs[0]].op == "weigh"
