"""`lmc test`: runs the `test` blocks of programs."""

from __future__ import annotations

from pathlib import Path

import click

from lmc.cli.terminal import FILE, cache_option, count, model_option, print_diagnostics


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "-k", "pattern", default="", metavar="TEXT", help="Run only the tests whose name contains TEXT."
)
@model_option
@cache_option
def command(files: tuple[Path, ...], pattern: str, model: str | None, cache: bool) -> int:
    """Run the `test` blocks of FILES. A test that stubs every module calls no model."""
    from lmc.program.program import load
    from lmc.program.testing import run_tests

    passed = failed = 0
    for file in files:
        for result in run_tests(load(file, model=model, cache=cache), pattern):
            passed, failed = passed + result.ok, failed + (not result.ok)
            mark = (
                click.style("pass", fg="green")
                if result.ok
                else click.style("FAIL", fg="red", bold=True)
            )
            click.echo(f"{mark}  {file.name}: {result.title}")
            print_diagnostics(result.diagnostics)
    click.echo(f"{count(passed, 'test')} passed, {failed} failed")
    return 1 if failed else 0
