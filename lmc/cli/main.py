"""The `lmc` command: finds the sub-command's file, and turns failures into words and exit codes.

Exit codes: 0 fine, 1 diagnostics or failed rows and tests, 2 usage, 3 a fault in lmc itself,
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from lmc.diagnostics import LmcError
from lmc.version import __version__

# name: (module, one line). The modules are imported only when their command runs.
COMMANDS = {
    "new": ("new", "Start a project: a program, its data and its tests."),
    "check": (
        "check",
        "Check programs: syntax, names, types; with --cost, the worst case of calls.",
    ),
    "fmt": ("fmt", "Format programs in place."),
    "graph": ("graph", "Show the execution graph as text, JSON, Mermaid, DOT or SVG."),
    "run": ("run", "Run a program or a compiled artifact on one input."),
    "test": ("test", "Run the `test` blocks of programs."),
    "eval": ("eval", "Measure a program on rows against a metric."),
    "compile": ("compile", "Improve a program against a metric and write the artifact."),
    "compare": ("compare", "Compare several ways of improving programs in one table."),
    "report": ("report", "Write an HTML page that shows what a compilation did."),
    "runs": ("runs", "List, resume and delete the runs of compilations."),
    "diff": ("diff", "Compare two artifacts, and test the difference on rows."),
    "show": ("show", "Show what an artifact holds."),
    "set": ("set", "Put weights or a model that came from elsewhere into an artifact."),
    "traces": ("traces", "List, show and export what the runs of compilations did."),
    "stubs": ("stubs", "Write type stubs (.pyi) for a program's Python callers."),
    "models": ("models", "List the kinds of models and what each one needs."),
    "optimizers": ("optimizers", "List the optimizers with their options and papers."),
    "cache": ("cache", "Show or clear the cache of model answers."),
    "explain": ("explain", "Explain a diagnostic by its slug."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports each one's file on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a day's work, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command's file."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"lmc.cli.{COMMANDS[name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for `--help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lmc")
def cli() -> None:
    """Write language-model programs, check them, run them, improve them against a metric."""


def _tell(text: str, *, nl: bool = True) -> None:
    """Print on standard error; what that takes is loaded with the first word."""
    from lmc.cli import terminal

    terminal.say(text, err=True, nl=nl)


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    try:
        code: Any = cli.main(argv, prog_name="lmc", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as usage:
        told = io.StringIO()
        usage.show(told)  # names parameters of programs
        _tell(told.getvalue(), nl=False)
        sys.exit(2)
    except LmcError as failure:
        from lmc.cli.terminal import print_diagnostics

        print_diagnostics(failure.diagnostics)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        _tell("stopped")
        sys.exit(130)
    except BrokenPipeError:  # `lmc graph … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as fault:
        if os.environ.get("LMC_DEBUG"):
            raise
        _tell(f"lmc: a fault in lmc itself: {type(fault).__name__}: {fault}")
        _tell("  run again with LMC_DEBUG=1 for the details to report")
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)
