"""Read files safely: only regular files of bounded size, by paths that files can have.

A program may name a FIFO, which waits for a writer, or a device, which never ends.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

MOST_TEXT_BYTES = 256 << 20  # of a file that is read completely
_PIECE_BYTES = 1 << 20
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)  # no file can have such a path


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to read. Raises: OSError, also for a FIFO, a socket or a device."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except ValueError as problem:  # it has a null character
        raise OSError(errno.EINVAL, str(problem), str(path)) from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """The contents of a regular file. Raises: OSError, also for more than `most` bytes."""
    data = bytearray()
    with open_regular(path) as file:
        while piece := file.read(_PIECE_BYTES):
            data += piece
            if len(data) > most:
                raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return bytes(data)


def read_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """The text of a regular UTF-8 file, without a byte order mark. Line ends become line feeds.

    Raises: OSError, UnicodeDecodeError.
    """
    text = read_regular(path, most).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def expanded(name: str) -> Path:
    """A path with the home folder for its `~`; as it stands where there is no such home."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def real_path(path: Path) -> Path | None:
    """A path with its links followed; None for one that no file can have.

    That is a path with a zero byte, one that is too long, and a circle of links.
    """
    try:
        real = path.resolve()
        os.stat(real)
    except (ValueError, RuntimeError):
        return None
    except OSError as problem:
        return None if problem.errno in _IMPOSSIBLE else real
    return real
