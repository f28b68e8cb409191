"""The context of a pass: facts about the program, and remarks on what it changed."""

from __future__ import annotations

from dataclasses import field

from lmc.frozen import frozen
from lmc.source import Span


@frozen
class Remark:
    """One change of a pass: its place, the change, and what it saves."""

    graph: str
    change: str
    saves: str
    span: Span | None = field(default=None, compare=False)


@frozen
class PassContext:
    """Facts for passes. `keep` names graphs that must stay even if nothing calls them.

    `remarks` collects the changes of the passes, for `lmc graph --explain`.
    """

    keep: tuple[str, ...] = ()
    remarks: list[Remark] = field(default_factory=list, compare=False)

    def remark(self, graph: str, change: str, saves: str, span: Span | None = None) -> None:
        """Record a change."""
        self.remarks.append(Remark(graph, change, saves, span))
