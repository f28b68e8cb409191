"""The walk of a program through the code, from `lmc compile` to the first step of an optimizer.

    python -m bench.walk examples/triage/triage.lmp

Counts the functions of lmc that are entered with the program as an argument: its path, or the
loaded program. Beside them, how many arguments these functions take together and at most.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
HOMES = tuple(str(ROOT / top) + "/" for top in ("lmc", "optimizers"))


class Arrived(Exception):
    """Ends the walk at the first step."""


class Walk:
    """The functions on the way, by file and name, with the number of their arguments."""

    def __init__(self, program: Path) -> None:
        self.path = str(program)
        self.visits: dict[tuple[str, int, str], int] = {}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Look at one event of the interpreter."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(HOMES):
            return
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        values = [frame.f_locals.get(name) for name in names]
        if code.co_name == "bootstrap":
            raise Arrived
        if any(map(self._is_program, values)):
            self.visits[code.co_filename, code.co_firstlineno, code.co_name] = count

    def _is_program(self, value: Any) -> bool:
        if isinstance(value, str | Path):
            return str(value) == self.path
        kind = type(value)
        checked = (
            kind.__module__ == "lmc.check.program"
        )  # what the checker found is not the program
        return kind.__name__ == "Program" and not checked


def main() -> None:
    """Walk once, and print what was seen."""
    from lmc.cli.main import main as lmc

    program = Path(sys.argv[1])
    walk = Walk(program)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--optimizer", "bootstrap", "--run-dir", f"{folder}/run", "--no-cache"]
        options += ["-o", f"{folder}/out.lmpc"]
        threading.setprofile(walk)
        sys.setprofile(walk)
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
                lmc(["compile", str(program), *options])
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    for (file, line, name), count in walk.visits.items():
        print(f"{Path(file).relative_to(ROOT)}:{line} {name} ({count})")
    most, files = max(walk.visits.values()), {file for file, *_ in walk.visits}
    print(
        f"{len(walk.visits)} functions in {len(files)} files take the program as an argument;"
        f" {sum(walk.visits.values())} arguments in all, {most} at most"
    )


if __name__ == "__main__":
    main()
