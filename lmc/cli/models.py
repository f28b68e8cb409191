"""`lmc models`: lists the model providers and what each one needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import console

if TYPE_CHECKING:
    from lmc.models.registry import Provider


@click.command("models")
def command() -> None:
    """List the model providers and whether each one is ready on this machine."""
    from rich.table import Table

    from lmc.models.registry import describe_models

    table = Table(
        "name", "ready", "what answers", "can do", box=None, header_style="bold", pad_edge=False
    )
    for provider in describe_models():
        table.add_row(provider.prefix, readiness(provider), provider.about, abilities(provider))
    console().print(table)


def readiness(provider: Provider) -> str:
    """`yes`, or what the user must do first."""
    if not provider.installed:
        return f'[yellow]pip install "lmc-lang\\[{provider.extra}]"[/]'
    if provider.key_needed and not provider.key_present:
        return f"[yellow]set {provider.key_env}[/]"
    return "[green]yes[/]"


def abilities(provider: Provider) -> str:
    """The capabilities of a provider beyond plain text."""
    can = provider.capabilities
    words = {
        "JSON schema": can.json_schema,
        "grammar": can.grammar,
        "n samples": can.multiple_samples,
        "logprobs": can.logprobs,
        "seed": can.seed,
        "adapters": can.adapters,
        "begin": can.continues,
    }
    return ", ".join(word for word, able in words.items() if able)
