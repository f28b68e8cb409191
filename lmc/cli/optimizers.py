"""`lmc optimizers`: what can stand in `steps:` and after `--optimizer`."""

from __future__ import annotations

import json
import shutil
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from lmc.check.optimizers import SIGNATURES, Option, literal
from lmc.cli.terminal import paint, say
from lmc.diagnostics import LmcError, suggestion

if TYPE_CHECKING:
    from lmc.optimizers.base import Optimizer

_WIDEST = 100  # columns; longer lines are hard to read


@click.command("optimizers")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """Say what the optimizer NAME does, its options, and its paper; without a name, all of them.

    The call that is printed says the defaults. It can be pasted into `steps:` of a program, and
    after `--optimizer`. Options that it leaves out have no default.
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
        help = suggestion(name, BY_NAME, f"there is {', '.join(BY_NAME)}")
        raise LmcError.of("unknown-optimizer", f"no optimizer `{name}` is known", help=help)
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
    inside = " " * (len(signature.name) + 1)  # under what stands in the brackets
    call = textwrap.fill(signature.call, width, subsequent_indent=inside, break_on_hyphens=False)
    say(paint(signature.name, "bold") + call.removeprefix(signature.name))
    say(_wrapped(optimizer.summary, "  ", width))
    if signature.aliases:
        say(f"  Also called {', '.join(signature.aliases)}.")
    say()
    for name, option in signature.options.items():
        columns = zip((name, str(option.type), _default(option)), _column_widths())
        head = "".join(f"{text:{wide}}  " for text, wide in columns)
        say(_wrapped(option.about, f"  {head}", width))
    say()
    say(_wrapped(optimizer.paper, "  ", width))


def _wrapped(text: str, head: str, width: int) -> str:
    """A text after its head; further lines begin where it does."""
    return textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * len(head))


@cache
def _column_widths() -> tuple[int, ...]:
    """The widths of names, types and defaults, the same for every optimizer."""
    options = [pair for s in SIGNATURES.values() for pair in s.options.items()]
    rows = ((name, str(option.type), _default(option)) for name, option in options)
    return tuple(max(map(len, column)) for column in zip(*rows))


def _default(option: Option) -> str:
    """As a program writes it; nothing where it is not given."""
    return "" if option.default is None else literal(option.default)
