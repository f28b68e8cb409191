"""`lmc test`: runs the `test` blocks of programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lmc.cli.junit import JunitCase, JunitSuite, write_junit
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
from lmc.diagnostics import LmcError, render


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "-k", "pattern", default="", metavar="TEXT", help="Run only the tests whose name contains TEXT."
)
@click.option("--junit", type=FILE, metavar="FILE", help="Write what passed and failed as JUnit.")
@model_option
@cache_option
@consent_options
def command(files: tuple[Path, ...], pattern: str, junit: Path | None, **options: Any) -> int:
    """Run the `test` blocks of FILES. A test that stubs every module calls no model."""
    suites = [JunitSuite(str(file), tuple(_cases(file, pattern, options))) for file in files]
    if junit is not None:
        write_junit(junit, suites)
    cases = [case for suite in suites for case in suite.cases]
    failed = sum(bool(case.problem) for case in cases)
    say(f"{count(len(cases) - failed, 'test')} passed, {failed} failed")
    return 1 if failed else 0


def _cases(file: Path, pattern: str, options: dict[str, Any]) -> Iterator[JunitCase]:
    """Run the tests of a file. One that cannot be loaded is one test that fails."""
    from lmc.program.program import load
    from lmc.program.testing import run_tests

    try:
        program = load(file, **options)
    except LmcError as failure:
        say(f"{paint('FAIL', 'red', 'bold')}  {file.name}: it cannot be loaded")
        print_diagnostics(failure.diagnostics)
        yield JunitCase("it can be loaded", failure.diagnostics[0].message, str(failure), "error")
        return
    for result in run_tests(program, pattern):
        mark = paint("pass", "green") if result.ok else paint("FAIL", "red", "bold")
        say(f"{mark}  {file.name}: {result.title}")
        print_diagnostics(result.diagnostics)
        problem = "" if result.ok else result.diagnostics[0].message
        yield JunitCase(
            result.title, problem, render(result.diagnostics), seconds=result.seconds
        )  # fmt: skip
