"""What a pass may know beside the program, and where it says what it did."""

from __future__ import annotations

from dataclasses import field

from lmc.frozen import frozen
from lmc.source import Span


@frozen
class Remark:
    """One change of a pass: where it was made, what it is, and what it saves."""

    graph: str
    change: str
    saves: str
    span: Span | None = field(default=None, compare=False)


@frozen
class PassContext:
    """Facts that passes ask for; `keep` names graphs that must stay although nothing calls them.

    `remarks` collects what the passes changed, for `lmc graph --explain`.
    """

    keep: tuple[str, ...] = ()
    remarks: list[Remark] = field(default_factory=list, compare=False)

    def remark(self, graph: str, change: str, saves: str, span: Span | None = None) -> None:
        """Say that something was changed."""
        self.remarks.append(Remark(graph, change, saves, span))
