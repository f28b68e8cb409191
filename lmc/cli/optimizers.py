"""`lmc optimizers`: what can stand in `steps:` and after `--optimizer`."""

from __future__ import annotations

import click

from lmc.cli.terminal import say


@click.command("optimizers")
def command() -> None:
    """List the optimizers with their options and papers."""
    from lmc.optimizers.base import REGISTRY

    for name, entry in REGISTRY.items():
        options = ", ".join(
            f"{p}={default!r}" for p, (_, default) in entry.signature.params.items()
        )
        say(f"{name}({options})\n    {entry.summary}\n    {entry.paper}\n")
