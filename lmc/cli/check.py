"""`lmc check`: finds the mistakes that can be found without calling a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import (
    FILE,
    CheckFormat,
    count,
    error_count,
    format_option,
    path_option,
    print_diagnostics,
    say,
)
from lmc.consent import Consent
from lmc.diagnostics import Diagnostic, LmcError

if TYPE_CHECKING:
    from lmc.check.program import CheckedProgram


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--cost", is_flag=True, help="Also print the worst-case number of model calls.")
@click.option(
    "--target", metavar="MODEL", help="Also print which types MODEL enforces while it decodes."
)
@click.option(
    "--servers", is_flag=True, help="Also start or reach the MCP servers and compare their tools."
)
@path_option
@format_option
def command(
    files: tuple[Path, ...],
    cost: bool,
    target: str | None,
    servers: bool,
    paths: tuple[str, ...],
    style: CheckFormat,
) -> int:
    """Check the syntax, names, types, settings, templates and data leaks of FILES."""
    from lmc.check import check_program, open_source

    found: list[Diagnostic] = []
    consent = Consent(paths=tuple(Path(path) for path in paths))
    for file in files:
        try:
            source = open_source(file)
        except LmcError as unread:  # the other files are checked all the same
            found += unread.diagnostics
            continue
        program, diagnostics = check_program(source, consent=consent)
        found += diagnostics
        found += _too_deep(program)
        if program is not None and cost:
            _print_cost(program)
        if program is not None and target:
            _print_target(program, target)
        if program is not None and servers:
            found += _reached(program, file)
    _print(found, style)
    if style in ("text", "github"):
        _print_summary(len(files), found)
    return 1 if error_count(found) else 0


def _print(found: Sequence[Diagnostic], style: CheckFormat) -> None:
    """Print what was found, for people or for CI."""
    if style != "sarif" and style != "github":
        print_diagnostics(found, style)
        return
    from lmc.cli import annotations

    if text := (annotations.sarif if style == "sarif" else annotations.github)(found):
        say(text)


_FEW = 20  # modules and pipelines, which cannot call one another too deep for a run


def _too_deep(program: CheckedProgram | None) -> Sequence[Diagnostic]:
    """What the graph of a large program tells of the depth of its calls."""
    if program is None or len(program.modules) + len(program.pipelines) < _FEW:
        return ()
    from lmc.program.program import lower_checked

    try:
        lower_checked(program)
    except LmcError as refused:
        return refused.diagnostics
    return ()


def _reached(program: CheckedProgram, file: Path) -> list[Diagnostic]:
    """What is wrong with the servers of a program. Prints what is right."""
    from lmc.program.program import Program, lower_checked
    from lmc.program.servers import check_servers

    wrong: list[Diagnostic] = []
    graph = lower_checked(program, passes=False)  # with the tools that nothing calls
    for told in check_servers(program, Program(graph, base_dir=file.parent)):
        if isinstance(told, str):
            say(told)
        else:
            wrong.append(told)
    return wrong


def _print_summary(files: int, found: list[Diagnostic]) -> None:
    errors = error_count(found)
    warnings = len(found) - errors
    parts = [count(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    say(f"{count(files, 'file')} checked: {', '.join(parts) or 'no errors'}", err=bool(errors))


def _print_cost(program: CheckedProgram) -> None:
    """Print the worst case of each callable and the share of prompts that prefix caches serve."""
    from lmc.ir.cost import costs
    from lmc.program.prefix import prefix_shares
    from lmc.program.program import Program, lower_checked

    graph = lower_checked(program)
    for name, found in costs(graph, graph.exports).items():
        tuned = "" if found.baseline == found.calls else f" (untuned {_number(found.baseline)})"
        say(f"{name}: at most {_number(found.calls)} model calls{tuned} = {found.formula}")
    for share in prefix_shares(Program(graph)):
        say(
            f"{share.module}: a prompt of about {share.tokens} tokens; the first"
            f" {100 * share.share:.0f} % are the same in every call"
        )
    repair = graph.default.get("repair", 1)
    if repair:
        say(f"Each call may be repaired {count(repair, 'time')} when its answer cannot be read.")


def _print_target(program: CheckedProgram, target: str) -> None:
    """Print what the model enforces while it decodes, and what lmc validates afterwards."""
    from lmc.check.targets import constraints
    from lmc.models.registry import capabilities_of

    declared = program.models.get(target)
    settings = declared.settings if declared else {}
    name = settings.get("name", target)
    can = capabilities_of(name, settings)
    for found in constraints(
        program, json_schema=can.json_schema, grammar=can.grammar, default_layout=can.default_layout
    ):
        how = "enforced while decoding" if found.decoded else "validated, then repaired"
        say(f"{found.module}{found.path and '.' + found.path}: {found.what}: {how}")


def _number(calls: float) -> str:
    return "any number of" if math.isinf(calls) else f"{calls:,g}"
