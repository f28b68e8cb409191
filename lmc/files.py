"""Writing files: whole or not at all, and JSON as people read it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError, error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a kill at any time leaves the old one or the new one, never a part."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of another when the block ends well.

    Raises: LmcError[cannot-write].
    """
    folder = path.resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise LmcError(error("cannot-write", f"cannot write {path}: {reason}")) from None


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def indented_json(value: Any) -> str:
    """What `json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)` writes, in time
    linear in its length: the indenting encoder of Python takes as much again for each level.

    Raises: ValueError for a number that is not finite.
    """
    out: list[str] = []
    _write_json(value, "\n", out)
    return "".join(out)


def _write_json(value: Any, line: str, out: list[str]) -> None:
    match value:
        case dict() if value:
            start = "{"
            for key in sorted(value):
                out.append(f"{start}{line} {json.dumps(key, ensure_ascii=False)}: ")
                _write_json(value[key], line + " ", out)
                start = ","
            out.append(line + "}")
        case list() | tuple() if value:
            start = "["
            for item in value:
                out.append(f"{start}{line} ")
                _write_json(item, line + " ", out)
                start = ","
            out.append(line + "]")
        case _:
            out.append(json.dumps(value, ensure_ascii=False, allow_nan=False))
