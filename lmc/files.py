"""Write files atomically, completely or not at all, and write JSON that people can read."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError

MAKE_ROOM = "free some disk space and give the same command again"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PART = ".part"
_JUST_MADE_S = 1.0  # before that, a file may not be locked yet
_LEFTOVER_S = 24 * 3600.0  # after so long nobody writes a folder any more


def cache_folder() -> Path:
    """What can be had again is kept in LMC_CACHE_DIR, else in the user's cache folder."""
    import platformdirs

    folder = os.environ.get("LMC_CACHE_DIR") or platformdirs.user_cache_dir("lmc", appauthor=False)
    return Path(folder)


def is_full(problem: BaseException) -> bool:
    """Whether a disk or a quota is full, or a file would pass the greatest size."""
    return isinstance(problem, OSError) and problem.errno in _FULL


def cannot_write(path: Path | str, problem: OSError) -> LmcError:
    """The LmcError[cannot-write] for a file. If the disk is full, it says what to do."""
    reason = problem.strerror or str(problem)
    help = MAKE_ROOM if is_full(problem) else None
    return LmcError.of("cannot-write", f"cannot write {path}: {reason}", help=help)


def write_atomically(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file atomically. A kill at any time leaves the old or the new file, never a part.

    Only its user can read a private file. Raises: LmcError[cannot-write].
    """
    with replacing(path, private=private) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, private: bool = False, tidy: bool = False) -> Iterator[IO[bytes]]:
    """Open a file to write. It replaces `path` if the block ends without an exception.

    With `tidy`, what processes that were killed left of the same file is removed.
    Raises: LmcError[cannot-write].
    """
    folder = path.resolve().parent
    try:
        make_private(folder) if private else folder.mkdir(parents=True, exist_ok=True)
        if tidy:
            _drop_parts(folder, path.name)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                hold(file)
                yield file
                file.flush()
                os.fsync(file.fileno())
            if not private:  # a private file has 0600 already
                os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise cannot_write(path, problem) from None


def hold(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, or the process ends. False if another one has it.

    Where there are no such locks, nothing is locked.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where an open file cannot be removed
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _drop_parts(folder: Path, name: str) -> None:
    """Remove parts of a file that nobody writes any more."""
    for old in folder.glob(f".{glob.escape(name)}.????????{_PART}"):
        with contextlib.suppress(OSError):  # another process drops it, or has it open
            if time.time() - old.stat().st_mtime > _JUST_MADE_S:
                with old.open("r+b") as file:
                    is_free = hold(file)
                if is_free:
                    old.unlink()


def make_folder_once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` write a private folder, which is there as a whole or not at all.

    One that is there stays. Of several processes each fills its own, and the first one's counts.
    Raises: LmcError[cannot-write], and what `fill` raises.
    """
    if folder.is_dir():
        return
    root = folder.parent
    try:
        make_private(root)
        _drop_leftovers(root, folder.name)
        partial = Path(tempfile.mkdtemp(dir=root, prefix=f".{folder.name}."))
        try:
            fill(partial)
            _keep_private(partial)
            _move_once(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as problem:
        raise cannot_write(folder, problem) from None


def _move_once(partial: Path, folder: Path) -> None:
    try:
        os.replace(partial, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise


def _keep_private(folder: Path) -> None:
    """Have the files of a folder on the disk, for its user alone."""
    for file in folder.iterdir():
        file.chmod(0o600)
        with file.open("r+b") as written:  # Windows syncs only what can be written
            os.fsync(written.fileno())


def _drop_leftovers(root: Path, name: str) -> None:
    """Remove what a process that was killed left half written."""
    for old in root.glob(f".{name}.*"):
        with contextlib.suppress(OSError):  # another process drops it
            if time.time() - old.stat().st_mtime > _LEFTOVER_S:
                shutil.rmtree(old)


def make_private(folder: Path) -> None:
    """Make a folder that only its user can enter. An existing folder is unchanged.

    Raises: OSError.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode=0o700, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Make a file, with its folder, that only its user can read. Existing contents stay.

    Raises: OSError.
    """
    make_private(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    with contextlib.suppress(PermissionError):  # another user's file in a shared folder
        path.chmod(0o600)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def indented_json(value: Any, *, sort_keys: bool = True) -> str:
    """The text of `json.dumps(value, indent=1, ensure_ascii=False)`, with its keys sorted or not.

    It takes time linear in the length. Python's own encoder takes as much again for each level.
    Raises: ValueError for a number that is not finite.
    """
    out: list[str] = []
    _write_json(value, "\n", out, sorted if sort_keys else iter)
    return "".join(out)


def _write_json(
    value: Any, line: str, out: list[str], keys: Callable[[dict[str, Any]], Iterable[str]]
) -> None:
    match value:
        case dict() if value:
            start = "{"
            for key in keys(value):
                out.append(f"{start}{line} {json.dumps(key, ensure_ascii=False)}: ")
                _write_json(value[key], line + " ", out, keys)
                start = ","
            out.append(line + "}")
        case list() | tuple() if value:
            start = "["
            for item in value:
                out.append(f"{start}{line} ")
                _write_json(item, line + " ", out, keys)
                start = ","
            out.append(line + "]")
        case _:
            out.append(json.dumps(value, ensure_ascii=False, allow_nan=False))
