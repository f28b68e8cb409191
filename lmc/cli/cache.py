"""`lmc cache`: the cache of model answers."""

from __future__ import annotations

import click

from lmc.cli.terminal import count, say


@click.group("cache")
def command() -> None:
    """Show or clear the cache: answers of models, and media by their hashes."""


@command.command()
def stats() -> None:
    """Show where the cache is and what it holds."""
    from lmc.media import media_store
    from lmc.requests.database_cache import open_cache

    cache = open_cache()
    found = cache.stats()
    say(f"{cache.shown}\n{count(found.entries, 'answer')}, {found.bytes / 1e6:.1f} MB")
    files, size = media_store().stats()
    if files:
        say(f"{media_store().root}\n{count(files, 'file')} of media, {size / 1e6:.1f} MB")


@command.command()
@click.confirmation_option(prompt="Delete all cached answers and media?")
def clear() -> None:
    """Delete all cached answers, and the media that traces and rows name by their hashes."""
    from lmc.media import media_store
    from lmc.requests.database_cache import open_cache

    say(f"{count(open_cache().clear(), 'answer')} deleted")
    if files := media_store().clear():
        say(f"{count(files, 'file')} of media deleted")
