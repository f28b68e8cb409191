"""What a test's stubs answer: one value for all calls, or one value after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmc.diagnostics import Diagnostic, LmcError, warning
from lmc.source import Span


class StubAnswers:
    """The values of the stubs of one name. A single one answers all calls."""

    def __init__(self, name: str, values: Sequence[Any], span: Span | None) -> None:
        self.name, self.span = name, span
        self._values, self._taken = values, 0

    def take(self) -> Any:
        """The value for the next call. Raises: LmcError[stubs-used-up]."""
        place, count = self._taken, len(self._values)
        self._taken += 1
        if count == 1:
            return self._values[0]
        if place < count:
            return self._values[place]
        message = f"`{self.name}` is called more often than the {count} times it is stubbed"
        help = f"add a `stub {self.name} -> …`; a single one answers all calls"
        raise LmcError.of("stubs-used-up", message, self.span, help=help)

    def left_over(self) -> Diagnostic | None:
        """A warning if one of several values answered no call."""
        count = len(self._values)
        if count == 1 or self._taken >= count:
            return None
        if not self._taken:
            message = f"`{self.name}` is stubbed {count} times, but the test does not call it"
        else:
            message = f"`{self.name}` is stubbed {count} times, but called {self._taken} times"
            message = message.replace("1 times", "once") if self._taken == 1 else message
        return warning("stubs-left-over", message, self.span)
