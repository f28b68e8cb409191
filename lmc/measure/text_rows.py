"""Rows of text files: JSON lines, a JSON list, CSV and TSV, also compressed.

Files may be a stranger's, so memory is bounded whatever they hold: lines and cells have a greatest
length, and a compressed file that grows without measure is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError
from lmc.regular import MOST_TEXT_BYTES, open_regular, read_text
from lmc.source import Source, Span
from lmc.written import exact_float

MOST_LINE_BYTES = 16 << 20  # of a line; csv bounds a cell by itself
MOST_GROWTH = 300  # unpacked bytes for one that is packed: text packs to a tenth or so
FREE_BYTES = 256 << 20  # of unpacked text whose growth does not matter
PACKED = (".gz", ".zst")

NumberedRow = tuple[int, Any]  # line or, in a `.json` list, 1


class NoRows(Exception):
    """The file as a whole cannot be read as rows."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


class Text(str):
    """A cell of a CSV file, which has no type."""

    __slots__ = ()


def suffixes(path: Path) -> tuple[str, str]:
    """The suffix of the format and that of the compression: `.jsonl` and `.gz`."""
    *_, last = ("", *(s.lower() for s in path.suffixes))
    if last in PACKED:
        inner = Path(path.stem).suffix.lower()
        return inner, last
    return last, ""


def read_rows(path: Path) -> Iterator[NumberedRow]:
    """The rows of a file with their lines. Raises: NoRows, OSError, UnicodeDecodeError."""
    kind, packed = suffixes(path)
    with open_regular(path) as file:
        yield from READERS[kind](_unpacked(file, packed))


def _unpacked(file: IO[bytes], packed: str) -> IO[bytes]:
    """The contents of a file. Raises: LmcError[missing-extra]."""
    if not packed:
        return file
    if packed == ".gz":
        inner: Any = gzip.GzipFile(fileobj=file)
    else:
        try:
            import pyarrow as pa
        except ImportError:
            message = "a file that zstd compressed needs the package `pyarrow`"
            help = 'pip install "lmc-lang[data]"'
            raise LmcError.of("missing-extra", message, help=help) from None
        # It sees that a file is cut off; the reader of `zstandard` takes what is there for all.
        inner = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return io.BufferedReader(_Unpacking(inner, file), 1 << 18)


class _Unpacking(io.RawIOBase):
    """The bytes of a compressed file, as long as they do not grow without measure."""

    def __init__(self, inner: Any, file: IO[bytes]) -> None:
        super().__init__()
        self._inner, self._file, self._size = inner, file, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer. Raises: NoRows."""
        try:
            data = self._inner.read(len(buffer))
        except (EOFError, gzip.BadGzipFile) as problem:
            raise NoRows(f"the file is not whole: {problem}") from None
        except Exception as problem:  # zlib.error, OSError of pyarrow
            raise NoRows(f"the file cannot be unpacked: {problem}") from None
        self._size += len(data)
        if self._size > FREE_BYTES and self._size > MOST_GROWTH * self._file.tell():
            raise NoRows(f"the file unpacks to more than {MOST_GROWTH} times its size")
        buffer[: len(data)] = data
        return len(data)


def line_span(path: Path, line: int) -> Span | None:
    """The span of a line of a file."""
    if suffixes(path)[1]:
        return None
    try:
        source = Source(str(path), read_text(path), path)
    except (OSError, UnicodeDecodeError):
        return None
    start = sum(len(text) for text in source.text.split("\n")[: line - 1]) + line - 1
    length = len(source.line(line)) if 1 <= line <= source.line_count else 0
    return Span(source, start, start + length)


# --- formats ---


def _read_jsonl(file: IO[bytes]) -> Iterator[NumberedRow]:
    for number, line in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES + 1), b""), 1):
        if len(line) > MOST_LINE_BYTES:
            raise NoRows(f"the line has more than {MOST_LINE_BYTES:,} bytes", number)
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        if text.strip():
            yield number, _decoded(text, number)


def _read_json(file: IO[bytes]) -> Iterator[NumberedRow]:
    data = file.read(MOST_TEXT_BYTES + 1)
    if len(data) > MOST_TEXT_BYTES:
        raise NoRows(f"a .json file has at most {MOST_TEXT_BYTES:,} bytes; use .jsonl for more")
    rows = _decoded(data.decode("utf-8-sig"), 1)
    if not isinstance(rows, list):
        raise NoRows("a .json file of rows must contain a list of objects", 1)
    for row in rows:
        yield 1, row


def _read_cells(file: IO[bytes], dialect: str) -> Iterator[NumberedRow]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(_lines(text), dialect=dialect, strict=True)
        try:
            require_distinct([name for name in reader.fieldnames or () if name], 1)
            for cells in reader:
                if None in cells or None in cells.values():
                    message = f"the row must have {len(reader.fieldnames or ())} cells"
                    raise NoRows(message, reader.line_num)
                yield reader.line_num, {k: Text(v) for k, v in cells.items()}
        except csv.Error as problem:
            raise NoRows(f"the row is not CSV: {problem}", reader.line_num) from None


def require_distinct(names: Sequence[str], line: int | None = None) -> None:
    """See that no column is there twice, as rows would have only one of them. Raises: NoRows."""
    if len({*names}) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise NoRows(f"the column `{twice}` is there twice", line)


def _lines(text: IO[str]) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: text.readline(MOST_LINE_BYTES + 1), ""), 1):
        if len(line) > MOST_LINE_BYTES:
            raise NoRows(f"the line has more than {MOST_LINE_BYTES:,} characters", number)
        yield line


def _decoded(text: str, line: int) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=exact_float)
    except json.JSONDecodeError as problem:
        place = line + problem.lineno - 1
        message = f"the row is not JSON: {problem.msg} at column {problem.colno}"
        raise NoRows(message, place) from None
    except (ValueError, RecursionError) as problem:
        raise NoRows(f"the row is not JSON: {problem}", line) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


READERS: dict[str, Callable[[IO[bytes]], Iterator[NumberedRow]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": lambda file: _read_cells(file, "excel"),
    ".tsv": lambda file: _read_cells(file, "excel-tab"),
    ".ndjson": _read_jsonl,
}
