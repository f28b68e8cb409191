"""`lmc optimizers`: what can stand in `steps:` and after `--optimizer`."""

from __future__ import annotations

import click


@click.command("optimizers")
def command() -> None:
    """List the optimizers with their options and papers."""
    from lmc.optimizers.base import REGISTRY

    for name, entry in REGISTRY.items():
        options = ", ".join(
            f"{p}={default!r}" for p, (_, default) in entry.signature.params.items()
        )
        click.echo(f"{name}({options})\n    {entry.summary}\n    {entry.paper}\n")
