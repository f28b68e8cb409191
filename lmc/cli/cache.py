"""`lmc cache`: the cache of model answers."""

from __future__ import annotations

import click

from lmc.cli.terminal import count, say


@click.group("cache")
def command() -> None:
    """Show or clear the cache of model answers."""


@command.command()
def stats() -> None:
    """Show where the cache is and what it holds."""
    from lmc.requests.cache import Cache

    cache = Cache()
    found = cache.stats()
    say(f"{cache.path}\n{count(found.entries, 'answer')}, {found.bytes / 1e6:.1f} MB")


@command.command()
@click.confirmation_option(prompt="Delete all cached answers?")
def clear() -> None:
    """Delete all cached answers."""
    from lmc.requests.cache import Cache

    say(f"{count(Cache().clear(), 'answer')} deleted")
