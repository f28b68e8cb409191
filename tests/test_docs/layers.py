"""The picture of the layers: rooms as boxes on their layer, imports between them as arrows.

Layers come from pyproject's contract, imports from the code (grimp). An arrow is left out where a
longer way leads to the same room, else there are four times as many. Rows are put in order by
barycentres, as in Sugiyama et al. 1981; an arrow over several layers has a place in each of them.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import grimp

ROOT = Path(__file__).parents[2]
BOX_WIDTH, BOX_HEIGHT, LANE, GAP, ROW = 118, 32, 14, 22, 66  # in pixels
SWEEPS = 24
STYLE = """
.box { fill: #35618f; }
.name { fill: #ffffff; font: 600 14px ui-monospace, monospace; text-anchor: middle; }
.import { fill: none; stroke: #8b98a9; stroke-width: 1.6; }
.head { fill: #8b98a9; }
"""

Imports = Mapping[str, set[str]]


@dataclass(eq=False)
class Place:
    """A box, or where an arrow passes a layer; `x` is its middle."""

    name: str  # of the room; empty for an arrow
    row: int
    x: float = 0.0
    above: list["Place"] = field(default_factory=list)
    below: list["Place"] = field(default_factory=list)

    @property
    def width(self) -> float:
        return BOX_WIDTH if self.name else LANE


def layers() -> list[list[str]]:
    """The rooms of each layer, the highest first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]
    return [re.split(r"\s*[|:]\s*", layer) for layer in contract["layers"]]


def imports(rooms: Iterable[str]) -> Imports:
    """The rooms that each room imports."""
    graph, known = grimp.build_graph("lmc", cache_dir=None), set(rooms)
    found: dict[str, set[str]] = {room: set() for room in known}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            one, other = (f"{name}.".split(".")[1] for name in (module, imported))
            if one != other and {one, other} <= known:
                found[one].add(other)
    return found


def reduced(imports: Imports) -> Imports:
    """Without the arrows that a longer way makes unnecessary."""
    reached: dict[str, set[str]] = {}

    def reach(room: str) -> set[str]:
        if room not in reached:
            reached[room] = imports[room].union(*(reach(other) for other in imports[room]))
        return reached[room]

    return {
        room: {to for to in others if not any(to in reach(via) for via in others - {to})}
        for room, others in imports.items()
    }


def placed(rows: Sequence[Sequence[str]], imports: Imports) -> list[list[Place]]:
    """Boxes and passing arrows, row by row, in an order with few crossings."""
    boxes = {room: Place(room, i) for i, row in enumerate(rows) for room in row}
    grid = [[boxes[room] for room in row] for row in rows]
    for room in boxes:
        for other in sorted(imports[room]):
            last = boxes[room]
            for i in range(last.row + 1, boxes[other].row):
                grid[i].append(Place("", i))
                _join(last, grid[i][-1])
                last = grid[i][-1]
            _join(last, boxes[other])
    for row in grid:
        _spread(row)
    everything = [place for row in grid for place in row]
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in grid if down else reversed(grid):
            for place in row:
                place.x = fmean(other.x for other in _near(place, down) or everything)
            row.sort(key=lambda place: place.x)
            _spread(row)
    return grid


def _near(place: Place, down: bool) -> list[Place]:
    """What it should stand under or over; itself at an end, nothing where it has no arrow."""
    ends = [place] if place.above or place.below else []
    return (place.above if down else place.below) or ends


def _join(upper: Place, lower: Place) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _spread(row: Sequence[Place]) -> None:
    """Keep the order and the gaps; move as little as that takes, evenly to both sides."""
    wanted = [place.x for place in row]
    for before, place in pairwise(row):
        place.x = max(place.x, before.x + (before.width + place.width) / 2 + GAP)
    moved = sum(place.x - x for place, x in zip(row, wanted)) / len(row)
    for place in row:
        place.x -= moved


def drawn(grid: Sequence[Sequence[Place]]) -> str:
    """The picture as SVG, legible on light and on dark ground."""
    places = [place for row in grid for place in row]
    left = min(place.x - place.width / 2 for place in places) - GAP
    for place in places:
        place.x -= left
    width = max(place.x + place.width / 2 for place in places) + GAP
    height = ROW * len(grid)
    boxes = [place for place in places if place.name]
    arrows = [_arrow(box, lower) for box in boxes for lower in box.below]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">',
        "<title>The folders of lmc by layer; an arrow is an import</title>",
        f"<style>{STYLE}</style>",
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker>',
        *arrows,
        *map(_box, boxes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _middle(place: Place) -> float:
    return ROW * place.row + ROW / 2


def _box(box: Place) -> str:
    x, y = box.x - BOX_WIDTH / 2, _middle(box) - BOX_HEIGHT / 2
    return (
        f'<rect class="box" x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
        f'rx="6"/><text class="name" x="{box.x:.0f}" y="{_middle(box) + 5:.0f}">'
        f"{escape(box.name)}</text>"
    )


def _arrow(box: Place, lower: Place) -> str:
    """From the lower edge of a box, by the places it passes, to the upper edge of another."""
    x, y = box.x, _middle(box) + BOX_HEIGHT / 2
    path = f"M{x:.0f} {y:.0f}"
    while True:
        end = _middle(lower) - BOX_HEIGHT / 2
        half = (y + end) / 2
        path += f"C{x:.0f} {half:.0f} {lower.x:.0f} {half:.0f} {lower.x:.0f} {end:.0f}"
        x, y = lower.x, _middle(lower) + BOX_HEIGHT / 2
        if lower.name:
            return f'<path class="import" d="{path}" marker-end="url(#head)"/>'
        path += f"V{y:.0f}"
        lower = lower.below[0]


def picture() -> str:
    """The picture of the code as it is."""
    rows = layers()
    return drawn(placed(rows, reduced(imports(room for row in rows for room in row))))
