"""`lmc models`: which kinds of models there are, and what each needs here."""

from __future__ import annotations

import click

from lmc.cli.terminal import console


@click.command("models")
def command() -> None:
    """List the kinds of models and whether each can be used here."""
    from rich.table import Table

    from lmc.models.registry import describe_models

    table = Table("model name", "runs", "ready", "needs", box=None, header_style="bold")
    for kind in describe_models():
        table.add_row(kind.pattern, kind.what, "yes" if kind.ready else "no", kind.needs)
    console().print(table)
