"""Results of rows as a Parquet file, written some rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
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

        columns = {n: kind for n, kind in _COLUMNS.items() if scored or n not in _OF_SCORES}
        fields = [(name, getattr(self._pa, kind)()) for name, kind in columns.items()]
        self._scored = scored
        self._schema = self._pa.schema(fields)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, result: RowResult) -> None:
        """Add a result."""
        line = result.as_json(scored=self._scored)
        pred = json.dumps(line["pred"], ensure_ascii=False)
        self._rows.append({"retries": 0, **line, "pred": _encodable(pred)})
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            for row in self._rows:
                for name in ("feedback", "error"):
                    row[name] = row.get(name) and _encodable(row[name])
            self._writer.write_table(self._pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def read_parquet_results(path: Path) -> Iterator[dict[str, Any]]:
    """The results in a file, as a line of JSON would have them."""
    for _, row in read_arrow(path):
        yield {**row, "pred": json.loads(row["pred"])}


def _encodable(text: str) -> str:
    """A text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
