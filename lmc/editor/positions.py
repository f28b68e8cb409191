"""Positions of the editor protocol: lines and code units, counted from 0."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

from lsprotocol import types as lsp

from lmc.source import Span

_LINE_END = re.compile(r"\r\n|\n|\r")
UTF8, UTF16 = lsp.PositionEncodingKind.Utf8, lsp.PositionEncodingKind.Utf16


class Positions:
    r"""Turns offsets of a text into positions of the protocol, and back.

    Lines end where the protocol says: at `\n`, `\r\n` or `\r`, and at no other character. A
    position beyond the end of its line means that end, and one inside a character its start.
    """

    def __init__(self, text: str, encoding: str = UTF16) -> None:
        self.text, self._encoding = text, encoding

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def _plain(self) -> bool:
        """Whether every character is one code unit."""
        if self._encoding == UTF8:
            return self.text.isascii()
        return self._encoding != UTF16 or self.text.isascii() or max(self.text) <= "\uffff"

    def _units(self, character: str) -> int:
        if self._encoding == UTF8:
            return len(character.encode("utf-8", "surrogatepass"))
        return 2 if character > "\uffff" else 1

    def position(self, offset: int) -> lsp.Position:
        """The position of a character."""
        line = bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        if self._plain:
            return lsp.Position(line, offset - start)
        return lsp.Position(line, sum(map(self._units, self.text[start:offset])))

    def offset(self, position: lsp.Position) -> int:
        """The offset of a position."""
        if position.line >= len(self._starts):
            return len(self.text)
        start, end = self._starts[position.line], self._line_end(position.line)
        if self._plain:
            return min(start + position.character, end)
        left, at = position.character, start
        while at < end and (units := self._units(self.text[at])) <= left:
            left -= units
            at += 1
        return at

    def _line_end(self, line: int) -> int:
        if line + 1 == len(self._starts):
            return len(self.text)
        end = self._starts[line + 1] - 1
        crlf = self.text[end] == "\n" and end > self._starts[line] and self.text[end - 1] == "\r"
        return end - crlf

    def range(self, start: int, end: int) -> lsp.Range:
        """The range between two offsets."""
        return lsp.Range(self.position(start), self.position(end))

    def span(self, span: Span) -> lsp.Range:
        """The range of a span of this text."""
        return self.range(span.start, span.end)

    def line_range(self, start: int, end: int) -> tuple[int, int]:
        """The first and the last line of what is between two offsets."""
        return bisect_right(self._starts, start) - 1, bisect_right(self._starts, end) - 1

    def pieces(self, start: int, end: int) -> Sequence[tuple[int, int]]:
        """What is between two offsets, line by line and without the line ends."""
        found = []
        first, last = self.line_range(start, end)
        for line in range(first, last + 1):
            low, high = max(start, self._starts[line]), min(end, self._line_end(line))
            if low < high:
                found.append((low, high))
        return found


def changed(text: str, changes: Sequence[lsp.TextDocumentContentChangeEvent], encoding: str) -> str:
    """A text after the changes that an editor reports, in their order."""
    for change in changes:
        if isinstance(change, lsp.TextDocumentContentChangePartial):
            places = Positions(text, encoding)
            start, end = places.offset(change.range.start), places.offset(change.range.end)
            text = text[:start] + change.text + text[max(start, end) :]
        else:
            text = change.text
    return text
