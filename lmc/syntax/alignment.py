"""Columns that the author aligned over consecutive lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lmc.syntax.layout import Line
from lmc.syntax.tokens import COMMENT

Cell = tuple[int, int]  # line, piece within the line


def aligned_gaps(lines: list[Line], gaps: Sequence[int]) -> list[int]:
    """Widen the gaps before pieces that the author aligned in a column.

    A column keeps the extra space of its widest line. A comment keeps its extra space even if it
    stands alone.
    """
    aligned = list(gaps)
    shifts: dict[int, int] = defaultdict(int)  # by line
    for group in _columns(lines):
        natural = {(i, k): lines[i].columns[k] + shifts[i] for i, k in group}
        room = min(_room(lines, gaps, place) for place in group)
        column = max(natural.values()) + max(room, 0)
        for (i, k), start in natural.items():
            aligned[lines[i].first + k] += column - start
            shifts[i] += column - start
    return aligned


def _columns(lines: list[Line]) -> list[list[Cell]]:
    """Find the aligned columns, leftmost first."""
    groups: list[tuple[int, list[Cell]]] = []
    open_groups: dict[tuple[int, str], list[Cell]] = {}
    for i, line in enumerate(lines):
        if line.pieces[0].newlines > 1:
            open_groups = {}
        current: dict[tuple[int, str], list[Cell]] = {}
        for k, piece in enumerate(line.pieces[1:], 1):
            if "\n" in piece.text:
                break
            if piece.gap == 0 or piece.newlines or "\n" in line.pieces[k - 1].text:
                continue
            key = (piece.column, piece.kind)
            current[key] = open_groups.get(key, [])
            current[key].append((i, k))
            if len(current[key]) == 1:
                groups.append((piece.column, current[key]))
        open_groups = current
    return [group for _, group in sorted(groups) if _is_aligned(lines, group)]


def _is_aligned(lines: list[Line], group: list[Cell]) -> bool:
    pieces = [lines[i].pieces[k] for i, k in group]
    if pieces[0].kind == COMMENT:
        return True
    return len(group) > 1 and any(piece.gap > 1 for piece in pieces)


def _room(lines: list[Line], gaps: Sequence[int], place: Cell) -> int:
    line, k = lines[place[0]], place[1]
    return line.pieces[k].gap - gaps[line.first + k]
