"""Diagnostics as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lmc.diagnostics import Diagnostic
from lmc.redaction import redact


def diagnostics_json(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """What was found, each with its place in a file."""
    found = []
    for one in diagnostics:
        place = None
        if one.span is not None:
            line, column = one.span.source.position(one.span.start)
            place = {"file": Path(one.span.source.name).name, "line": line, "column": column}
        told = {"slug": one.code, "message": redact(one.message), "help": redact(one.help or "")}
        found.append({**told, "place": place})
    return {"errors": found}
