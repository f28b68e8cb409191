"""`lmc test`: runs the `test` blocks of programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmc.cli.terminal import (
    FILE,
    cache_option,
    consent_options,
    count,
    model_option,
    paint,
    print_diagnostics,
    say,
)


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "-k", "pattern", default="", metavar="TEXT", help="Run only the tests whose name contains TEXT."
)
@model_option
@cache_option
@consent_options
def command(files: tuple[Path, ...], pattern: str, **options: Any) -> int:
    """Run the `test` blocks of FILES. A test that stubs every module calls no model."""
    from lmc.program.program import load
    from lmc.program.testing import run_tests

    passed = failed = 0
    for file in files:
        for result in run_tests(load(file, **options), pattern):
            passed, failed = passed + result.ok, failed + (not result.ok)
            mark = paint("pass", "green") if result.ok else paint("FAIL", "red", "bold")
            say(f"{mark}  {file.name}: {result.title}")
            print_diagnostics(result.diagnostics)
    say(f"{count(passed, 'test')} passed, {failed} failed")
    return 1 if failed else 0
