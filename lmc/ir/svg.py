"""A program's graph as SVG, drawn here: for pages and notebooks, where no Graphviz is.

Boxes stand in rows, each below what it gets values from. A region is a frame around the rows inside
of it. Graphviz places the boxes of large graphs better; see `lmc.ir.dot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from lmc.ir.graph import ProgramGraph
from lmc.ir.palette import CLUSTERS, COLOURS
from lmc.ir.view import Box, Cluster, Edge, View, view

_CHAR, _LINE = 6.6, 15.0  # the size of a character of 11 px, in pixels
_PAD, _GAP_X, _GAP_Y, _HEAD = 14.0, 18.0, 34.0, 20.0
_MOST_CHARS = 48  # of a label
_Point = tuple[float, float]
_Spot = tuple[float, float, float, float]  # left, top, width, height
_STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;fill:#1b1f24}"
    ".head{font-size:10px;fill:#57606a}.edge{fill:none;stroke:#6e7781}"
    ".back{stroke:#afb8c1;stroke-dasharray:4 3}"
    ".value{font-family:ui-monospace,monospace;font-size:10px;fill:#0a3069}"
    ".on{font-size:9px;fill:#57606a;paint-order:stroke;stroke:#fff;stroke-width:2px}"
)


@dataclass(slots=True)
class _Placed:
    """A box or a region with its size, and where it stands in the region around it."""

    item: Box | Cluster
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    inner: list[_Placed] = field(default_factory=list)


def draw(program: ProgramGraph, name: str | None = None) -> str:
    """The picture of one callable (default: `main`, else the last export)."""
    return draw_view(view(program, name))


def draw_view(drawn: View, *, styled: bool = True) -> str:
    """A view as a picture. Without its own style, that of the page around it holds."""
    homes = dict(_homes(drawn.root, ()))
    root = _place(drawn.root, drawn.edges, homes)
    spots: dict[str, _Spot] = {}
    list(_shapes(root, 0.0, 0.0, spots))
    clusters = {name for path in homes.values() for name in path[:-1]}
    boxes = [spot for name, spot in spots.items() if name not in clusters]
    arrows = [_edge(edge, spots, boxes, number) for number, edge in enumerate(drawn.edges)]
    root.width = max(root.width, *(right + _PAD / 2 for _, right in arrows), 0.0)
    shapes = list(_shapes(root, 0.0, 0.0, spots))
    width, height = root.width + 2, root.height + 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {width:.0f} {height:.0f}"'
            f' width="{width:.0f}" height="{height:.0f}" role="img"'
            f' aria-label="{escape(drawn.root.label)}">',
            f"<style>{_STYLE}</style>" if styled else "",
            '<defs><marker id="lmc-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#6e7781"/></marker>'
            "</defs>",
            *shapes,
            *(arrow for arrow, _ in arrows),
            "</svg>",
        ]
    )


def _homes(cluster: Cluster, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The regions around each box and region, the outermost first, and itself last."""
    own = (*path, cluster.id)
    yield cluster.id, own
    for child in cluster.children:
        if isinstance(child, Cluster):
            yield from _homes(child, own)
        else:
            yield child.id, (*own, child.id)


# --- places ---


def _place(
    cluster: Cluster, edges: Sequence[Edge], homes: Mapping[str, tuple[str, ...]]
) -> _Placed:
    """Lay out a region: its parts in rows, by the longest way that leads to each."""
    parts = {
        child.id: _place(child, edges, homes) if isinstance(child, Cluster) else _box(child)
        for child in cluster.children
    }
    depth = len(homes[cluster.id])
    before = _before(parts, edges, homes, depth)
    rows: dict[int, list[_Placed]] = {}
    for name, rank in _ranks(list(parts), before).items():
        rows.setdefault(rank, []).append(parts[name])
    width = max((_width_of(row) for row in rows.values()), default=0.0)
    width = max(width, len(_short(cluster.label)) * _CHAR * 0.9)
    y = _PAD + _HEAD
    for _, row in sorted(rows.items()):
        x = _PAD + (width - _width_of(row)) / 2
        tallest = max(part.height for part in row)
        for part in row:
            part.x, part.y = x, y + (tallest - part.height) / 2
            x += part.width + _GAP_X
        y += tallest + _GAP_Y
    height = y - (_GAP_Y if rows else 0) + _PAD
    return _Placed(cluster, width + 2 * _PAD, height, inner=list(parts.values()))


def _width_of(row: Sequence[_Placed]) -> float:
    return sum(part.width for part in row) + _GAP_X * (len(row) - 1)


def _box(box: Box) -> _Placed:
    lines = [text for text, _ in _lines(box)]
    return _Placed(box, max(map(len, lines)) * _CHAR + 24, len(lines) * _LINE + 13)


def _before(
    parts: Mapping[str, _Placed],
    edges: Sequence[Edge],
    homes: Mapping[str, tuple[str, ...]],
    depth: int,
) -> dict[str, set[str]]:
    """What each part of a region gets values from, among its other parts."""
    found: dict[str, set[str]] = {name: set() for name in parts}
    for edge in edges:
        ends = [homes.get(end, ())[depth : depth + 1] for end in (edge.source, edge.target)]
        if edge.dashed or not all(ends):
            continue
        (source,), (target,) = ends
        if source in parts and target in parts and source != target:
            found[target].add(source)
    return found


