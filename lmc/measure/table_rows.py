"""Rows of tables: Parquet, Arrow and Feather files, frames, and datasets of Hugging Face.

Values are as Python has them; `lmc.measure.adapting` makes them JSON. Of a file only some rows are
in memory. Files may be a stranger's: what one says about its sizes is checked before it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError
from lmc.measure.adapting import Unreadable
from lmc.measure.text_rows import NoRows, require_distinct
from lmc.regular import open_regular

BATCH_ROWS = 64  # decoded at once
MOST_CHUNK_BYTES = 1 << 30  # of a column in a row group, and of a record batch, unpacked
MOST_BATCH_BYTES = 1 << 30  # of the rows that are decoded at once
_HELP = 'pip install "lmc-lang[data]"'


def read_arrow(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a Parquet, Arrow or Feather file with their numbers.

    Raises: NoRows, OSError, LmcError[missing-extra].
    """
    pa = pyarrow(f"`{path.name}`")
    batches = _parquet if path.suffix.lower() in (".parquet", ".pq") else _ipc
    number = 0
    with open_regular(path) as file:
        try:
            for batch in batches(pa, file):
                for row in table_rows(pa, batch):
                    number += 1
                    yield number, row
        except (pa.ArrowException, struct.error, IndexError, UnicodeDecodeError) as problem:
            raise NoRows(f"the file cannot be read: {str(problem)[:300]}") from None
        except MemoryError:
            raise NoRows("the file does not fit into memory") from None


def group_of(path: Path, number: int) -> str:
    """Where a row of a Parquet file is: `row group 2, row 1,234`; else its number only."""
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        with open_regular(path) as file:
            meta, before = pq.ParquetFile(file).metadata, 0
            for group in range(meta.num_row_groups):
                before += meta.row_group(group).num_rows
                if number <= before:
                    return f"row group {group + 1}, row {number:,}"
    return f"row {number:,}"


def pyarrow(what: str) -> Any:
    """The package. Raises: LmcError[missing-extra]."""
    try:
        import pyarrow as pa
    except ImportError:
        message = f"{what} needs the package `pyarrow`"
        raise LmcError.of("missing-extra", message, help=_HELP) from None
    return pa


def table_rows(pa: Any, batch: Any) -> Iterator[Any]:
    """The rows of a table or a record batch.

    Raises: NoRows if they are too large, or a column is there twice.
    """
    require_distinct(batch.schema.names)
    if batch.nbytes > MOST_BATCH_BYTES:
        raise NoRows(f"{batch.num_rows} rows have more than {MOST_BATCH_BYTES:,} bytes")
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield from _python(pa, batch.slice(start, BATCH_ROWS))


def _python(pa: Any, batch: Any) -> Iterator[Any]:
    """The rows of a small batch. A value that Python cannot have is `Unreadable` there."""
    try:
        yield from batch.to_pylist(maps_as_pydicts="lossy")
    except (OverflowError, ValueError) as problem:  # ArrowInvalid is a ValueError
        if batch.num_rows > 1:
            for i in range(batch.num_rows):
                yield from _python(pa, batch.slice(i, 1))
        elif batch.num_columns > 1:
            each = (next(_python(pa, batch.select([i]))) for i in range(batch.num_columns))
            yield {name: value for row in each for name, value in row.items()}
        else:
            yield {batch.schema.names[0]: Unreadable(str(problem)[:300])}


