"""Means with intervals, and differences between two programs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class JsonPart(BaseModel):
    """A frozen value that is stored as JSON. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(JsonPart):
    """The mean score of the rows that have one, with its 95 % interval."""

    mean: float
    low: float
    high: float
    rows: int
    failed: int = 0
    calls: float = 0.0  # of models, a row


class Difference(JsonPart):
    """A mean paired difference with its interval. It is significant if that excludes zero."""

    mean: float
    low: float
    high: float
    p_value: float = 1.0
    rows: int

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


class Comparison(JsonPart):
    """The program as written and the compiled one, on one part of the data."""

    before: Figure
    after: Figure
    difference: Difference
