"""Describe what is wrong with a value."""

from __future__ import annotations

from lmc.frozen import frozen

MAX_PROBLEMS = 5


@frozen
class Problem:
    """One problem: its place (`steps[0]`, or empty for the whole value) and its description."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"`{self.path}` {self.message}" if self.path else f"the value {self.message}"


class InvalidValue(Exception):
    """A value that does not have its type. The message is written for users and for models."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        shown = "; ".join(map(str, self.problems[:MAX_PROBLEMS]))
        more = len(self.problems) - MAX_PROBLEMS
        return f"{shown}; and {more} more" if more > 0 else shown
