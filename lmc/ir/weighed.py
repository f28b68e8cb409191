"""The type of an answer with its certainty, or with what the agent did for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lmc.ir.graph import Node
from lmc.types import FLOAT, MESSAGES, Field, OptionalType, RecordType, Type

VALUE, CERTAINTY, LOGPROB, TURNS = "value", "certainty", "logprob", "turns"
_NUMBER = OptionalType(FLOAT)
ASIDE: dict[str, Type] = {CERTAINTY: _NUMBER, LOGPROB: _NUMBER, TURNS: MESSAGES}


def weighed_type(type: Type, asked: Collection[str]) -> RecordType:
    """A record of a value of that type and of what is asked about it.

    Its certainty and log-probability come together. Both are none if no model was asked, or if it
    gives no log-probabilities.
    """
    names = [CERTAINTY, LOGPROB] if {CERTAINTY, LOGPROB} & {*asked} else []
    names += [TURNS] if TURNS in asked else []
    fields = (Field(VALUE, type), *(Field(name, ASIDE[name]) for name in names))
    return RecordType("Weighed", fields)


def is_certain(type: Type) -> bool:
    """Whether an answer of that type comes with its certainty."""
    return isinstance(type, RecordType) and type.get(CERTAINTY) is not None


def has_turns(type: Type) -> bool:
    """Whether an answer of that type comes with what the agent did for it."""
    return isinstance(type, RecordType) and type.get(TURNS) is not None


def is_weighed_value(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether a node gives an answer that was weighed, without its certainty."""
    if node.op != "op" or node.attrs["fn"] != "attr" or node.attrs["name"] != VALUE:
        return False
    return nodes[node.inputs[0]].op == "weigh"
