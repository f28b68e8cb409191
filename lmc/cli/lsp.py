"""`lmc lsp`: serves editors."""

from __future__ import annotations

import click

from lmc.diagnostics import LmcError


@click.command("lsp")
@click.option(
    "--stdio", is_flag=True, help="Talk over standard input and output, as it always does."
)
def command(stdio: bool) -> None:
    """Serve an editor over the language server protocol, at standard input and output.

    An editor starts this command. It calls no model and runs no tool without a click.
    """
    try:
        from lmc.editor.server import serve
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        help = 'pip install "lmc-lang[lsp]"'
        raise LmcError.of("missing-package", "`lmc lsp` needs pygls", help=help) from None
    serve()
