"""`lmc optimizers`: lists the optimizers for `steps:` and `--optimizer`."""

from __future__ import annotations

import json
import shutil
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from lmc.check.optimizer_options import Option, literal
from lmc.check.optimizers import SIGNATURES
from lmc.cli.terminal import paint, say
from lmc.diagnostics import LmcError, suggestion

if TYPE_CHECKING:
    from lmc.optimizers.base import Optimizer

_WIDEST = 100  # columns; longer lines are hard to read


@click.command("optimizers")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """Show what the optimizer NAME does, its options and its paper. Without NAME, show all.

    The first line is a call with all defaults. You can paste it into `steps:` of a program or after
    `--optimizer`. Options that are missing in it have no default.
    """
    from lmc.optimizers.compilation.catalog import OPTIMIZERS

    shown = OPTIMIZERS if name is None else (_named(name),)
    if as_json:
        found = [_as_json(optimizer) for optimizer in shown]
        say(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for number, optimizer in enumerate(shown):
        if number:
            say()
        _print(optimizer)


def _named(name: str) -> Optimizer:
    from lmc.optimizers.compilation.catalog import BY_NAME

    if name not in BY_NAME:
        help = suggestion(name, BY_NAME, f"the optimizers are {', '.join(BY_NAME)}")
        raise LmcError.of("unknown-optimizer", f"there is no optimizer `{name}`", help=help)
    return BY_NAME[name]


def _as_json(optimizer: Optimizer) -> dict[str, Any]:
    signature = optimizer.signature
    return {
        "name": signature.name,
        "aliases": signature.aliases,
        "summary": optimizer.summary,
        "call": signature.call,
        "options": [
            {"name": n, "type": str(o.type), "default": o.default, "about": o.about}
            for n, o in signature.options.items()
        ],
        "paper": optimizer.paper,
    }


def _print(optimizer: Optimizer) -> None:
    signature, width = optimizer.signature, min(shutil.get_terminal_size().columns, _WIDEST)
    inside = " " * (len(signature.name) + 1)  # further lines start below the first option
    call = textwrap.fill(signature.call, width, subsequent_indent=inside, break_on_hyphens=False)
    say(paint(signature.name, "bold") + call.removeprefix(signature.name))
    say(_wrapped(optimizer.summary, "  ", width))
    if signature.aliases:
        say(f"  Also called {', '.join(signature.aliases)}.")
    say()
    for name, option in signature.options.items():
        columns = zip((name, option.shown, _default(option)), _column_widths())
        head = "".join(f"{text:{wide}}  " for text, wide in columns)
        say(_wrapped(option.about, f"  {head}", width))
    say()
    say(_wrapped(optimizer.paper, "  ", width))


def _wrapped(text: str, head: str, width: int) -> str:
    """A text after its head. Further lines are indented to the start of the text."""
    lines = textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(line.rstrip() for line in lines)  # a long word may leave a space before it


@cache
def _column_widths() -> tuple[int, ...]:
    """The widths of names, types and defaults, the same for every optimizer."""
    options = [pair for s in SIGNATURES.values() for pair in s.options.items()]
    rows = ((name, option.shown, _default(option)) for name, option in options)
    return tuple(max(map(len, column)) for column in zip(*rows))


def _default(option: Option) -> str:
    """The default as a program writes it, or nothing if there is none."""
    return "" if option.default is None else literal(option.default)
