"""Scores as figures: means with intervals, and what changed from one program to another."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class JsonPart(BaseModel):
    """A frozen value that is written as JSON; fields that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(JsonPart):
    """A mean score with its 95 % interval, over the rows that have a score."""

    mean: float
    low: float
    high: float
    rows: int
    failed: int = 0
    calls: float = 0.0  # of models, a row


class Difference(JsonPart):
    """A mean paired difference with its interval; significant where that excludes zero."""

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
    """The program as written against the compiled one, on one part of the data."""

    before: Figure
    after: Figure
    difference: Difference