def _ranks(names: Sequence[str], before: Mapping[str, set[str]]) -> dict[str, int]:
    """The row of each part. What waits for itself by some way stays where it was written."""
    ranks: dict[str, int] = {}
    left = list(names)
    while left:
        ready = [n for n in left if before[n] <= ranks.keys()] or left[:1]
        for name in ready:
            ranks[name] = max((ranks[b] + 1 for b in before[name] if b in ranks), default=0)
        done = set(ready)
        left = [name for name in left if name not in done]
    return ranks


# --- shapes ---


def _shapes(placed: _Placed, x: float, y: float, spots: dict[str, _Spot]) -> Iterator[str]:
    left, top = x + placed.x, y + placed.y
    spots[placed.item.id] = left, top, placed.width, placed.height
    if isinstance(placed.item, Box):
        yield from _box_shape(placed.item, left, top, placed.width, placed.height)
        return
    fill, line = CLUSTERS.get(placed.item.kind, CLUSTERS["pipeline"])
    yield f'<g class="region {placed.item.kind}">'
    yield _rectangle(left, top, placed.width, placed.height, fill, line) + "</g>"
    label = escape(_short(placed.item.label))
    yield f'<text class="head" x="{left + 10:.1f}" y="{top + 16:.1f}">{label}</text>'
    for part in placed.inner:
        yield from _shapes(part, left, top, spots)


def _box_shape(box: Box, x: float, y: float, width: float, height: float) -> Iterator[str]:
    fill, line = COLOURS.get(box.kind, COLOURS["generate"])
    round_ends = box.kind in ("input", "output")
    yield f'<g class="box {box.kind}" data-box="{escape(box.id)}">'
    yield _rectangle(x, y, width, height, fill, line, min(height / 2, 18) if round_ends else 5)
    for number, (text, kind) in enumerate(_lines(box)):
        at = y + 17 + number * _LINE
        own = f' class="{kind}"' if kind else ""
        yield (
            f'<text{own} x="{x + width / 2:.1f}" y="{at:.1f}" text-anchor="middle">'
            f"{escape(text)}</text>"
        )
    yield "</g>"


def _lines(box: Box) -> list[tuple[str, str]]:
    """The lines of a box, each with its class."""
    told = ((box.label, ""), (box.note, "on"), (box.shown, "value"))
    return [(_short(text), kind) for text, kind in told if text]


def _rectangle(
    x: float, y: float, width: float, height: float, fill: str, line: str, radius: float = 7
) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f' rx="{radius:.1f}" fill="{fill}" stroke="{line}"/>'
    )


def _edge(
    edge: Edge, spots: Mapping[str, _Spot], boxes: Sequence[_Spot], number: int
) -> tuple[str, float]:
    """An arrow, around the boxes that stand in its way, and how far right it and its label go."""
    if edge.source not in spots or edge.target not in spots:
        return "", 0.0
    sx, sy, sw, sh = spots[edge.source]
    tx, ty, tw, th = spots[edge.target]
    if ty > sy + sh - 1:  # below: from the bottom to the top
        start, end = (sx + sw / 2, sy + sh), (tx + tw / 2, ty)
        out = _around(start, end, boxes, number)
        bend = (end[1] - start[1]) / 3
        first, second = (start[0], start[1] + bend), (end[0], end[1] - bend)
        if out is not None:  # a curve comes three quarters of the way to its controls
            first, second = ((x + (out - x) * 4 / 3, y) for x, y in (first, second))
    else:  # beside or above: around the right side
        start, end = (sx + sw, sy + sh / 2), (tx + tw, ty + th / 2)
        out = max(start[0], end[0]) + 22
        first, second = (out, start[1]), (out, end[1])
    kind = "edge back" if edge.dashed else "edge"
    way = _curve(start, first, second, end)
    line = f'<path class="{kind}" d="{way}" marker-end="url(#lmc-tip)"/>'
    right = max(start[0], end[0], (start[0] + 3 * first[0] + 3 * second[0] + end[0]) / 8)
    if not edge.label:
        return line, right
    x, y = ((a + 3 * b + 3 * c + d) / 8 for a, b, c, d in zip(start, first, second, end))
    label = escape(_short(edge.label))
    text = f'<text class="on" x="{x + 4:.1f}" y="{y + 3:.1f}">{label}</text>'
    return line + text, max(right, x + 4 + len(_short(edge.label)) * _CHAR * 9 / 11)


def _around(start: _Point, end: _Point, boxes: Sequence[_Spot], number: int) -> float | None:
    """Where an arrow has to pass that would cross boxes; by turns on their left and right."""
    crossed = []
    for x, y, width, height in boxes:
        if y <= start[1] or y + height >= end[1]:
            continue
        at = start[0] + (end[0] - start[0]) * (y + height / 2 - start[1]) / (end[1] - start[1])
        if x - 4 <= at <= x + width + 4:
            crossed.append((x, x + width))
    if not crossed:
        return None
    if number % 2:
        return max(right for _, right in crossed) + 16
    return max(6.0, min(left for left, _ in crossed) - 16)


def _curve(start: _Point, *others: _Point) -> str:
    return f"M{start[0]:.1f} {start[1]:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in others)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARS else line[: _MOST_CHARS - 1] + "…"
