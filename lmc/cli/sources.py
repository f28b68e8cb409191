"""Reading program texts for commands that need no more than the text."""

from __future__ import annotations

from pathlib import Path

from lmc.diagnostics import LmcError, error
from lmc.source import Source


def read_source(path: Path) -> Source:
    """Read a program's text. Raises: LmcError[cannot-read]."""
    try:
        return Source.read(path)
    except OSError as problem:
        reason = problem.strerror or str(problem)
    except UnicodeDecodeError as problem:
        reason = f"not UTF-8 at byte {problem.start}"
    raise LmcError(error("cannot-read", f"cannot read {path}: {reason}"))
