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
model_option = click.option("-m", "--model", help="Model to use instead of the program's own.")
speculate_option = click.option(
    "--speculate", default=0, type=click.IntRange(0), metavar="N",
    help="Start up to N calls before it is known that they are wanted, where models idle (0).",
)  # fmt: skip
cache_option = click.option("--cache/--no-cache", default=True, help="Use the response cache (on).")


def _allowed_tools(
    ctx: click.Context, option: click.Parameter, names: tuple[str, ...]
) -> list[str] | bool | None:
    return True if "all" in names else list(names) or None


CONSENT_OPTIONS = (
    click.option(
        "--allow-tool", "tools", metavar="NAME", multiple=True, callback=_allowed_tools,
        help="A Python function that the artifact may run, again and again; or `all`.",
    ),
    click.option(
        "--allow-host", "hosts", metavar="HOST", multiple=True,
        help="A host that the program may send keys to, again and again.",
    ),
    path_option := click.option(
        "--allow-path", "paths", metavar="DIR", multiple=True, type=click.Path(),
        help="A folder that the program may read beside its own, again and again.",
    ),
    click.option("--base-url", metavar="URL", help="The server of all models asked over HTTP."),
    click.option("--record", type=FILE, help="Keep all answers in FILE; recorded/FILE replays."),
)  # fmt: skip


def consent_options(function: F) -> F:
    """Add the options that say what a program may do, and where it asks its models."""
    for option in reversed(CONSENT_OPTIONS):
        function = option(function)
    return function


format_option = click.option(
    "--format", "style", type=click.Choice(["text", "concise", "json"]), default="text",
    help="How diagnostics are printed.",
)  # fmt: skip


def console(*, stderr: bool = False) -> Console:
    """A rich console; imported late, since rich takes longer to load than a check."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_diagnostics(diagnostics: Sequence[Diagnostic], style: Format = "text") -> None:
    """Print diagnostics on standard error; JSON goes to standard output, for programs to read."""
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
