"""What a test's stubs answer: one value for all calls, or one value after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lmc.diagnostics import LmcError
from lmc.source import Span


class AnswersInOrder:
    """The values of several stubs of one name: the first call gets the first one."""

    def __init__(self, name: str, values: Sequence[Any], span: Span | None) -> None:
        self.name, self.count, self.span = name, len(values), span
        self._left: Iterator[Any] = iter(values)

    def take(self) -> Any:
        """The next value. Raises: LmcError[stubs-used-up]."""
        for value in self._left:
            return value
        message = f"`{self.name}` is called more often than the {self.count} times it is stubbed"
        help = f"add a `stub {self.name} -> …`; a single one answers all calls"
        raise LmcError.of("stubs-used-up", message, self.span, help=help)
