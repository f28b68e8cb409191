"""Results of rows as a Parquet file, written some rows at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lmc.measure.table_rows import pyarrow, read_arrow

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult

GROUP_ROWS = 2_000
SUFFIXES = (".parquet", ".pq")
_COLUMNS = {
    "id": "string", "score": "float64", "pred": "string", "feedback": "string",
    "failed": "string", "error": "string", "calls": "int64", "tokens": "int64",
    "cost_usd": "float64", "seconds": "float64", "retries": "int64",
}  # fmt: skip
_OF_SCORES = ("score", "feedback")


class ParquetResults:
    """Writes results into an open file. `pred` is JSON as text, since results have any type.

    Raises: LmcError[missing-extra].
    """

    def __init__(self, file: IO[bytes], *, scored: bool = True) -> None:
        self._pa = pyarrow("a file of results in Parquet")
        import pyarrow.parquet as pq

        self._scored = scored
        self._schema = result_schema(() if scored else _OF_SCORES)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[RowResult] = []

    def write(self, result: RowResult) -> None:
        """Add a result."""
        self._rows.append(result)
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            rows = [*result_rows(self._rows, scored=self._scored)]
            self._writer.write_table(self._pa.Table.from_pylist(rows, self._schema))
            self._rows = []


def result_schema(without: Collection[str] = (*_OF_SCORES, "id")) -> Any:
    """The columns of results as a `pyarrow.Schema`; of those beside the columns of their rows."""
    pa = pyarrow("a table of results")
    columns = {name: kind for name, kind in _COLUMNS.items() if name not in without}
    return pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])


def result_rows(results: Iterable[RowResult], *, scored: bool = False) -> Iterator[dict[str, Any]]:
    """The values of the columns for each result."""
    for result in results:
        row = {"retries": 0, **result.as_json(scored=scored)}
        row["pred"] = _encodable(json.dumps(row["pred"], ensure_ascii=False))
        for name in ("feedback", "error"):
            row[name] = row.get(name) and _encodable(row[name])
        yield row


def read_parquet_results(path: Path) -> Iterator[dict[str, Any]]:
    """The results in a file, as a line of JSON would have them."""
    for _, row in read_arrow(path):
        yield {**row, "pred": json.loads(row["pred"])}


def _encodable(text: str) -> str:
    """A text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
