"""Rows of data: reads them, checks their types, and splits them without shared inputs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from lmc.check.program import DatasetDef
from lmc.consent import OWN, Consent, is_absolute
from lmc.diagnostics import Diagnostic, LmcError, did_you_mean, suggestion
from lmc.frozen import frozen
from lmc.ir.graph import Graph
from lmc.measure.adapting import BadValue, fitted
from lmc.measure.sources import RowSource, failure, file_source, parts, refuse_connections
from lmc.measure.text_rows import Text
from lmc.media.given import Access
from lmc.source import Span
from lmc.types import (
    Field,
    JsonType,
    LiteralType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    WrittenType,
)
from lmc.unions import kind_of, kind_of_value, members
from lmc.values import InvalidValue, taken_in, validate
from lmc.values.aliases import from_seen

DEFAULT_SPLIT: Mapping[str, float] = {"train": 0.4, "dev": 0.2, "test": 0.4}
MAX_REPORTED = 5  # bad rows shown of one file
SPLITS = ("train", "dev", "test")
_ANY = JsonType()  # of what has no type


@frozen
class Row:
    """One row: JSON values by field, and an id made from its number and content."""

    id: str
    values: Mapping[str, Any]


class Rows(Protocol):
    """Rows in memory, or rows that are read from a file on each iteration."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...


@frozen
class Split:
    """Rows in three parts: train to learn from, dev to choose by, test to report on."""

    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    test: tuple[Row, ...]

    @property
    def all(self) -> tuple[Row, ...]:
        """The rows of all three parts."""
        return self.train + self.dev + self.test


class SourceRows:
    """The rows of a source, read on each iteration, never all in memory.

    `row` is the type of a row; None accepts any row. `columns` maps a field to its column if the
    names differ. `others` keeps columns that are not fields. Only the text cells of a CSV file are
    converted, and the values of tables (`lmc.measure.adapting`). `limit` gives only the first rows.
    A row names images and other media by paths in the folder of its file, or in one that `consent`
    allows, but never by an address. Iteration and `len` raise LmcError with up to five bad rows,
    each with its place.
    """

    def __init__(
        self,
        source: RowSource,
        row: RecordType | None = None,
        columns: Mapping[str, str] | None = None,
        *,
        others: bool = False,
        limit: int | None = None,
        consent: Consent = OWN,
    ) -> None:
        self.source, self.row, self.columns = source, row, columns or {}
        self.others, self.consent, self.limit = others, consent, limit

    def head(self, limit: int | None) -> SourceRows:
        """Only the first rows, or all without a limit."""
        if limit is None:
            return self
        more: dict[str, Any] = {"others": self.others, "consent": self.consent}
        return SourceRows(self.source, self.row, self.columns, limit=limit, **more)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return islice(self._rows(), self.limit)

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self)

    def _rows(self) -> Iterator[Row]:
        problems: list[Diagnostic] = []
        number = 0
        for source in parts(self.source):
            access = Access(source.folder, consent=self.consent)
            for place, raw in source.read():
                number += 1
                try:
                    values = self._values(raw, source, access)
                except BadRow as bad:
                    found = failure(bad.code, bad.message, source.place(place), bad.help)
                    problems += found.diagnostics
                    if len(problems) == MAX_REPORTED or bad.code == "missing-column":
                        raise LmcError(*problems) from None
                else:
                    yield Row(_row_id(number, values), values)
        if problems:
            raise LmcError(*problems)
        if not number:
            raise LmcError.of("no-rows", f"`{self.source.name}` has no rows")

    def _values(self, raw: Any, source: RowSource, access: Access) -> dict[str, Any]:
        if not isinstance(raw, dict):
            if not (source.table and isinstance(raw, Mapping)):
                raise BadRow("bad-row", "a row must be an object with a value for each column")
            raw = dict(raw)
        if source.table and not all(isinstance(name, str) for name in raw):
            raw = {str(name): value for name, value in raw.items()}
        cell = _table_cell if source.table else _cell
        return _row_values(raw, self.row, self.columns, access, cell, others=self.others)


def load_rows(
    path: Path,
    row: RecordType | None = None,
    columns: Mapping[str, str] | None = None,
    *,
    others: bool = False,
    consent: Consent = OWN,
) -> list[Row]:
    """Read all rows of a file. Raises: LmcError."""
    return list(SourceRows(file_source(path), row, columns, others=others, consent=consent))


