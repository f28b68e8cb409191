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
from lmc.studio.told import diagnostics_json

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
        tell("failed", diagnostics_json(failure.diagnostics))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(given: dict[str, Any], tell: Tell) -> None:
    from lmc.studio.trying import try_inputs

    try_inputs(given, tell)


def _compare(given: dict[str, Any], tell: Tell) -> None:
    from lmc.studio.comparing import compare_programs

    compare_programs(given, tell)


def _test(given: dict[str, Any], tell: Tell) -> None:
    from lmc.studio.trying import run_all_tests

    run_all_tests(given, tell)


_WORK: dict[str, Callable[[dict[str, Any], Tell], None]] = {
    "run": _run, "test": _test, "compare": _compare,
}  # fmt: skip


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


if __name__ == "__main__":
    main()
