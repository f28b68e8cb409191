"""`lmc prompts`: shows all prompts of a program, or keeps them in a file that reviews compare."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.data_options import data_option
from lmc.cli.terminal import (
    FILE,
    consent_options,
    model_option,
    paint,
    program_argument,
    say,
    target_option,
)
from lmc.diagnostics import LmcError

if TYPE_CHECKING:
    from lmc.program.program import Program

ROWS = 3  # of data, where no other number is given


@click.command("prompts")
@program_argument
@target_option
@data_option
@click.option(
    "--limit", type=click.IntRange(1), metavar="N",
    help=f"Show the prompts of the first N rows.  [default with --data: {ROWS}]",
)  # fmt: skip
@click.option(
    "--input", "given", metavar="JSON", multiple=True,
    help="Show the prompt of these inputs: JSON, or @FILE. Repeatable.",
)  # fmt: skip
@click.option("--update", is_flag=True, help="Write the prompts to the file.")
@click.option("--check", is_flag=True, help="Fail, with a diff, if the file has other prompts.")
@click.option("-o", "--out", type=FILE, help="The file.  [default: PROGRAM with .prompts.md]")
@model_option
@consent_options
def command(
    program: Path,
    target: str | None,
    data: str | None,
    limit: int | None,
    given: tuple[str, ...],
    update: bool,
    check: bool,
    out: Path | None,
    model: str | None,
    **allowed: Any,
) -> int:
    """Show the prompts of PROGRAM (.lmp or .lmpc) as they would be sent. No model is asked.

    Each model call is shown with placeholders, and with --data, --limit or --input the first prompt
    for rows and inputs. With --update the text is written to a file, and --check compares it.
    """
    from lmc.program.program import load
    from lmc.program.snapshots import snapshot

    if update and check:
        raise click.UsageError("--update and --check exclude each other")
    file = out or program.with_suffix(".prompts.md")
    loaded = load(program, model=model, cache=False, **allowed)
    inputs = [*_rows(loaded, target, data, limit), *_inputs(loaded, target, given)]
    text = snapshot(loaded, program.name, loaded.target(target), inputs)
    if check:
        return _compare(file, text)
    if update:
        from lmc.files import write_atomically

        write_atomically(file, text.encode("utf-8", "replace"))
        say(f"wrote {file}")
    else:
        say(text, nl=False, raw=True)
    return 0


def _rows(
    program: Program, target: str | None, data: str | None, limit: int | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The inputs in the first rows, with the ids of the rows."""
    from lmc.measure.evaluate import row_inputs
    from lmc.program.task import Target, find_data, find_target

    if data is None and limit is None:
        return
    found = Target(program, program.target(target).graph, find_target(program, target).declared)
    for row in islice(find_data(found, data, 0).rows, limit or ROWS):
        yield f"row {row.id}", row_inputs(found.graph, row.values, training=False)


def _inputs(
    program: Program, target: str | None, given: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from lmc.cli.inputs import read_inputs

    for number, text in enumerate(given, start=1):
        title = text[1:] if text.startswith("@") else f"input {number}"
        yield title, read_inputs(program.target(target).graph, text, (), program.consent)


def _compare(file: Path, text: str) -> int:
    """Print a diff from the file to the text. Returns the exit code."""
    from lmc.regular import read_text

    try:
        kept = read_text(file)
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        message = f"cannot read the prompts in {file}: {reason}"
        raise LmcError.of("cannot-read", message, help="write them: --update") from None
    if kept == text:
        say(f"{file}: the prompts are the same")
        return 0
    lines = difflib.unified_diff(
        kept.splitlines(), text.splitlines(), str(file), "as they are now", lineterm="", n=2
    )
    for line in lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        say(paint(line, colour) if colour else line)
    say(f"{file}: the prompts have changed; if that is meant, write them with --update", err=True)
    return 1
