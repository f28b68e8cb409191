"""`lmc export`: writes records and enums of a program as JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lmc.cli.terminal import FILE, program_argument, say


@click.command("export")
@program_argument
@click.option("--record", metavar="NAME", help="The record, enum or type of the whole schema.")
@click.option("-o", "--out", type=FILE, help="File to write.  [default: standard output]")
def command(program: Path, record: str | None, out: Path | None) -> None:
    """Write the records, enums and types of PROGRAM as JSON Schema (2020-12).

    Fields and variants have the names that models see. All are in `$defs`; with --record, the
    schema is that of one of them.
    """
    from lmc.diagnostics import LmcError, suggestion
    from lmc.files import write_atomically
    from lmc.program.program import check_file
    from lmc.values.schema import exported_schema

    types = check_file(program).named_types
    if record is not None and record not in types:
        help = suggestion(record, types, f"it has {', '.join(types) or 'none'}")
        message = f"{program.name} declares no record, enum or type `{record}`"
        raise LmcError.of("unknown-record", message, help=help)
    chosen = types if record is None else {record: types[record]}
    text = json.dumps(exported_schema(chosen, record), indent=2, ensure_ascii=False)
    if out is None:
        say(text, raw=True)
    else:
        write_atomically(out, f"{text}\n".encode(errors="backslashreplace"))
        say(f"wrote {out}")
