"""`lmc fmt`: formats programs in the standard layout."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from lmc.cli.terminal import FILE, count, print_diagnostics, say
from lmc.diagnostics import Diagnostic, LmcError
from lmc.source import Source


@click.command("fmt")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "--check",
    "check_only",
    is_flag=True,
    help="Change no file. Exit with 1 if a file would change.",
)
@click.option("--diff", is_flag=True, help="Change no file. Print the changes as a diff.")
def command(files: tuple[Path, ...], check_only: bool, diff: bool) -> int:
    """Format FILES in place. `-` reads standard input and writes standard output."""
    changed: list[Path] = []
    broken: list[Diagnostic] = []
    for file in files:
        try:
            changed += _format_file(file, write=not (check_only or diff), diff=diff)
        except LmcError as failure:
            broken += failure.diagnostics
    return _report(files, changed, broken, check_only or diff)


def _format_file(file: Path, *, write: bool, diff: bool) -> list[Path]:
    from lmc.check import open_source
    from lmc.syntax.printer import format_source

    if str(file) == "-":
        say(format_source(Source("<stdin>", sys.stdin.read())), nl=False, raw=True)
        return []
    source = open_source(file)
    after = format_source(source)
    if after == source.text:
        return []
    if diff:
        lines = difflib.unified_diff(
            source.text.splitlines(True), after.splitlines(True), str(file), str(file)
        )
        say("".join(lines), nl=False, raw=True)
    if write:
        from lmc.files import write_atomically

        write_atomically(file, after.encode())
    return [file]


def _report(
    files: tuple[Path, ...], changed: list[Path], broken: list[Diagnostic], dry: bool
) -> int:
    print_diagnostics(broken)
    verb = "would change" if dry else "formatted"
    for file in changed:
        say(f"{verb}: {file}", err=True)
    if not changed and not broken and files != (Path("-"),):
        say(f"{count(len(files), 'file')} already formatted", err=True)
    return 1 if broken or (dry and changed) else 0
