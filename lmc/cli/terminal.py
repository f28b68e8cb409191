"""What the commands share on the terminal: diagnostics in colour, consoles, options."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lmc.diagnostics import Diagnostic, Format, render

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, allow_dash=True)

program_argument = click.argument("program", type=FILE)
target_option = click.option(
    "-t", "--target",
    help="Module or pipeline to use.  [default: main, else the last one]",
)  # fmt: skip
model_option = click.option("-m", "--model", help="Model to use instead of the program's own.")
speculate_option = click.option(
    "--speculate", default=0, type=click.IntRange(0), metavar="N",
    show_default=True,
    help="Start up to N calls early, before it is known that they are needed.",
)  # fmt: skip
cache_option = click.option(
    "--cache/--no-cache", default=True, show_default=True, help="Use the response cache."
)
format_option = click.option(
    "--format", "style", type=click.Choice(["text", "concise", "json"]), default="text",
    show_default=True, help="Format of the diagnostics.",
)  # fmt: skip


def console(*, stderr: bool = False) -> Console:
    """A rich console. rich is imported here because it takes longer to load than a check."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_diagnostics(diagnostics: Sequence[Diagnostic], style: Format = "text") -> None:
    """Print diagnostics on standard error. JSON goes to standard output for other programs."""
    if style == "json":
        click.echo(render(diagnostics, "json"))
        return
    if not diagnostics:
        return
    text = render(diagnostics, style)
    click.echo(_coloured(text) if sys.stderr.isatty() else text, err=True)


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(value: float) -> str:
    """A share as `73.3 %`."""
    return f"{100 * value:.1f} %"


def error_count(diagnostics: Iterable[Diagnostic]) -> int:
    """How many of them are errors."""
    return sum(d.severity == "error" for d in diagnostics)


def _coloured(text: str) -> str:
    return "\n".join(_coloured_line(line) for line in text.split("\n"))


def _coloured_line(line: str) -> str:
    if line.startswith("error"):
        return click.style(line, fg="red", bold=True)
    if line.startswith("warning"):
        return click.style(line, fg="yellow", bold=True)
    stripped = line.lstrip(" 0123456789")
    if stripped.startswith(("-->", ":::")):
        return click.style(line, fg="blue")
    if stripped.startswith("= help"):
        return click.style(line, fg="cyan")
    if stripped.startswith("| ") and stripped[2:].lstrip().startswith("^"):
        return click.style(line, fg="red")
    return line
