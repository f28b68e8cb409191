"""Reach the MCP servers that a program names, and compare their tools with its declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lmc.check.program import CheckedProgram
from lmc.check.servers import PREFIX
from lmc.diagnostics import Diagnostic, Label, LmcError
from lmc.program.program import Program
from lmc.tasks.loop import run_sync


def check_servers(checked: CheckedProgram, program: Program) -> Iterator[str | Diagnostic]:
    """For each tool on a server what it offers in words, or what is wrong with it.

    The commands of the program run for this.
    """
    for name, tool in program.graph.tools.items():
        if not tool.target.startswith(PREFIX):
            continue
        try:
            count = run_sync(program.executor.tools.check_server(name))
        except LmcError as failure:
            place = Label(checked.tools[name].span)
            yield from (replace(found, labels=(place,)) for found in failure.diagnostics)
        else:
            offers = f"{count} tool{'s' * (count != 1)}" if tool.server else "as declared"
            yield f"{name}: {offers}"
