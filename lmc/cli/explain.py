"""`lmc explain`: prints the long text about a diagnostic."""

from __future__ import annotations

import click

from lmc.cli.terminal import say
from lmc.diagnostics import LmcError, suggestion
from lmc.explanations import explanations


@click.command("explain")
@click.argument("slug", required=False)
def command(slug: str | None) -> None:
    """Explain the diagnostic SLUG, such as `unknown-field`.

    The slug is the word in brackets after `error` or `warning`. Without SLUG, list all of them.
    """
    texts = explanations()
    if slug is None:
        for name, text in sorted(texts.items()):
            say(f"{name:32} {text.splitlines()[0] if text else ''}")
        return
    if slug not in texts:
        message = f"there is no diagnostic `{slug}`"
        raise LmcError.of("unknown-slug", message, help=suggestion(slug, texts))
    say(f"{slug}\n{'=' * len(slug)}\n\n{texts[slug]}")
