"""What the user of a program lets it do: run Python, send keys, read files.

A program that a person runs is his own file: its Python functions run. An artifact is a stranger's:
of its functions only those run that its loader allows. Neither reads files outside the program's
folder, nor sends a key to a host that the key does not belong to, unless the user says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.regular import expanded, real_path
from lmc.source import Span

Function = Callable[..., Any]
Given = Function | Sequence[Function]  # several stand for the tools of a server
Tools = bool | str | Function | Iterable[str | Function] | Mapping[str, Given]

HOSTS_VARIABLE, PATHS_VARIABLE = "LMC_ALLOW_HOSTS", "LMC_ALLOW_PATHS"
CALLER = "python:"  # stands for functions that the caller gives; without any, nothing runs
# All that the programs of the standard library call; a test compares.
LIBRARY_FUNCTIONS = frozenset(
    f"lmc.programs.tools:{name}"
    for name in ("calculate", "failing_tests", "nearest", "run_python", "try_python")
)


@frozen
class Consent:
    """What a program may do.

    `stranger` says that its functions need consent: `tools` are the names that have it, None stands
    for all. `functions` run in the place of the ones that the program names, a list of them in the
    place of a server. `hosts` are hosts to
    which the program may send keys, `paths` folders that it may read beside its own. `models` are
    the names that the user gave himself, and `base_url` is the server that he gave. `urls` are the
    hosts from which media may be fetched.
    """

    stranger: bool = False
    tools: frozenset[str] | None = frozenset()
    functions: Mapping[str, Given] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    models: frozenset[str] = frozenset()
    base_url: str | None = None
    urls: tuple[str, ...] = ()

    # --- functions ---

    def may_run(self, name: str, target: str) -> bool:
        """Whether the function behind a name of the program may run."""
        return (
            not self.stranger
            or self.tools is None
            or name in self.tools
            or name in self.functions
            or target in LIBRARY_FUNCTIONS
            or target == CALLER
        )

    def require_functions(self, targets: Mapping[str, str], span: Span | None = None) -> None:
        """See that functions may run, given as targets by name.

        Raises: LmcError[tool-not-allowed].
        """
        refused = {n: target for n, target in targets.items() if not self.may_run(n, target)}
        if refused:
            told = ", ".join(f"`{name}` ({target})" for name, target in refused.items())
            flags = " ".join(f"--allow-tool {name}" for name in refused)
            help = f"where you trust it: `{flags}`, or `tools={[*refused]}` in Python"
            message = f"the artifact would run Python that you did not allow: {told}"
            raise LmcError.of("tool-not-allowed", message, span, help=help)

    def require_known(self, known: Iterable[str]) -> None:
        """Refuse names that the program has no function for. Raises: LmcError[unknown-tool]."""
        names = sorted(known)
        for name in sorted({*(self.tools or ()), *self.functions} - {*names}):
            help = suggestion(name, names, f"it has {', '.join(names) or 'none'}")
            message = f"the program has no tool or Python metric `{name}`"
            raise LmcError.of("unknown-tool", message, help=help)

    # --- files ---

    def place(
        self,
        folder: Path,
        name: str,
        what: str,
        span: Span | None = None,
        root: Path | None = None,
    ) -> Path:
        """Where a file is that a program names, seen from a folder in the program's, `root`.

        Raises: LmcError[outside-folder, missing-file].
        """
        path = folder / expanded(name)
        if real_path(path) is None:
            raise LmcError.of("missing-file", f"{what} is {short(name)}: {IMPOSSIBLE}", span)
        if not self.may_read(path, None if is_absolute(name) else root or folder):
            raise LmcError.of("outside-folder", outside(what, name), span, help=ALLOW_PATH)
        return path

    def may_read(self, path: Path, folder: Path | None) -> bool:
        """Whether a path lies under a folder, or one that the user allows, links followed."""
        real = real_path(path)
        if real is None:
            return False
        roots = [*self.paths, *_paths_of_environment(), *([folder] if folder else [])]
        return any(real.is_relative_to(real_path(expanded(str(root))) or root) for root in roots)

    # --- hosts ---

    def allowed_hosts(self) -> tuple[str, ...]:
        """What the user wrote: `host`, `host:port`, or either with a scheme before it."""
        return *self.hosts, *_entries(os.environ.get(HOSTS_VARIABLE, ""))


OWN = Consent()  # of a program that the user wrote, who allowed nothing besides
ALLOW_PATH = (
    f"keep it in the program's folder, or allow the other one: `--allow-path DIR`,"
    f" `paths=[DIR]` in Python, or {PATHS_VARIABLE}"
)


IMPOSSIBLE = "this path leads to no file"


def short(name: str) -> str:
    """A name from a program in a message, cut if it is long."""
    return f"`{name if len(name) <= 80 else name[:79] + '…'}`"


def outside(what: str, name: str) -> str:
    """What is wrong with a path, in words."""
    return f"{what} is `{name}`, which is not in the folder of the program"


def read_tools(given: Tools | None) -> tuple[frozenset[str] | None, dict[str, Given]]:
    """The names that are allowed (None: all), and functions by the names that they stand for."""
    match given:
        case None | False:
            return frozenset(), {}
        case True:
            return None, {}
        case str():
            return frozenset([given]), {}
        case Mapping():
            return frozenset(), dict(given)
    items = list(given) if isinstance(given, Iterable) else [given]
    names = frozenset(item for item in items if isinstance(item, str))
    return names, {item.__name__: item for item in items if not isinstance(item, str)}


def is_absolute(name: str) -> bool:
    """Whether a path starts elsewhere than in the folder of who names it."""
    return name.startswith("~") or Path(name).is_absolute()


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _paths_of_environment() -> list[Path]:
    return [Path(p) for p in os.environ.get(PATHS_VARIABLE, "").split(os.pathsep) if p]
