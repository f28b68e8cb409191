"""Files of rows, page by page; edited rows go into a new file, never over the old one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.measure.sources import file_source
from lmc.studio.workplace import ROWS, Workplace

PAGE = 50
MOST_EDITS = 10_000
_CELLS = {".csv": ",", ".tsv": "\t"}


def page_of_rows(place: Workplace, name: str, first: int, count: int) -> dict[str, Any]:
    """Some rows of a file, as they stand there. Raises: LmcError."""
    path = place.there(name, ROWS)
    total = 0
    shown: list[dict[str, Any]] = []
    for number, row in enumerate(_rows(path)):
        if first <= number < first + count:
            shown.append({"number": number, "values": row})
        total += 1
    columns = dict.fromkeys(key for row in shown for key in row["values"])
    return {
        "total": total,
        "first": first,
        "rows": shown,
        "columns": list(columns),
        "texts": path.suffix.lower() in _CELLS,
        "new_name": place.free_name(new_name(name)),
    }


def new_name(name: str) -> str:
    """The name that a file with edits gets: tables that are not text become JSON lines."""
    path = Path(name)
    suffix = path.suffix.lower()
    kept = suffix if suffix in _CELLS else ".jsonl"
    return path.with_name(f"{path.stem}-edited{kept}").as_posix()


def save_rows(place: Workplace, name: str, new: str, edits: Mapping[str, Any]) -> dict[str, Any]:
    """Write the rows of a file with edits into a new file.

    `edits` has `changed` rows and `removed` ones by number, and rows that are `added` at the end.
    Raises: LmcError[file-there, bad-request].
    """
    path = place.there(name, ROWS)
    changed, removed, added = _edits(edits)
    rows = [
        changed.get(number, row) for number, row in enumerate(_rows(path)) if number not in removed
    ] + added
    suffix = Path(new).suffix.lower()
    if suffix in _CELLS:
        data = _as_cells(rows, _CELLS[suffix])
    elif suffix == ".jsonl":
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    else:
        message = "edited rows are written as .jsonl, .csv or .tsv"
        raise LmcError.of("bad-request", message)
    if suffix != path.suffix.lower() and path.suffix.lower() in _CELLS:
        message = "cells of a table of texts have no types; the new file must be one too"
        raise LmcError.of("bad-request", message, help=f"end its name with {path.suffix}")
    place.write_new(new, data, ROWS)
    return {"file": new, "rows": len(rows)}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in file_source(path).read():
        if not isinstance(row, Mapping):
            message = f"row {number} of `{path.name}` is no object"
            raise LmcError.of("bad-row", message)
        yield {str(key): _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    """A cell as JSON; what a table holds besides becomes its text."""
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return str(value) if isinstance(value, str) else value
    return str(value)


def _edits(
    given: Mapping[str, Any],
) -> tuple[dict[int, dict[str, Any]], set[int], list[dict[str, Any]]]:
    changed, removed = given.get("changed", {}), given.get("removed", [])
    added = given.get("added", [])
    try:
        rows = {int(number): dict(row) for number, row in islice(changed.items(), MOST_EDITS)}
        fresh = [dict(row) for row in added[:MOST_EDITS]]
        return rows, {int(number) for number in removed}, fresh
    except (AttributeError, TypeError, ValueError):
        raise LmcError.of("bad-request", "the edits are not rows by their numbers") from None


def _as_cells(rows: list[dict[str, Any]], delimiter: str) -> bytes:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
