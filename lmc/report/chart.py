"""The chart of a report: scores of candidates against the calls used so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

from lmc.frozen import frozen

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 300, 48, 36  # in pixels
RIGHT, TOP = 16, 12
_STEPS = (1, 2, 2.5, 5, 10)  # between round numbers


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
        """Place the candidates of a run's events in the chart, which spans all of its calls."""
        scored = [e for e in events if e["event"] == "candidate"]
        most: int = max((e["totals"]["calls"] for e in events), default=0) or 1
        low: float = min([0.0, *(e["mean"] for e in scored)])
        high: float = max([1.0, *(e["mean"] for e in scored)])

        def x(calls: float) -> float:
            return round(LEFT + (WIDTH - LEFT - RIGHT) * calls / most, 1)

        def y(score: float) -> float:
            share = (score - low) / (high - low)
            return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share, 1)

        points = [
            Point(
                x(e["totals"]["calls"]), y(e["mean"]), e["name"], e["mean"],
                e["totals"]["calls"], e["rows"], e["dropped"],
            )
            for e in scored
        ]  # fmt: skip
        line = [f"{x(calls)},{y(score)}" for calls, score in leading(events, most)]
        across = [(x(tick), f"{tick:,g}") for tick in ticks(0, most)]
        up = [(y(tick), f"{tick:g}") for tick in ticks(low, high)]
        return cls(points, " ".join(line), across, up)


def leading(events: Sequence[Mapping[str, Any]], most: int) -> list[tuple[int, float]]:
    """The corners of the line of leaders: from the start, in steps, to the last call."""
    first = next((e for e in events if e["event"] == "candidate"), None)
    leaders = [e for e in events if e["event"] == "leader"]
    if first is None:
        return []
    corners = [(first["totals"]["calls"], first["mean"])]
    for leader in leaders:
        calls = leader["totals"]["calls"]
        corners += [(calls, corners[-1][1]), (calls, leader["mean"])]
    return [*corners, (most, corners[-1][1])]


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two numbers, about so many."""
    rough = (high - low) / wanted or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * s for s in _STEPS if unit * s >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    numbers = (round(step * (first + n), 10) for n in count())
    return list(takewhile(lambda tick: tick <= high + step * 1e-9, numbers))
