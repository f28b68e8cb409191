"""`lmc new`: starts a project that works without changes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from lmc.cli.terminal import FILE, say
from lmc.diagnostics import LmcError, suggestion


@click.command("new")
@click.argument("folder", type=FILE)
@click.option("--from", "name", metavar="NAME", help="Start with the library program NAME.")
def command(folder: Path, name: str | None) -> None:
    """Start a project in FOLDER with a program, its data, its tests and a Python caller.

    With --from, start with a copy of a library program: `lmc new x --from debate`.
    """
    program = None if name is None else _library_program(name)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise LmcError.of(
            "folder-not-empty", f"`{folder}` exists and is not empty", help="name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if program is not None:
        (folder / "main.lmp").write_text(program, "utf-8")
        say(f"wrote {folder / 'main.lmp'}")
        say(f"\nNext:\n  cd {folder}\n  lmc test main.lmp\n  lmc check --cost main.lmp")
        return
    kept = resources.files("lmc.cli").joinpath("scaffold")
    files = [file for file in kept.iterdir() if file.is_file()]  # pip compiles use.py beside it
    for file in sorted(files, key=lambda f: f.name):
        (folder / file.name).write_bytes(file.read_bytes())
        say(f"wrote {folder / file.name}")
    say(f"\nNext:\n  cd {folder}\n  lmc test main.lmp\n  lmc eval main.lmp\n  lmc compile main.lmp")


def _library_program(name: str) -> str:
    """The source of a library program. Raises: LmcError[unknown-program]."""
    from lmc.check.imports import standard_names

    names = [full.removeprefix("lmc/") for full in standard_names()]
    if name not in names:
        help = suggestion(name, names, f"it has {', '.join(names)}")
        raise LmcError.of("unknown-program", f"the library has no program `{name}`", help=help)
    return resources.files("lmc.programs").joinpath(f"{name}.lmp").read_text("utf-8")
