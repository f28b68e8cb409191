"""What a click starts: `lmc run` and `lmc test` in a process of their own.

The server itself runs no program. A process that hangs or dies takes nothing with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lmc.frozen import frozen

MOST_OUTPUT = 1 << 20  # bytes that are shown
TIME_LIMIT_S = 600.0


@frozen
class Outcome:
    """What a process said, and how it ended."""

    ok: bool
    output: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """What is sent to an editor."""
        return {"ok": self.ok, "output": self.output, "command": self.command}


def run_arguments(path: Path, target: str, inputs: Mapping[str, Any]) -> list[str]:
    """`lmc run` with inputs."""
    given = json.dumps(inputs, ensure_ascii=False)
    return ["run", str(path), "--target", target, "--input", given, "--json"]


def test_arguments(path: Path, title: str) -> list[str]:
    """`lmc test` of one test."""
    return ["test", str(path), "-k", title]


async def run_lmc(arguments: Sequence[str], folder: Path) -> Outcome:
    """Run the `lmc` command of this very installation. The process ends with the task."""
    # -P: no module of the program's folder takes the place of one of Python or lmc.
    command = [sys.executable, "-P", "-m", "lmc", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    shown = "lmc " + " ".join(arguments)
    try:
        async with asyncio.timeout(TIME_LIMIT_S):
            assert process.stdout is not None
            output = await _limited(process.stdout)
            code = await process.wait()
    except TimeoutError:
        return Outcome(False, f"stopped after {TIME_LIMIT_S:.0f} s", shown)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Outcome(code == 0, output, shown)


async def _limited(stream: asyncio.StreamReader) -> str:
    kept = bytearray()
    while piece := await stream.read(1 << 16):
        kept += piece[: max(0, MOST_OUTPUT - len(kept))]
    return kept.decode("utf-8", "replace")
