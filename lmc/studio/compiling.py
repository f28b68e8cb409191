"""Compilations that the studio starts: `lmc compile` in a process, its events, and its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.redaction import redact
from lmc.studio.processes import Process, Processes
from lmc.studio.workplace import ARTIFACT, PROGRAM, Workplace

LOOK_S = 0.25  # between two looks at the events
MOST_KEPT = 50  # compilations that are remembered
_FIELDS = {
    "target": "--target", "data": "--data", "metric": "--metric", "optimizer": "--optimizer",
    "budget": "--budget", "accept": "--accept", "model": "--model", "objective": "--objective",
}  # fmt: skip


class Compilation:
    """One compilation: what was asked, its process while it runs, and how it ended."""

    def __init__(self, name: str, asked: Mapping[str, Any], command: list[str], folder: Path):
        self.name, self.asked, self.command = name, dict(asked), command
        self.folder = RunFolder(folder)
        self.state, self.said = "running", ""
        self.started = time.time()
        self.process: Process | None = None
        self.task: asyncio.Task[None] | None = None

    def to_json(self) -> dict[str, Any]:
        """What the page gets."""
        said = self.process.said if self.process is not None else self.said
        return {
            "name": self.name,
            "asked": self.asked,
            "state": self.state,
            "started": self.started,
            "said": redact(said)[-8000:],
            "command": "lmc " + " ".join(self.command),
        }


class Compilations:
    """The compilations of a studio. Each goes on when a page is closed. One at a time runs."""

    def __init__(self, place: Workplace, processes: Processes, options: list[str]) -> None:
        self._place, self._processes, self._options = place, processes, options
        self._known: dict[str, Compilation] = {}

    def to_json(self) -> list[dict[str, Any]]:
        """All of them, the latest first."""
        return [one.to_json() for one in reversed(self._known.values())]

    def find(self, name: str) -> Compilation:
        """One by its name. Raises: LmcError[unknown-run]."""
        found = self._known.get(name)
        if found is None:
            raise LmcError.of("unknown-run", "the studio started no such compilation")
        return found

    def start(self, asked: Mapping[str, Any]) -> Compilation:
        """Start one, or go on with one that was stopped. Raises: LmcError."""
        if any(one.state == "running" for one in self._known.values()):
            message = "a compilation runs already"
            raise LmcError.of("too-busy", message, help="wait for it, or stop it")
        made = self._again(str(asked["resume"])) if "resume" in asked else self._new(asked)
        self._known.pop(made.name, None)
        self._known[made.name] = made
        for old in list(self._known)[:-MOST_KEPT]:
            del self._known[old]
        made.task = asyncio.ensure_future(self._run(made))
        return made

    def _again(self, name: str) -> Compilation:
        earlier = self.find(name)
        return Compilation(name, earlier.asked, earlier.command, earlier.folder.path)

    def _new(self, asked: Mapping[str, Any]) -> Compilation:
        """A compilation of a saved program into an artifact that is not there. Raises: LmcError."""
        path, root = self._place.there(asked.get("file"), PROGRAM), self._place.root
        program = path.relative_to(root).with_suffix(".lmpc").as_posix()
        out = asked.get("out") or self._place.free_name(program)
        target = self._place.place(out, ARTIFACT)
        if target.exists():
            help = "give another name: nothing is written over"
            raise LmcError.of("file-there", f"`{out}` is there already", help=help)
        name = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        command = ["compile", str(path), "-o", str(target)]
        command += ["--run-dir", str(self._place.runs / name), *self._options]
        for field, flag in _FIELDS.items():
            if value := asked.get(field):
                command.append(f"{flag}={value}")
        return Compilation(name, {**asked, "out": out}, command, self._place.runs / name)

    async def _run(self, made: Compilation) -> None:
        try:
            async with self._processes.started(["lmc", *made.command]) as process:
                made.process = process
                code = await process.wait()
                made.said = process.said
            if made.state != "stopped":
                made.state = "done" if code == 0 else "failed"
        except LmcError as failure:
            made.state, made.said = "failed", str(failure)
        finally:
            made.process = None
            if made.state == "running":
                made.state = "stopped"

    def cancel(self, name: str) -> Compilation:
        """Stop one. What it has paid for stays, and it can go on. Raises: LmcError."""
        found = self.find(name)
        if found.process is not None and found.state == "running":
            found.state = "stopped"
            found.process.interrupt()
        return found

    async def stop(self) -> None:
        """Stop all, as the studio ends."""
        for one in self._known.values():
            if one.task is not None and not one.task.done():
                one.state = "stopped"
                one.task.cancel()
                await asyncio.wait((one.task,))

    async def watch(self, name: str, say: Callable[[str, Any], Awaitable[None]]) -> None:
        """Tell the events so far and those to come, until it has ended. Raises: LmcError."""
        made = self.find(name)
        await say("state", made.to_json())
        async for event in _events(made):
            await say("restart" if event is None else "event", event or {})
        await say("state", made.to_json())


async def _events(made: Compilation) -> AsyncIterator[dict[str, Any] | None]:
    """The events in the file of a run as they come; None if it begins again."""
    read = 0
    while True:
        ended = made.state != "running" and made.process is None
        lines, read, again = await asyncio.to_thread(_new_lines, made.folder, read)
        if again:
            yield None
        for line in lines:
            yield line
        if ended:
            return
        await asyncio.sleep(LOOK_S)


def _new_lines(folder: RunFolder, read: int) -> tuple[list[dict[str, Any]], int, bool]:
    """The whole lines after a place in the file, the next place, and whether it is a new file."""
    try:
        with folder.history_path.open("rb") as file:
            size = file.seek(0, 2)
            again = size < read
            file.seek(0 if again else read)
            data = file.read()
    except OSError:
        return [], read, False
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        event.pop("parameters", None)
        found.append(event)
    return found, (0 if again else read) + len(whole), again
