"""Where rows come from: files of several formats, folders and patterns, tables, queries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from lmc.diagnostics import LmcError
from lmc.frozen import frozen_identity
from lmc.measure.sql_rows import Query, is_query
from lmc.measure.table_rows import frame_rows, group_of, read_arrow
from lmc.measure.text_rows import PACKED, READERS, NoRows, line_span, read_rows, suffixes
from lmc.source import Span

HUGGING_FACE = "hf:"
ARROW = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
_MAGIC = "*?["
_MOST_FILES = 100_000


class RowSource(Protocol):
    """Gives rows on each iteration. `folder` is where rows may name media; None for nowhere.

    Values of tables become JSON by `lmc.measure.adapting`; all others are JSON.
    """

    @property
    def table(self) -> bool:
        """Whether values are those of a table."""
        ...

    @property
    def name(self) -> str:
        """The name of the source in messages."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder in which rows may name media."""
        ...

    def read(self) -> Iterator[tuple[int, Any]]:
        """The rows with their numbers, or their lines. Raises: LmcError."""
        ...

    def place(self, number: int) -> Span | str:
        """Where a row is: a place in a text, or words."""
        ...


@frozen_identity
class FileRows:
    """The rows of one file."""

    path: Path
    table: bool

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def folder(self) -> Path | None:
        """The folder of the file."""
        return self.path.absolute().parent

    def read(self) -> Iterator[tuple[int, Any]]:
        """The rows. Raises: LmcError[cannot-read, bad-row, missing-extra]."""
        try:
            yield from (read_arrow if self.table else read_rows)(self.path)
        except OSError as problem:
            message = f"cannot read the rows of {self.path}: {problem.strerror or problem}"
            raise LmcError.of("cannot-read", message) from None
        except UnicodeDecodeError as problem:
            message = f"{self.path} is not UTF-8 at byte {problem.start}"
            raise LmcError.of("cannot-read", message) from None
        except NoRows as problem:
            place = self.place(problem.line) if problem.line is not None else self.name
            raise failure("bad-row", problem.message, place) from None

    def place(self, number: int) -> Span | str:
        """The line, or the row group and the row."""
        if self.table:
            return f"{self.path}, {group_of(self.path, number)}"
        return line_span(self.path, number) or f"{self.path}, line {number:,}"


@frozen_identity
class ManyFiles:
    """The rows of several files, one after the other."""

    name: str
    files: tuple[FileRows, ...]
    folder: Path | None
    table: bool = False

    def read(self) -> Iterator[tuple[int, Any]]:
        """Not used: `parts` are read."""
        for file in self.files:
            yield from file.read()

    def place(self, number: int) -> Span | str:
        """The number of the row."""
        return f"{self.name}, row {number:,}"


@frozen_identity
class TableRows:
    """The rows of a table that is no file."""

    name: str
    rows: Callable[[], Iterable[Any]]
    folder: Path | None = None
    table: bool = True

    def read(self) -> Iterator[tuple[int, Any]]:
        """The rows. Raises: LmcError."""
        try:
            yield from enumerate(self.rows(), start=1)
        except NoRows as problem:
            raise failure("bad-row", problem.message, self.name) from None

    def place(self, number: int) -> Span | str:
        """The number of the row."""
        return f"{self.name}, row {number:,}"


def failure(code: str, message: str, place: Span | str | None, help: str | None = None) -> LmcError:
    """The error at a place, which is in the words where there is no text to show."""
    if isinstance(place, str):
        return LmcError.of(code, f"{place}: {message}", help=help)
    return LmcError.of(code, message, place, help=help)


def parts(source: RowSource) -> tuple[RowSource, ...]:
    """The sources that are read one after the other."""
    return source.files if isinstance(source, ManyFiles) else (source,)


def file_source(path: Path, allowed: Callable[[Path], bool] = lambda path: True) -> RowSource:
    """A file, a folder, or a pattern such as `logs/*.jsonl.gz`. `allowed` says what may be read.

    Raises: LmcError[unknown-data-format, no-rows].
    """
    if os.path.isdir(path):  # not `path.is_dir`, which raises for some paths
        return _files(path, _in_folder(path), path, allowed)
    if any(mark in str(path) for mark in _MAGIC) and not os.path.exists(path):
        return _pattern(path, allowed)
    return _file(path)


