"""Rows of data: reads them, checks their types, and splits them without shared inputs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from lmc.check.program import DatasetDef
from lmc.consent import OWN, Consent
from lmc.diagnostics import Diagnostic, LmcError, did_you_mean, error, suggestion
from lmc.frozen import frozen
from lmc.ir.graph import Graph
from lmc.media.given import Access
from lmc.regular import open_regular, read_text
from lmc.source import Source, Span
from lmc.types import Field, OptionalType, RecordType, StrType, Type, WrittenType
from lmc.unions import kind_of, kind_of_value, members
from lmc.values import InvalidValue, taken_in, validate
from lmc.values.aliases import from_seen
from lmc.written import exact_float

DEFAULT_SPLIT: Mapping[str, float] = {"train": 0.4, "dev": 0.2, "test": 0.4}
MAX_REPORTED = 5  # bad rows shown of one file
SPLITS = ("train", "dev", "test")
MOST_LINE_BYTES = 16 << 20  # of a `.jsonl` file; csv bounds a cell by itself


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


class RowFile:
    """The rows of a `.jsonl`, `.json` (a list of objects) or `.csv` file, read on each iteration.

    `row` is the type of a row; None accepts any row. `columns` maps a field to its column if the
    names differ. `others` keeps columns that are not fields. Only the text cells of a CSV file are
    converted. `limit` gives only the first rows. A row names images and other media by paths in the
    folder of the file, or in one that `consent` allows, but never by an address. Iteration and
    `len` raise LmcError with up to five bad rows, each with file and line.
    """

    def __init__(
        self,
        path: Path,
        row: RecordType | None = None,
        columns: Mapping[str, str] | None = None,
        *,
        others: bool = False,
        limit: int | None = None,
        consent: Consent = OWN,
    ) -> None:
        self.path, self.row, self.columns, self.others = path, row, columns or {}, others
        self.consent = consent
        self.limit = limit
        self._reader = _READERS.get(path.suffix.lower())
        if self._reader is None:
            known = ", ".join(_READERS)
            message = f"cannot read rows from `{path.name}`: the file must end in {known}"
            raise LmcError.of("unknown-data-format", message)

    def head(self, limit: int | None) -> RowFile:
        """Only the first rows, or all without a limit."""
        if limit is None:
            return self
        more: dict[str, Any] = {"others": self.others, "consent": self.consent}
        return RowFile(self.path, self.row, self.columns, limit=limit, **more)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return islice(self._rows(), self.limit)

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self)

    def _rows(self) -> Iterator[Row]:
        problems: list[Diagnostic] = []
        access = Access(self.path.absolute().parent, consent=self.consent)
        number = 0
        for number, (line, raw) in enumerate(_reading(self.path, self._reader), start=1):
            try:
                values = _row_values(raw, self.row, self.columns, access, others=self.others)
            except _BadRow as bad:
                place = line_span(self.path, line)
                problems.append(error(bad.code, bad.message, place, help=bad.help))
                if len(problems) == MAX_REPORTED or bad.code == "missing-column":
                    break
            else:
                yield Row(_row_id(number, values), values)
        if problems:
            raise LmcError(*problems)
        if not number:
            raise LmcError.of("no-rows", f"`{self.path}` has no rows")


def load_rows(
    path: Path,
    row: RecordType | None = None,
    columns: Mapping[str, str] | None = None,
    *,
    others: bool = False,
    consent: Consent = OWN,
) -> list[Row]:
    """Read all rows of a file with `RowFile`. Raises: LmcError."""
    return list(RowFile(path, row, columns, others=others, consent=consent))


def dataset_file(
    dataset: DatasetDef, base_dir: Path | None = None, consent: Consent = OWN
) -> RowFile:
    """The file of a `dataset`, relative to the file that declares it, else to `base_dir`.

    Raises: LmcError[outside-folder] if it is not in `base_dir`, the program's folder.
    """
    home = dataset.span.source.path
    folder = home.parent if home is not None else base_dir or Path()
    settings = dataset.settings
    source, root = settings["source"], base_dir or folder
    path = consent.place(folder, source, "the source of the dataset", dataset.span, root)
    return RowFile(path, dataset.row, settings.get("columns"), consent=consent)


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


def line_span(path: Path, line: int) -> Span | None:
    """The span of a line of a file."""
    try:
        source = Source(str(path), read_text(path), path)
    except (OSError, UnicodeDecodeError):
        return None
    start = sum(len(text) for text in source.text.split("\n")[: line - 1]) + line - 1
    length = len(source.line(line)) if 1 <= line <= source.line_count else 0
    return Span(source, start, start + length)


# --- reading ---


class _BadRow(Exception):
    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


class _NoRows(Exception):
    """The file as a whole cannot be read as rows."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message, self.line = message, line


