"""`lmc new`: a project that works as it stands, to be changed from there."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from lmc.cli.terminal import FILE
from lmc.diagnostics import LmcError, error


@click.command("new")
@click.argument("folder", type=FILE)
def command(folder: Path) -> None:
    """Start a project in FOLDER: a program, its data, its tests, and a Python caller."""
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise LmcError(
            error(
                "folder-not-empty", f"`{folder}` exists and is not empty", help="name a new folder"
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(
        resources.files("lmc.cli").joinpath("scaffold").iterdir(), key=lambda f: f.name
    ):
        (folder / file.name).write_bytes(file.read_bytes())
        click.echo(f"wrote {folder / file.name}")
    click.echo(
        f"\nNext:\n  cd {folder}\n  lmc test main.lmp\n  lmc eval main.lmp\n  lmc compile main.lmp"
    )
