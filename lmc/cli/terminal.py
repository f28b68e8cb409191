"""What the commands share on the terminal: all output, diagnostics in colour, consoles, options.

What lmc prints holds words of others: models, servers, rows of data, programs. `say` and the
consoles take keys out of it and show control characters as escapes, so that no word of theirs moves
the cursor, sets a title, hides text or turns its direction round. `say(…, raw=True)` is for
results: they go into a pipe or a file as they are, and are made harmless on a terminal only.
"""

from __future__ import annotations

import math
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lmc.diagnostics import Diagnostic, Format, render
from lmc.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

    from lmc.optimizers.events import Totals
    from lmc.requests.usage import Usage

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, allow_dash=True)


class Finite(click.FloatRange):
    """A number that is neither infinite nor `nan`, with which every comparison fails."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As `click.FloatRange`. Raises: click.BadParameter."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to compare with", param, ctx)
        return number


# Controls but for tab and line feed, what turns the direction of text, separators of lines, halves
# of characters, and the tags that no font shows.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_MARK = secrets.token_hex(8)  # so that nobody's text can pass for a style of `paint`
_PAINTED = re.compile(rf"\x00{_MARK}:([a-z_,]*)\x00")

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


def _allowed_tools(
    ctx: click.Context, option: click.Parameter, names: tuple[str, ...]
) -> list[str] | bool | None:
    return True if "all" in names else list(names) or None


on_option = click.option(
    "--on", metavar="CLUSTER",
    help="Processes of a cluster do the runs: ray, ray://HOST:PORT, ray?workers=8&cpus=0.5.",
)  # fmt: skip
stores_option = click.option(
    "--stores", metavar="PLACE",
    help="File or URL where all stores of the program are, or `memory`.",
)  # fmt: skip

CONSENT_OPTIONS = (
    click.option(
        "--allow-tool", "tools", metavar="NAME", multiple=True, callback=_allowed_tools,
        help="Python function that the artifact may run, or `all`. Repeatable.",
    ),
    click.option(
        "--allow-host", "hosts", metavar="HOST", multiple=True,
        help="Host to which the program may send API keys. Repeatable.",
    ),
    path_option := click.option(
        "--allow-path", "paths", metavar="DIR", multiple=True, type=click.Path(),
        help="Folder that the program may read besides its own. Repeatable.",
    ),
    click.option(
        "--allow-url", "urls", metavar="HOST", multiple=True,
        help="Host from which inputs may fetch images, audio and PDFs. Repeatable.",
    ),
    stores_option,
    click.option("--base-url", metavar="URL", help="Server of all models over HTTP."),
    click.option(
        "--record", type=FILE, metavar="FILE",
        help="Record all answers in FILE. -m recorded/FILE replays them.",
    ),
)  # fmt: skip


def consent_options(function: F) -> F:
    """Add the options for what a program may do and where it calls its models."""
    for option in reversed(CONSENT_OPTIONS):
        function = option(function)
    return function


# `sarif` and `github` are for CI; `lmc.cli.annotations` writes them.
CheckFormat = Format | Literal["sarif", "github"]
format_option = click.option(
    "--format", "style", type=click.Choice(["text", "concise", "json", "sarif", "github"]),
    default="text", show_default=True, help="Format of the diagnostics.",
)  # fmt: skip


def clean(text: str) -> str:
    """A text without keys, its control characters as escapes that JSON knows too."""
    return _CONTROL.sub(_escape, redact(text))


def _escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def paint(text: str, *styles: str) -> str:
    """Text for `say` in a colour (`red`), or `bold` or `dim`, where it goes to a terminal."""
    return f"\0{_MARK}:{','.join(styles)}\0{text}\0{_MARK}:\0"


def say(text: str = "", *, err: bool = False, nl: bool = True, raw: bool = False) -> None:
    """Print on standard output or error: the one way out of the commands.

    `raw` leaves a text as it is where it goes into a pipe or a file.
    """
    terminal = (sys.stderr if err else sys.stdout).isatty()
    parts = _PAINTED.split(text)  # texts, with the styles of the next one between them
    if raw and not terminal:
        written = text.encode("utf-8", "replace").decode()
    else:
        styles = ["", *parts[1::2]]
        written = "".join(map(_styled, map(clean, parts[::2]), styles))
    # click would strip escapes from what goes into a pipe; there are none but those of `raw`.
    click.echo(written, err=err, nl=nl, color=True if raw else None)


def _styled(text: str, styles: str) -> str:
    if not styles or not text:
        return text
    names = styles.split(",")
    colours = [name for name in names if name not in ("bold", "dim")]
    flags = {name: True for name in names if name in ("bold", "dim")}
    return click.style(text, fg=colours[0] if colours else None, **flags)


def console(*, stderr: bool = False) -> Console:
    """A rich console that prints clean text. rich is imported here, as it loads slowly."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class CleanConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for part in super().render(renderable, options):
                yield part if part.control else Segment(clean(part.text), part.style)

    return CleanConsole(stderr=stderr, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_diagnostics(diagnostics: Sequence[Diagnostic], style: Format = "text") -> None:
    """Print diagnostics on standard error. JSON goes to standard output for other programs."""
    if style == "json":
        say(render(diagnostics, "json"))
        return
    if not diagnostics:
        return
    text = render(diagnostics, style)
    say(_coloured(text), err=True)


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
        return paint(line, "red", "bold")
    if line.startswith("warning"):
        return paint(line, "yellow", "bold")
    stripped = line.lstrip(" 0123456789")
    if stripped.startswith(("-->", ":::")):
        return paint(line, "blue")
    if stripped.startswith("= help"):
        return paint(line, "cyan")
    if stripped.startswith("| ") and stripped[2:].lstrip().startswith("^"):
        return paint(line, "red")
    return line


def used(usage: Usage | Totals) -> str:
    """What some runs used: calls, tokens, money and retries."""
    cached = f", {usage.cached_calls:,} of them from the cache" if usage.cached_calls else ""
    money = f", ${usage.cost_usd:.4f}" if usage.cost_usd else ""
    calls, tokens = count(usage.calls, "call"), count(usage.tokens, "token")
    return f"{calls}{cached}, {tokens}{money}{retries(usage.retries)}"


def retries(number: int) -> str:
    """What to add to what was used, where requests had to be sent again."""
    return f", {number:,} {'retry' if number == 1 else 'retries'}" if number else ""
