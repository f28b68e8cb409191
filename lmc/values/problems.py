"""What is wrong with a value, in words."""

from __future__ import annotations

from lmc.frozen import frozen

MAX_PROBLEMS = 5


@frozen
class Problem:
    """One thing that is wrong: where (`steps[0]`, empty for the whole value), and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"`{self.path}` {self.message}" if self.path else f"the value {self.message}"


class InvalidValue(Exception):
    """A value that does not have its type; the text is fit for a person and for a model."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        shown = "; ".join(map(str, self.problems[:MAX_PROBLEMS]))
        more = len(self.problems) - MAX_PROBLEMS
        return f"{shown}; and {more} more" if more > 0 else shown
