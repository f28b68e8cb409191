"""`lmc check`: everything that can be known before a model is called."""

from __future__ import annotations

from pathlib import Path

import click

from lmc.cli.terminal import count, error_count, format_option, print_diagnostics
from lmc.diagnostics import Diagnostic, Format


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--cost", is_flag=True, help="Also print the worst-case number of model calls.")
@click.option("--target", metavar="MODEL", help="Also say which types MODEL enforces while decoding.")
@format_option
def command(files: tuple[Path, ...], cost: bool, target: str | None, style: Format) -> int:
    """Check FILES: syntax, names, types, settings, templates, data leaks."""
    from lmc.check import check_program
    from lmc.runtime.program import read_source

    found: list[Diagnostic] = []
    checked = []
    for file in files:
        program, diagnostics = check_program(read_source(file))
        found += diagnostics
        checked.append(program)
    print_diagnostics(found, style)
    for program in checked:
        if program is not None and cost:
            _print_cost(program)
        if program is not None and target:
            _print_target(program, target)
    if style == "text":
        _print_summary(len(files), found)
    return 1 if error_count(found) else 0


def _print_summary(files: int, found: list[Diagnostic]) -> None:
    errors = error_count(found)
    warnings = len(found) - errors
    parts = [count(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    click.echo(f"{count(files, 'file')} checked: {', '.join(parts) or 'no errors'}", err=bool(errors))
