"""`lmc store`: what a program remembers between its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import count, program_argument, say, stores_option

if TYPE_CHECKING:
    from lmc.runtime.stores import KeptStores

_name = click.argument("name", required=False)


@click.group("store")
def command() -> None:
    """Show or clear what a program remembers between its runs."""


@command.command()
@program_argument
@_name
@stores_option
def show(program: Path, name: str | None, stores: str | None) -> None:
    """Show the stores of PROGRAM, or the records of the store NAME as JSON lines, oldest first."""
    found = _stores(program, stores)
    names = _chosen(found, name)
    held = found.read(names)
    if name is None:
        for each in names:
            records = count(len(held[each].records), "record")
            say(f"{each}: {records} of at most {found.stores[each].keep:,}")
            say(f"  {found.places[each].shown}")
        return
    for record in held[name].records:
        say(json.dumps(record, ensure_ascii=False), raw=True)


@command.command()
@program_argument
@_name
@stores_option
@click.confirmation_option(prompt="Delete what is remembered?")
def clear(program: Path, name: str | None, stores: str | None) -> None:
    """Delete the records of the store NAME, or of all stores of PROGRAM."""
    found = _stores(program, stores)
    for each in _chosen(found, name):
        gone = found.places[each].clear(each)
        say(f"{each}: {count(gone, 'record')} deleted")


def _stores(program: Path, where: str | None) -> KeptStores:
    """The stores of a program. Raises: LmcError[no-stores, store-not-allowed]."""
    from lmc.diagnostics import LmcError
    from lmc.program.program import load
    from lmc.runtime.stores import KeptStores

    opened = load(program, stores=where).stores
    if not isinstance(opened, KeptStores):
        opened.read(())
        raise LmcError.of("no-stores", f"{program} has no `store`")
    return opened


def _chosen(found: KeptStores, name: str | None) -> list[str]:
    from lmc.diagnostics import LmcError, suggestion

    if name is None:
        return sorted(found.stores)
    if name not in found.stores:
        help = suggestion(name, found.stores, f"it has {', '.join(found.stores)}")
        raise LmcError.of("unknown-store", f"no store is called `{name}`", help=help)
    return [name]
