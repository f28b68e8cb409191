"""`lmc studio`: one page to write, try, compare and compile programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmc.cli.terminal import FILE, cache_option, consent_options, model_option, say
from lmc.diagnostics import LmcError


@click.command("studio")
@click.argument("place", type=FILE, default=Path("."), metavar="[FOLDER|PROGRAM]")
@click.option(
    "--port", default=8420, show_default=True, type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes any free one.",
)  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser.")
@model_option
@cache_option
@consent_options
def command(place: Path, port: int, opens: bool, **load: Any) -> None:
    """Work on the programs of FOLDER on a page: write, try, compare, compile, look at runs.

    Only you can reach it: it listens on this machine alone, and wants the token that stands in the
    address it prints. Ctrl-C ends it, and all that runs in it.
    """
    _require_packages()
    from lmc.serve.server import Listening, serve_until_stopped
    from lmc.studio.application import StudioApp
    from lmc.studio.state import StudioOptions

    folder, first = (place, "") if place.is_dir() else (place.parent, place.name)
    if first and (place.suffix not in (".lmp", ".lmpc") or not place.is_file()):
        message = f"{place} is no folder and no program"
        raise LmcError.of("cannot-read", message, help="name a folder, or a file that is there")
    options = StudioOptions(_absolute(load), _flags(load), first)
    studio = StudioApp(folder, options)

    def told(url: str) -> None:
        say(f"the studio of {folder.resolve().name} is at {studio.address(url)}", raw=True)
        if opens:
            import webbrowser

            webbrowser.open(studio.address(url))

    serve_until_stopped(studio, Listening(port=port, grace_s=1.0), told)


def _absolute(load: dict[str, Any]) -> dict[str, Any]:
    """The options for processes that run in another folder than this one."""
    paths = [str(Path(path).absolute()) for path in load["paths"]]
    record = str(Path(load["record"]).absolute()) if load["record"] else None
    return {**load, "paths": paths, "record": record}


def _flags(load: dict[str, Any]) -> list[str]:
    """The same options as words of a command."""
    words = {p.name: p.opts[-1] for p in click.get_current_context().command.params}
    flags = [] if load["cache"] else ["--no-cache"]
    for name, value in _absolute(load).items():
        if name != "cache" and value:
            values = ["all"] if value is True else [value] if isinstance(value, str) else value
            flags += [part for one in values for part in (words[name], str(one))]
    return flags


def _require_packages() -> None:
    """Raises: LmcError[missing-extra]."""
    from importlib.util import find_spec

    needed = ("starlette", "uvicorn", "prometheus_client", "pygls")
    if missing := [name for name in needed if find_spec(name) is None]:
        message = f"`lmc studio` needs {' and '.join(missing)}"
        raise LmcError.of("missing-extra", message, help='pip install "lmc-lang[studio]"')
