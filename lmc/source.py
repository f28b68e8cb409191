"""Source text and positions in it, which all later stages refer to."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lmc.frozen import frozen
from lmc.regular import read_text

MOST_SOURCE_BYTES = 4 << 20


@dataclass(frozen=True, eq=False)
class Source:
    """One `.lmp` text with its name as shown to users. Compared by identity."""

    name: str
    text: str
    path: Path | None = None

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a file as UTF-8 (a leading BOM is dropped). Raises: OSError, UnicodeDecodeError."""
        return cls(str(path), read_text(path, MOST_SOURCE_BYTES), path)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Text of a line (from 1) without its line end."""
        starts = self._line_starts
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")

    @property
    def line_count(self) -> int:
        """The number of lines, including an empty last one."""
        return len(self._line_starts)


@frozen
class Span:
    """A half-open range of character offsets in one source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters of the span."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"