def dataset_file(
    dataset: DatasetDef, base_dir: Path | None = None, consent: Consent = OWN
) -> SourceRows:
    """The files of a `dataset`, relative to the file that declares it, else to `base_dir`.

    Raises: LmcError[outside-folder] if one is not in `base_dir`, the program's folder,
    LmcError[data-not-allowed] if it is no file.
    """
    home = dataset.span.source.path
    folder = home.parent if home is not None else base_dir or Path()
    settings = dataset.settings
    source, root = settings["source"], base_dir or folder
    refuse_connections(source, dataset.span)
    path = consent.place(folder, source, "the source of the dataset", dataset.span, root)
    within = None if is_absolute(source) else root
    found = file_source(path, lambda file: consent.may_read(file, within))
    return SourceRows(found, dataset.row, settings.get("columns"), consent=consent)


def load_dataset(
    dataset: DatasetDef,
    base_dir: Path | None = None,
    *,
    inputs: Collection[str] | None = None,
    seed: int = 0,
    consent: Consent = OWN,
) -> Split:
    """Load a `dataset` of a program and split it as declared.

    The dataset's own `seed` wins over the argument, so that test rows stay test rows.
    Raises: LmcError.
    """
    settings, rows = dataset.settings, list(dataset_file(dataset, base_dir, consent))
    split, own_seed = settings.get("split"), settings.get("seed", seed)
    return split_rows(rows, split, seed=own_seed, inputs=inputs, span=dataset.span)


def target_row(target: Graph) -> RecordType:
    """The type of rows for a module or pipeline, for files without a `dataset`."""
    fields = (Field(p.name, p.type, "", p.has_default or p.train, p.default) for p in target.inputs)
    return RecordType("row", tuple(fields))


def split_rows(
    rows: Sequence[Row],
    split: Mapping[str, int | float] | None = None,
    *,
    seed: int = 0,
    inputs: Collection[str] | None = None,
    span: Span | None = None,
) -> Split:
    """Split rows by counts or fractions (default: 40 % train, 20 % dev, 40 % test).

    A hash of seed and content decides the order, so the order of the file does not matter. Rows
    with equal `inputs` (default: all values) stay in the same split.
    Raises: LmcError[bad-split], LmcError[too-few-rows].
    """
    wanted = _counts(split or DEFAULT_SPLIT, len(rows), span)
    room = dict(wanted)
    parts: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for group in _groups(rows, inputs, seed):
        fitting = [name for name in SPLITS if room[name] >= len(group)]
        name = fitting[0] if fitting else max(SPLITS, key=lambda n: room[n])
        taken = group[: room[name]]
        parts[name] += taken
        room[name] -= len(taken)
    return Split(*(tuple(parts[name]) for name in SPLITS))


def fingerprint(rows: Iterable[Row]) -> str:
    """A hash of the rows, in their order."""
    return hashlib.sha256("\n".join(row.id for row in rows).encode()).hexdigest()