def _parquet(pa: Any, file: IO[bytes]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    meta = table.metadata
    for number in range(meta.num_row_groups):
        group = meta.row_group(number)
        for column in (group.column(i) for i in range(group.num_columns)):
            if column.total_uncompressed_size > MOST_CHUNK_BYTES:
                raise NoRows(
                    f"row group {number + 1}: the column `{column.path_in_schema}` has"
                    f" {column.total_uncompressed_size:,} bytes, of at most {MOST_CHUNK_BYTES:,}"
                )
    yield from table.iter_batches(batch_size=BATCH_ROWS, use_threads=False)


def _ipc(pa: Any, file: IO[bytes]) -> Iterator[Any]:
    """The batches of an Arrow file or stream. Nothing is unpacked before its size is known."""
    head = file.read(6)
    file.seek(8 if head == b"ARROW1" else 0)  # a file is a stream between two marks
    schema_file = pa.PythonFile(file, mode="r")
    for message in pa.ipc.MessageReader.open_stream(schema_file):
        if message.type in ("record batch", "dictionary"):
            _require_size(bytes(message.metadata), message.body)
    file.seek(8 if head == b"ARROW1" else 0)
    yield from pa.ipc.open_stream(pa.PythonFile(file, mode="r"))


def _require_size(metadata: bytes, body: Any) -> None:
    """Add up what the buffers of a compressed batch say that they unpack to. Raises: NoRows.

    Source: Arrow columnar format 1.5, "Encapsulated message format" and "Compressed buffers": each
    begins with its length, or with -1 if it is not compressed.
    """
    header = _follow(metadata, _field(metadata, _root(metadata), 2))
    if metadata[_field(metadata, _root(metadata), 1) or 0] == 2:  # a dictionary
        header = _follow(metadata, _field(metadata, header, 1))
    if _field(metadata, header, 3) is None:
        return  # not compressed
    buffers = _follow(metadata, _field(metadata, header, 2))
    total, view = 0, memoryview(body)
    for i in range(struct.unpack_from("<I", metadata, buffers)[0]):
        offset, length = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * i)
        if length >= 8:
            total += max(struct.unpack_from("<q", view, offset)[0], 0)
    if total > MOST_CHUNK_BYTES:
        raise NoRows(f"a record batch unpacks to {total:,} bytes, of at most {MOST_CHUNK_BYTES:,}")


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def _field(data: bytes, table: int, slot: int) -> int | None:
    """Where a field of a flatbuffer's table is; None if it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    if 4 + 2 * slot >= size:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0]
    return table + offset if offset else None


def _follow(data: bytes, place: int | None) -> int:
    if place is None:
        raise NoRows("the file cannot be read: a part of a batch is missing")
    return place + int(struct.unpack_from("<I", data, place)[0])


# --- objects in memory ---


def frame_rows(given: Any) -> Callable[[], Iterable[Any]] | None:
    """How to iterate over the rows of a frame; None for what is none."""
    if hasattr(given, "itertuples") and hasattr(given, "columns"):  # pandas
        return lambda: _pandas_rows(given)
    if hasattr(given, "iter_rows") and hasattr(given, "columns"):  # polars
        return lambda: given.iter_rows(named=True)
    if hasattr(given, "collect_schema") and hasattr(given, "collect"):  # polars, not computed yet
        return lambda: given.collect().iter_rows(named=True)
    if hasattr(given, "to_pylist") and hasattr(given, "num_columns"):  # a record batch of pyarrow
        pa = pyarrow("a record batch of Arrow")
        return lambda: table_rows(pa, given)
    if hasattr(given, "to_batches") and hasattr(given, "schema"):  # pyarrow
        pa = pyarrow("a table of Arrow")
        return lambda: (row for batch in given.to_batches() for row in table_rows(pa, batch))
    return None


def _pandas_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a frame. Whole numbers with gaps, which pandas makes floats, are whole again."""
    names = [str(name) for name in frame.columns]
    require_distinct(names)
    whole = [_is_whole(frame.iloc[:, i]) for i in range(len(names))]
    for values in frame.itertuples(index=False, name=None):
        yield {
            name: int(value) if is_whole and value == value else value
            for name, value, is_whole in zip(names, values, whole)
        }


def _is_whole(column: Any) -> bool:
    if getattr(column.dtype, "kind", "") != "f" or not column.isna().any():
        return False
    there = column.dropna()
    return bool((there % 1 == 0).all())  # false for infinite ones
