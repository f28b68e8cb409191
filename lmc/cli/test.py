"""`lmc test`: the `test` blocks of programs."""

from __future__ import annotations

from pathlib import Path

import click

from lmc.cli.terminal import FILE, cache_option, count, model_option, paint, print_diagnostics, say


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("-k", "pattern", default="", help="Only tests whose name contains this text.")
@model_option
@cache_option
def command(files: tuple[Path, ...], pattern: str, model: str | None, cache: bool) -> int:
    """Run the `test` blocks of FILES; those that stub every module call no model."""
    from lmc.program.program import load
    from lmc.program.testing import run_tests

    passed = failed = 0
    for file in files:
        for result in run_tests(load(file, model=model, cache=cache), pattern):
            passed, failed = passed + result.ok, failed + (not result.ok)
            mark = paint("pass", "green") if result.ok else paint("FAIL", "red", "bold")
            say(f"{mark}  {file.name}: {result.title}")
            print_diagnostics(result.diagnostics)
    say(f"{count(passed, 'test')} passed, {failed} failed")
    return 1 if failed else 0
