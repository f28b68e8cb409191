"""Folders of Parquet files, as Ray Data reads and writes them. They may be addresses, as `s3://…`.

A folder that is being written has another one beside it, `NAME.unfinished`: which rows are written
already, by the hashes of their places, and what was asked. So a killed run goes on.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.tasks.foreign import said

BLOCK_ROWS = 16_384  # which are run and written together: what a killed run may lose, twice
UNFINISHED = ".unfinished"
ROW_KEY = "row_hash"  # of the place of a row: its file, and its number there
_SHOWN = 3
_READERS = "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"


def read_parquet(paths: str | Sequence[str]) -> Any:
    """The `ray.data.Dataset` of Parquet files, with the column `ROW_KEY`.

    Raises: LmcError[cannot-read, bad-row].
    """
    import ray.data

    try:
        names = ray.data.read_parquet(paths).schema().names
        found = ray.data.read_parquet(paths, include_row_hash=True)
        found.schema()
    except Exception as problem:  # Ray raises whatever its parts do
        message = f"cannot read `{paths}` as Parquet: {said(problem)}"
        raise LmcError.of("cannot-read", message) from None
    if ROW_KEY in names:  # Ray would replace it
        message = f"the rows have a column `{ROW_KEY}`, as the results do"
        raise LmcError.of("bad-row", message, help="give it another name")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise LmcError.of("bad-row", f"the column `{twice[0]}` is there twice")
    return found


@contextmanager
def few_readers() -> Iterator[None]:
    """Let Ray Data read the ends of files by as many processes as there are CPUs.

    It would start 32 for each dataset, also for one file, and wait until all of them are there.
    """
    import ray

    if _READERS in os.environ:  # the user's own
        yield
        return
    os.environ[_READERS] = str(max(1, min(32, int(ray.cluster_resources().get("CPU", 1)))))
    try:
        yield
    finally:
        os.environ.pop(_READERS, None)


@contextmanager
def quietly() -> Iterator[None]:
    """Let Ray Data print nothing of its own, as its errors are raised too."""
    import ray.data

    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.print_on_execution_start, log.level
    context.enable_progress_bars = context.print_on_execution_start = False
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before[:2]
        log.setLevel(before[2])


def _own(problem: BaseException) -> BaseException:
    """The failure of lmc in one of Ray; else what Ray says."""
    seen: BaseException | None = problem
    while seen is not None:
        problem = seen  # the deepest one; those around it have only the stack of a worker
        cause = getattr(seen, "cause", None)
        for found in (seen, cause):
            if isinstance(found, LmcError):
                return LmcError(*found.diagnostics)
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    message = f"Ray Data did not write the results: {said(problem)}"
    return LmcError.of("cannot-write", message, help="give the command again to go on")


@frozen
class Folder:
    """A folder for results, of this machine or of a store such as S3.

    Errors in what follows: LmcError[cannot-write, cannot-read].
    """

    files: Any  # a file system of pyarrow
    path: str

    @classmethod
    def of(cls, out: str) -> Folder:
        """The folder that a path or an address names."""
        from pyarrow import fs

        try:
            local = fs.LocalFileSystem(), str(Path(out).absolute())
            files, path = fs.FileSystem.from_uri(out) if "://" in out else local
        except (OSError, ValueError) as problem:
            raise LmcError.of("cannot-write", f"`{out}` is no folder: {said(problem)}") from None
        return cls(files, path.rstrip("/"))

    def begin(self, asked: str) -> int:
        """How many rows an earlier run wrote, if it was killed, and `asked` for the same."""
        from pyarrow import fs

        note = f"{self._unfinished}/asked"
        held, noted = self.files.get_file_info([self.path, note])
        with self._writing():
            if noted.type == fs.FileType.File:
                with self.files.open_input_stream(note) as file:
                    if file.read().decode() != asked:
                        raise self._taken("has another batch, which was not finished")
                return self._finished()
            if held.type == fs.FileType.File:
                raise self._taken("is a file")
            for path in (self.path, self._unfinished):
                if self.files.get_file_info(fs.FileSelector(path, allow_not_found=True)):
                    raise self._taken("has files already", path)
            self.files.create_dir(self._unfinished)
            with self.files.open_output_stream(note) as file:
                file.write(asked.encode())
        return 0

    def write(self, dataset: Any) -> None:
        """Write a dataset with the column `ROW_KEY`, but for rows that are written already."""
        from ray.data.checkpoint import CheckpointConfig

        keys = CheckpointConfig(ROW_KEY, self._keys, override_filesystem=self.files)
        dataset.context.checkpoint_config = keys
        dataset.context.execution_options.preserve_order = True
        try:
            dataset.write_parquet(self.path, filesystem=self.files, compression="zstd")
        except Exception as problem:
            raise _own(problem) from None
        with suppress(OSError):
            self.files.delete_dir(self._unfinished)

    def written(self) -> FolderContents:
        """What is in the folder, by the statistics in the files."""
        import pyarrow.dataset as tables

        names = [ROW_KEY, "failed", "error"]
        rows = failed = 0
        with self._writing():
            found = tables.dataset(self.path, filesystem=self.files, format="parquet")
            for part in found.get_fragments():
                meta = part.metadata
                paths = [meta.schema.column(i).path for i in range(meta.num_columns)]
                column = paths.index("failed")  # of leaves: nested columns have several
                for group in (meta.row_group(i) for i in range(meta.num_row_groups)):
                    rows += group.num_rows
                    failed += group.num_rows - group.column(column).statistics.null_count
            bad = tables.field("failed").is_valid()
            shown = found.head(_SHOWN, columns=names, filter=bad).to_pylist() if failed else []
        return FolderContents(
            rows, failed, tuple(FailedRow(*map(str, row.values())) for row in shown)
        )

    @property
    def _unfinished(self) -> str:
        return self.path + UNFINISHED

    @property
    def _keys(self) -> str:
        return f"{self._unfinished}/rows"

    def _finished(self) -> int:
        """The rows that are certainly written."""
        import pyarrow.parquet as pq
        from pyarrow import fs

        found = self.files.get_file_info(fs.FileSelector(self._keys, allow_not_found=True))
        names = [f.path for f in found if f.path.endswith(".parquet")]
        sure = [name for name in names if not name.endswith(".pending.parquet")]
        return sum(pq.read_metadata(name, filesystem=self.files).num_rows for name in sure)

    def _taken(self, why: str, path: str | None = None) -> LmcError:
        help = f"name a new folder, or remove it and `{self._unfinished}`"
        return LmcError.of("cannot-write", f"`{path or self.path}` {why}", help=help)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as problem:
            message = f"cannot use the folder `{self.path}`: {said(problem)}"
            raise LmcError.of("cannot-write", message) from None


@frozen
class FailedRow:
    """A row without a result."""

    id: str
    failed: str
    error: str


@frozen
class FolderContents:
    """What a folder of results holds."""

    rows: int
    failed: int
    first_failures: tuple[FailedRow, ...]
