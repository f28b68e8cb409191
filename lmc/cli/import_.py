"""`lmc import`: writes records for a JSON Schema, or for a class of pydantic."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from lmc.cli.terminal import FILE, count, say
from lmc.diagnostics import LmcError

MOST_BYTES = 32 << 20  # of a schema


@click.command("import")
@click.argument("schema")
@click.option("-o", "--out", type=FILE, help="File to write.  [default: standard output]")
def command(schema: str, out: Path | None) -> None:
    """Write records for SCHEMA: a JSON Schema file, `-`, or a Python class `pkg.mod:Model`.

    The class is one of pydantic, a dataclass or a TypedDict. Its module is imported, which runs
    it. What the language cannot say is told, with its place in the schema.
    """
    from lmc.files import write_atomically
    from lmc.values.schema_import import import_schema
    from lmc.values.schema_text import program_text

    document, name = _document(schema)
    found = import_schema(document, name)
    for pointer, note in found.notes:
        say(f"note: {pointer}: {note}", err=True)
    text = program_text(found, schema if schema != "-" else "a JSON Schema")
    if out is None:
        say(text, nl=False, raw=True)
    else:
        write_atomically(out, text.encode(errors="backslashreplace"))
        told = f", {count(len(found.notes), 'note')}" if found.notes else ""
        say(f"wrote {out}: {count(len(found.decls), 'declaration')}{told}")


def _document(schema: str) -> tuple[Any, str]:
    """The JSON Schema and the name of its root."""
    path = Path(schema)
    module, colon, name = schema.rpartition(":")
    if colon and not path.is_file() and name.isidentifier():
        return _of_class(module, name), name
    return _read(path), path.stem.split(".")[0] if schema != "-" else "Imported"


def _read(path: Path) -> Any:
    from lmc.regular import read_text

    try:
        text = sys.stdin.read(MOST_BYTES) if str(path) == "-" else read_text(path, MOST_BYTES)
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise LmcError.of("cannot-read", f"cannot read {path}: {reason}") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        help = "a schema in YAML must be turned into JSON first"
        raise LmcError.of("bad-schema", f"{path} is not JSON: {problem}", help=help) from None


def _of_class(module: str, name: str) -> Any:
    """The JSON Schema of a class. Raises: LmcError[bad-schema], also if its module fails."""
    from pydantic import TypeAdapter

    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
        return TypeAdapter(found).json_schema()
    except Exception as problem:  # of the user's own code
        message = f"`{module}:{name}` gives no JSON Schema: {type(problem).__name__}: {problem}"
        help = "name a class of pydantic, a dataclass or a TypedDict: `pkg.mod:Model`"
        raise LmcError.of("bad-schema", message[:500], help=help) from None
    finally:
        sys.path.remove(os.getcwd())
