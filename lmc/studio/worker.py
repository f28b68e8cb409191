"""The process that runs a program for the studio: a task comes in, lines of JSON go out.

`python -m lmc.studio.worker` reads one JSON object from standard input. What a program prints does
not get among the lines: it goes to standard error, which the page shows.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.redaction import redact

Tell = Callable[[str, Any], None]


def main() -> None:
    """Do the task at standard input."""
    tell = _own_output()
    given = json.loads(sys.stdin.buffer.read())
    # Tools of the program may be found in its folder, as with `lmc run` in that folder.
    sys.path.insert(0, str(Path(given["path"]).parent))
    try:
        _WORK[given["do"]](given, tell)
    except LmcError as failure:
        tell("failed", failure_json(failure))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(given: dict[str, Any], tell: Tell) -> None:
    from lmc.studio.trying import try_inputs

    try_inputs(given, tell)


def _compare(given: dict[str, Any], tell: Tell) -> None:
    from lmc.studio.comparing import compare_programs

    compare_programs(given, tell)


_WORK: dict[str, Callable[[dict[str, Any], Tell], None]] = {"run": _run, "compare": _compare}


def _own_output() -> Tell:
    """What writes a line. Whatever else is written to standard output goes to standard error."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(event: str, data: Any) -> None:
        text = json.dumps({"event": event, "data": data}, default=str)
        channel.write(text.encode() + b"\n")
        channel.flush()

    return tell


def failure_json(failure: LmcError) -> dict[str, Any]:
    """A failure as the page shows it."""
    found = []
    for one in failure.diagnostics:
        place = None
        if one.span is not None:
            line, column = one.span.source.position(one.span.start)
            place = {"file": Path(one.span.source.name).name, "line": line, "column": column}
        told = {"slug": one.code, "message": redact(one.message), "help": redact(one.help or "")}
        found.append({**told, "place": place})
    return {"errors": found}


if __name__ == "__main__":
    main()
