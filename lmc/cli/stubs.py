"""`lmc stubs`: writes type stubs for Python callers."""

from __future__ import annotations

from pathlib import Path

import click

from lmc.cli.terminal import FILE, program_argument, say


@click.command("stubs")
@program_argument
@click.option("-o", "--out", type=FILE, help="File to write.  [default: PROGRAM with .pyi]")
def command(program: Path, out: Path | None) -> None:
    """Write type stubs for PROGRAM to a `.pyi` file beside it."""
    from lmc.files import write_atomically
    from lmc.program.program import lower_file
    from lmc.values.stubs import stub_text

    target = out or program.with_suffix(".pyi")
    write_atomically(target, stub_text(lower_file(program), program.name, target.stem).encode())
    say(f"wrote {target}")
