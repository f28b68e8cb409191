"""`lmc stubs`: writes type stubs for Python callers."""

from __future__ import annotations

from pathlib import Path

import click

from lmc.cli.terminal import FILE, program_argument, say


@click.command("stubs")
@program_argument
@click.option("-o", "--out", type=FILE, help="File to write.  [default: PROGRAM as .pyi]")
def command(program: Path, out: Path | None) -> None:
    """Write type stubs for PROGRAM to a `.pyi` file beside it."""
    from lmc.files import write_atomically
    from lmc.program.program import Program, attributes, lower_file
    from lmc.values.names import stub_module
    from lmc.values.stubs import stub_text

    graph = lower_file(program)
    target = out or program.with_name(f"{stub_module(program.stem)}.pyi")
    text = stub_text(graph, program.name, stub_module(target.stem), attributes(Program(graph)))
    write_atomically(target, text.encode(errors="backslashreplace"))
    say(f"wrote {target}")
