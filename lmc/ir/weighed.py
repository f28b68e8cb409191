"""The type of an answer with its certainty."""

from __future__ import annotations

from lmc.types import FLOAT, Field, OptionalType, RecordType, Type

VALUE, CERTAINTY, LOGPROB = "value", "certainty", "logprob"


def weighed_type(type: Type) -> RecordType:
    """A record of a value of that type, its certainty, and its log-probability.

    Both are none if no model was asked, or if it gives no log-probabilities.
    """
    number = OptionalType(FLOAT)
    fields = (Field(VALUE, type), Field(CERTAINTY, number), Field(LOGPROB, number))
    return RecordType("Weighed", fields)
