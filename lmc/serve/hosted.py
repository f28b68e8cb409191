"""The programs of a server. One may be replaced while requests run, which end with the old one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError, suggestion
from lmc.ir.graph import Graph
from lmc.program.program import Callee, Program, load
from lmc.redaction import logger
from lmc.tasks.loop import run_async

_log = logger(__name__)
Given = Program | str | Path
SUFFIXES = (".lmp", ".lmpc")


@dataclass(eq=False, slots=True)
class HostedProgram:
    """A loaded program under its name. `users` runs use it now."""

    name: str
    program: Program
    own: bool = True  # loaded by the server, which closes it
    path: Path | None = None
    users: int = 0
    retired: bool = False

    @property
    def main(self) -> str:
        """The target that is meant where none is named."""
        return self.program.target().graph.name

    @property
    def targets(self) -> dict[str, Graph]:
        """The modules and pipelines that clients may run, by name."""
        graphs = self.program.graph.graphs
        return {name: graphs[name] for name in self.program.graph.exports}

    def callee(self, target: str) -> Callee:
        """A module or pipeline that clients may run. Raises: LmcError[unknown-target]."""
        if target not in self.program.graph.exports:
            message = f"no module or pipeline is called `{target[:80]}`"
            raise LmcError.of("unknown-target", message, help=suggestion(target, self.targets))
        return self.program[target]


class Programs:
    """The programs of a server by name. Belongs to one event loop."""

    def __init__(self, hosted: Sequence[HostedProgram], reload: Callable[[Path], Program]) -> None:
        self._hosted = {one.name: one for one in hosted}
        self._reload = reload
        self._closing: set[asyncio.Task[None]] = set()
        self.changed: list[Callable[[], None]] = []  # called after a program was replaced

    def __iter__(self) -> Iterator[HostedProgram]:
        return iter(self._hosted.values())

    @property
    def only(self) -> HostedProgram | None:
        """The program, if there is one alone."""
        return next(iter(self)) if len(self._hosted) == 1 else None

    def find(self, name: str | None) -> HostedProgram:
        """A program by name; None is the only one. Raises: LmcError[unknown-program]."""
        found = self.only if name is None else self._hosted.get(name)
        if found is None:
            shown = f"no program is called `{name[:80]}`" if name else "name one of the programs"
            known = ", ".join(self._hosted) or "none"
            help = suggestion(name or "", self._hosted, f"there are {known}")
            raise LmcError.of("unknown-program", shown, help=help)
        return found

    @contextmanager
    def using(self, hosted: HostedProgram) -> Iterator[None]:
        """Keep a program open while the block runs."""
        hosted.users += 1
        try:
            yield
        finally:
            hosted.users -= 1
            self._close_unused(hosted)

    async def preflight(self) -> None:
        """Check what would fail at the first request. Raises: LmcError with all of it."""
        found: dict[Any, None] = {}
        for hosted in self:
            try:
                await run_async(_preflight(hosted.program))
            except LmcError as failure:
                found.update(dict.fromkeys(failure.diagnostics))
        if found:
            raise LmcError(*found)

    async def reload(self) -> list[LmcError]:
        """Load all programs again. What does not load stays as it is, and is told."""
        failures = []
        for old in [hosted for hosted in self if hosted.path is not None]:
            try:
                await self._replace(old)
            except LmcError as failure:
                _log.error("`%s` was not loaded again: %s", old.name, failure)
                failures.append(failure)
        for tell in self.changed:
            tell()
        return failures

    async def _replace(self, old: HostedProgram) -> None:
        assert old.path is not None
        program = await asyncio.to_thread(self._reload, old.path)
        try:
            await run_async(_preflight(program))
        except BaseException:
            await asyncio.to_thread(program.close)
            raise
        self._hosted[old.name] = HostedProgram(old.name, program, True, old.path)
        old.retired = True
        self._close_unused(old)
        _log.info("`%s` was loaded again", old.name)

    async def close(self) -> None:
        """Close all programs that the server loaded."""
        for hosted in self:
            hosted.retired = True
            self._close_unused(hosted)
        if self._closing:
            await asyncio.wait(self._closing)

    def _close_unused(self, hosted: HostedProgram) -> None:
        if hosted.retired and hosted.own and not hosted.users:
            hosted.own = False
            closing = asyncio.ensure_future(asyncio.to_thread(hosted.program.close))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


@dataclass(frozen=True)
class Loading:
    """How the server loads programs: the options of `lmc.load`."""

    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, path: Path) -> Program:
        """Load one program. Raises: LmcError."""
        return load(path, **self.options)


def hosted_programs(
    given: Given | Sequence[Given] | Mapping[str, Given], reload: Callable[[Path], Program]
) -> list[HostedProgram]:
    """The programs that a caller names: one, several, by name, or those of a folder.

    Raises: LmcError[name-taken, nothing-to-serve], and those of `lmc.load`.
    """
    items: list[tuple[str | None, Given]]
    if isinstance(given, Mapping):
        items = list(given.items())
    else:
        items = [(None, one) for one in ([given] if isinstance(given, Given) else given)]
    hosted: dict[str, HostedProgram] = {}
    for name, one in [found for item in items for found in _unfolded(*item)]:
        made = _hosted(name, one, reload)
        if made.name in hosted:
            message = f"two programs are called `{made.name}`"
            raise LmcError.of("name-taken", message, help="write `NAME=FILE` for one of them")
        hosted[made.name] = made
    return list(hosted.values())


def _unfolded(name: str | None, given: Given) -> list[tuple[str | None, Given]]:
    if isinstance(given, Program) or not Path(given).is_dir():
        return [(name, given)]
    files = sorted(file for file in Path(given).iterdir() if file.suffix in SUFFIXES)
    if not files:
        message = f"the folder {given} has no programs"
        raise LmcError.of("nothing-to-serve", message, help="they end in .lmp or .lmpc")
    return [(None, file) for file in files]


def _hosted(name: str | None, given: Given, reload: Callable[[Path], Program]) -> HostedProgram:
    if isinstance(given, Program):
        return HostedProgram(name or "program", given, own=False)
    path = Path(given)
    return HostedProgram(name or plain_name(path.stem), reload(path), path=path)


def plain_name(text: str) -> str:
    """A name that can stand in a path and in the name of a tool."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "program"


async def _preflight(program: Program) -> None:
    for name in program.graph.exports:
        for told in program.executor.preflight(name):
            _log.warning("%s (%s)", told.message, told.help)
