"""The chart of a report: scores of candidates against the calls used so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmc.frozen import frozen

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 300, 48, 36  # in pixels


@frozen
class Point:
    """A candidate after a stage: its position in the chart and its figures."""

    x: float
    y: float
    name: str
    score: float
    calls: int
    rows: int
    dropped: str  # why the race dropped it; empty if it went on


@frozen
class Chart:
    """The scores of all candidates against the calls used so far."""

    points: Sequence[Point]
    leader: str  # the points of a polyline
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> Chart:
        """Place the candidates of a run's events in the chart."""
        scored = [e for e in events if e["event"] == "candidate"]
        most: int = max((e["totals"]["calls"] for e in scored), default=0) or 1
        low: float = min([0.0, *(e["mean"] for e in scored)])
        high: float = max([1.0, *(e["mean"] for e in scored)])

        def x(calls: float) -> float:
            return round(LEFT + (WIDTH - LEFT - 16) * calls / most, 1)

        def y(score: float) -> float:
            share = (score - low) / (high - low)
            return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 12) * share, 1)

        points = [
            Point(
                x(e["totals"]["calls"]), y(e["mean"]), e["name"], e["mean"],
                e["totals"]["calls"], e["rows"], e["dropped"],
            )
            for e in scored
        ]  # fmt: skip
        leaders = [e for e in events if e["event"] == "leader"]
        line = [f"{x(e['totals']['calls'])},{y(e['mean'])}" for e in leaders]
        across = [(x(most * i / 4), f"{most * i / 4:,.0f}") for i in range(5)]
        up = [
            (y(low + (high - low) * i / 4), f"{low + (high - low) * i / 4:.2f}") for i in range(5)
        ]
        return cls(points, " ".join(line), across, up)