def given_source(text: str) -> RowSource:
    """What the user names: a query of a database, a dataset of Hugging Face, else files.

    Raises: LmcError.
    """
    if is_query(text):
        query = Query.read(text)
        return TableRows(query.name, query.rows)
    if text.startswith(HUGGING_FACE):
        return _hugging_face(text.removeprefix(HUGGING_FACE))
    return file_source(Path(text))


def refuse_connections(text: str, span: Span | None) -> None:
    """See that a program names files only. Raises: LmcError[data-not-allowed]."""
    if is_query(text) or text.startswith(HUGGING_FACE):
        message = f"a program may not connect to `{text.partition('#')[0]}`"
        help = "name a file, and give the query yourself: `--data`, or `data=` in Python"
        raise LmcError.of("data-not-allowed", message, span, help=help)


def object_source(given: Any) -> RowSource | None:
    """A frame, or something that can be iterated over again and again; None for other objects."""
    if (rows := frame_rows(given)) is not None:
        return TableRows(f"the {type(given).__name__}", rows)
    if isinstance(given, dict):
        names = ", ".join(f'["{name}"]' for name in given)
        message = f"the data has several parts: give one of {names}"
        raise LmcError.of("unknown-data-format", message)
    if not isinstance(given, Iterable):
        message = f"the data is a Python {type(given).__name__}, which has no rows"
        raise LmcError.of("unknown-data-format", message)
    if isinstance(given, list | tuple | Iterator):
        return None
    return TableRows(f"the {type(given).__name__}", lambda: given)


def _file(path: Path) -> FileRows:
    kind, packed = suffixes(path)
    if kind in READERS or (kind in ARROW and not packed):
        return FileRows(path, kind in ARROW)
    known = ", ".join((*READERS, *ARROW))
    message = f"cannot read rows from `{path.name}`: the file must end in {known}"
    help = f"the first ones may end in {' or '.join(PACKED)} too" if kind in READERS else None
    raise LmcError.of("unknown-data-format", message, help=help)


def _is_known(path: Path) -> bool:
    kind, packed = suffixes(path)
    hidden = path.name.startswith((".", "_"))
    return not hidden and (kind in READERS or (kind in ARROW and not packed))


def _in_folder(path: Path) -> list[Path]:
    """The files of rows in a folder, or those that its `state.json` names: a saved dataset."""
    if (path / "state.json").is_file() and (path / "dataset_info.json").is_file():
        return sorted(path.glob("*.arrow"))
    return sorted(file for file in path.iterdir() if _is_known(file) and not file.is_dir())


def _pattern(path: Path, allowed: Callable[[Path], bool]) -> RowSource:
    steps = list(path.parts)
    fixed = next(i for i, step in enumerate(steps) if any(mark in step for mark in _MAGIC))
    root = Path(*steps[:fixed]) if fixed else Path()
    try:
        found = sorted(file for file in root.glob(str(Path(*steps[fixed:]))) if file.is_file())
    except ValueError as problem:
        raise LmcError.of("no-rows", f"`{path}` is not a pattern: {problem}") from None
    return _files(path, found, root, allowed)


def _files(
    path: Path, found: list[Path], folder: Path, allowed: Callable[[Path], bool]
) -> RowSource:
    if outside := next((file for file in found if not allowed(file)), None):
        message = f"`{path}` leads to `{outside}`, which is not in the folder of the program"
        raise LmcError.of("outside-folder", message)
    if not found:
        raise LmcError.of("no-rows", f"`{path}` has no files of rows")
    if len(found) > _MOST_FILES:
        message = f"`{path}` has {len(found):,} files, of at most {_MOST_FILES:,}"
        raise LmcError.of("unknown-data-format", message)
    return ManyFiles(str(path), tuple(map(_file, found)), folder.absolute())


def _hugging_face(text: str) -> RowSource:
    """`NAME#SPLIT` or `NAME:CONFIG#SPLIT`, read from the hub as it is needed.

    Raises: LmcError[missing-extra, cannot-read].
    """
    named, _, split = text.partition("#")
    name, _, config = named.partition(":")
    try:
        import datasets
    except ImportError:
        message = f"`hf:{text}` needs the package `datasets`"
        raise LmcError.of("missing-extra", message, help="pip install datasets") from None
    try:
        loaded = datasets.load_dataset(name, config or None, split=split or "train", streaming=True)
    except Exception as problem:  # the package raises whatever its parts do
        message = f"cannot read the dataset `{named}`: {str(problem)[:300]}"
        raise LmcError.of("cannot-read", message) from None
    return TableRows(f"hf:{text}", lambda: loaded)