class _Text(str):
    """A cell of a CSV file, which has no type."""

    __slots__ = ()


NumberedRow = tuple[int, Any]  # line or, in a `.json` list, 1


def _reading(path: Path, reader: Any) -> Iterator[NumberedRow]:
    try:
        yield from reader(path)
    except OSError as problem:
        message = f"cannot read the rows of {path}: {problem.strerror or problem}"
        raise LmcError.of("cannot-read", message) from None
    except UnicodeDecodeError as problem:
        message = f"{path} is not UTF-8 at byte {problem.start}"
        raise LmcError.of("cannot-read", message) from None
    except _NoRows as problem:
        place = line_span(path, problem.line)
        raise LmcError.of("bad-row", problem.message, place) from None


def _read_jsonl(path: Path) -> Iterator[NumberedRow]:
    with open_regular(path) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MOST_LINE_BYTES + 1), b""), 1):
            if len(line) > MOST_LINE_BYTES:
                raise _NoRows(f"the line has more than {MOST_LINE_BYTES:,} bytes", number)
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if text.strip():
                yield number, _decoded(text, number)


def _read_json(path: Path) -> Iterator[NumberedRow]:
    rows = _decoded(read_text(path), 1)
    if not isinstance(rows, list):
        raise _NoRows("a .json file of rows must contain a list of objects", 1)
    for row in rows:
        yield 1, row


def _read_csv(path: Path) -> Iterator[NumberedRow]:
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for cells in reader:
                if None in cells or None in cells.values():
                    message = f"the row must have {len(reader.fieldnames or ())} cells"
                    raise _NoRows(message, reader.line_num)
                yield reader.line_num, {k: _Text(v) for k, v in cells.items()}
        except csv.Error as problem:
            raise _NoRows(f"the row is not CSV: {problem}", reader.line_num) from None


def _decoded(text: str, line: int) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=exact_float)
    except json.JSONDecodeError as problem:
        place = line + problem.lineno - 1
        message = f"the row is not JSON: {problem.msg} at column {problem.colno}"
        raise _NoRows(message, place) from None
    except (ValueError, RecursionError) as problem:
        raise _NoRows(f"the row is not JSON: {problem}", line) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


_READERS = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv}


# --- one row ---


def _row_values(
    raw: Any,
    row: RecordType | None,
    columns: Mapping[str, str],
    access: Access,
    *,
    others: bool,
) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _BadRow("bad-row", "a row must be an object with a value for each column")
    if row is None:
        return {k: str(v) if isinstance(v, _Text) else v for k, v in raw.items()}
    values = {}
    for field in row.fields:
        column = _column(field, columns, raw)
        if column in raw:
            values[field.name] = from_seen(field.type, _cell(field.type, raw[column]))
        elif not field.has_default:
            raise _missing_column(field, column, raw)
    try:
        typed = validate(row, taken_in(row, values, access))
    except InvalidValue as problem:
        raise _BadRow("bad-row", f"the row is not a `{row}`: {problem}") from None
    used = {_column(field, columns, raw) for field in row.fields}
    rest = {k: v for k, v in raw.items() if k not in used} if others else {}
    return {**rest, **typed}


def _column(field: Field, columns: Mapping[str, str], raw: Mapping[str, Any]) -> str:
    """The column of a field: the declared one, else its name or the alias that models see."""
    alone = field.alias and field.alias in raw and field.name not in raw
    return columns.get(field.name, field.alias if alone else field.name)


def _missing_column(field: Field, column: str, raw: Mapping[str, Any]) -> _BadRow:
    near = did_you_mean(column, raw)
    message = f"the row has no column `{column}`; it has {', '.join(raw)}"
    help = f'write `columns: {{{field.name}: "{near}"}}`' if near else None
    return _BadRow("missing-column", message, help)


def _cell(type: Type, value: Any) -> Any:
    """The JSON value in a CSV cell, unless its field is a text."""
    if not isinstance(value, _Text):
        return value
    text = str(value)
    if isinstance(type, OptionalType):
        return _cell(type.item, value) if text.strip() else None
    if isinstance(type, StrType | WrittenType):
        return text
    try:
        found = json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except (ValueError, RecursionError):
        return text
    kinds = {kind_of(option) for option in members(type)}
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