class BadRow(Exception):
    """A row that does not have its type. `lmc.measure.blocks` and `SourceRows` say where it is."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


# --- one row ---


def table_row(
    raw: Mapping[str, Any], row: RecordType, columns: Mapping[str, str], access: Access
) -> dict[str, Any]:
    """The values of a row of a table, by field. Raises: BadRow."""
    return _row_values(raw, row, columns, access, _table_cell, others=False)


def _row_values(
    raw: Any,
    row: RecordType | None,
    columns: Mapping[str, str],
    access: Access,
    cell: Callable[[Type, Any, str], Any],
    *,
    others: bool,
) -> dict[str, Any]:
    if row is None:
        return {k: cell(_ANY, v, k) for k, v in raw.items()}
    values = {}
    for field in row.fields:
        column = column_of(field, columns, raw)
        if column in raw:
            value = cell(field.type, raw[column], column)
            absent = value is None if cell is _table_cell else _is_blank(raw[column], field.type)
            if absent and _is_left_out(field):
                continue
            values[field.name] = from_seen(field.type, value)
        elif not field.has_default:
            raise _missing_column(field, column, raw)
    try:
        typed = validate(row, taken_in(row, values, access))
    except InvalidValue as problem:
        raise BadRow("bad-row", f"the row is not a `{row}`: {problem}") from None
    used = {column_of(field, columns, raw) for field in row.fields}
    rest = {k: cell(_ANY, v, k) for k, v in raw.items() if k not in used} if others else {}
    return {**rest, **typed}


def _is_blank(value: Any, type: Type) -> bool:
    """Whether it is an empty cell of a CSV file, whose field has no texts."""
    texts = any(isinstance(option, StrType | LiteralType) for option in members(type))
    return isinstance(value, Text) and not value.strip() and not texts


def _is_left_out(field: Field) -> bool:
    """Whether a null of a table leaves a field out: JSON would not have its key."""
    return field.has_default and not isinstance(field.type, OptionalType)


def column_of(field: Field, columns: Mapping[str, str], raw: Container[str]) -> str:
    """The column of a field: the declared one, else its name or the alias that models see."""
    alone = field.alias and field.alias in raw and field.name not in raw
    return columns.get(field.name, field.alias if alone else field.name)


def _missing_column(field: Field, column: str, raw: Mapping[str, Any]) -> BadRow:
    near = did_you_mean(column, raw)
    message = f"the row has no column `{column}`; it has {', '.join(raw)}"
    help = f'write `columns: {{{field.name}: "{near}"}}`' if near else None
    return BadRow("missing-column", message, help)


def _table_cell(type: Type, value: Any, column: str) -> Any:
    """The JSON value of a table's value."""
    try:
        return fitted(type, value)
    except BadValue as bad:
        raise BadRow("bad-row", f"`{column}` {bad}") from None


def _cell(type: Type, value: Any, column: str) -> Any:
    """The JSON value in a CSV cell, unless its field is a text or has no type."""
    if not isinstance(value, Text):
        return value
    text = str(value)
    if type is _ANY:
        return text
    if isinstance(type, OptionalType):
        return _cell(type.item, value, column) if text.strip() else None
    if isinstance(type, StrType | WrittenType):
        return text
    try:
        found = json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except (ValueError, RecursionError):
        return text
    kinds = {kind_of(option) for option in members(type)}
    if "a decimal" in kinds and kind_of_value(found) == "a number":
        return text  # with all its digits
    return text if "text" in kinds and kind_of_value(found) not in kinds else found


def _row_id(number: int, values: Mapping[str, Any]) -> str:
    return f"{number}-{_digest(values)[:12]}"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# --- splitting ---


def _groups(rows: Sequence[Row], inputs: Collection[str] | None, seed: int) -> list[list[Row]]:
    """Groups of rows with equal inputs, in an order that depends on seed and content."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        names = row.values.keys() if inputs is None else row.values.keys() & set(inputs)
        key = _digest([seed, {name: row.values[name] for name in names}])
        groups.setdefault(key, []).append(row)
    return [groups[key] for key in sorted(groups)]


def _counts(split: Mapping[str, int | float], n: int, span: Span | None) -> dict[str, int]:
    """The number of rows of each split. Raises: LmcError[bad-split], LmcError[too-few-rows]."""
    for name, size in split.items():
        if name not in SPLITS:
            help = suggestion(name, SPLITS, "the splits are train, dev and test")
            raise LmcError.of("bad-split", f"there is no split `{name}`", span, help=help)
        number = isinstance(size, int | float) and not isinstance(size, bool)
        if not number or size < 0 or (isinstance(size, float) and size > 1):
            message = f"`{name}` must be a number of rows or a share from 0.0 to 1.0"
            raise LmcError.of("bad-split", message, span)
    shares = [split.get(name, 0) for name in SPLITS]
    counted = sum(s for s in shares if isinstance(s, int))
    rest = sum(s for s in shares if isinstance(s, float))
    if rest > 1 + 1e-9 or counted + math.floor(rest * n) > n:
        message = f"the split needs more than the {n} rows of the data"
        raise LmcError.of("too-few-rows", message, span)
    return _whole(dict(zip(SPLITS, shares)), n)


def _whole(sizes: Mapping[str, int | float], n: int) -> dict[str, int]:
    """Round shares to whole numbers that add up to the rounded sum."""
    counts, total, given = {}, 0.0, 0
    for name, size in sizes.items():
        if isinstance(size, int):
            counts[name] = size
            continue
        total += size * n
        counts[name] = max(0, round(total - 1e-9) - given)
        given += counts[name]
    return counts
