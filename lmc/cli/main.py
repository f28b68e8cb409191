"""The `lmc` command. It imports a sub-command's file and turns failures into messages.

Exit codes: 0 for success, 1 for diagnostics or failed tests, 2 for wrong usage, 3 for a bug in lmc,
130 for Ctrl-C.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any, TextIO

import click

from lmc.diagnostics import LmcError
from lmc.version import __version__

# name: (module, one line). The modules are imported only when their command runs.
COMMANDS = {
    "new": ("new", "Start a project: a program, its data and its tests."),
    "check": (
        "check",
        "Check the syntax, names and types of programs.",
    ),
    "fmt": ("fmt", "Format programs in place."),
    "graph": ("graph", "Show the execution graph as text, JSON, Mermaid, DOT or SVG."),
    "prompts": ("prompts", "Show all prompts, or keep them in a file that reviews compare."),
    "run": ("run", "Run a program or a compiled artifact on one input."),
    "studio": ("studio", "Write, try, compare and compile programs on a page."),
    "serve": ("serve", "Serve programs over HTTP, by OpenAI's API and as MCP tools."),
    "chat": ("chat", "Talk with a program that takes a conversation."),
    "test": ("test", "Run the `test` blocks of programs."),
    "batch": ("batch", "Run a program on all rows of a file."),
    "eval": ("eval", "Measure a program on rows against a metric."),
    "compile": ("compile", "Improve a program against a metric and write an artifact."),
    "compare": ("compare", "Improve programs by several optimizers and compare the results."),
    "report": ("report", "Write an HTML report on a compilation run."),
    "runs": ("runs", "List, resume and delete compilation runs."),
    "diff": ("diff", "Compare two artifacts and test the difference on rows."),
    "show": ("show", "Show the contents of an artifact."),
    "set": ("set", "Put weights or a model from elsewhere into an artifact."),
    "traces": ("traces", "List, show and export the traces of compilation runs."),
    "stubs": ("stubs", "Write type stubs (.pyi) for a program's Python callers."),
    "import": ("import_", "Write records for a JSON Schema or a pydantic class."),
    "export": ("export", "Write the records of a program as JSON Schema."),
    "lsp": ("lsp", "Serve an editor: diagnostics, completion, prompts as you type."),
    "models": ("models", "List the model providers, or find out what a server can do."),
    "optimizers": ("optimizers", "List the optimizers with their options and papers."),
    "cache": ("cache", "Show or clear the cache of model answers."),
    "store": ("store", "Show or clear what a program remembers between its runs."),
    "explain": ("explain", "Explain a diagnostic by its slug."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports each one's file on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which a user needs them."""
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
    """Write, check and run language-model programs, and improve them against a metric."""


def _tell(text: str, *, nl: bool = True) -> None:
    """Print on standard error. The module for printing is imported on first use."""
    from lmc.cli import terminal

    terminal.say(text, err=True, nl=nl)


def speak_utf8(streams: Iterable[TextIO], platform: str = sys.platform) -> None:
    """Write UTF-8 into pipes on Windows, whose code pages lack most characters."""
    for stream in streams:
        if platform == "win32" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")


def _drop_output() -> None:
    """Let the interpreter write what it still holds to nowhere, so that it ends quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_within(seconds: float, code: int) -> None:
    """Let an interrupted process end quietly, and in time.

    A thread that was loading a model may hold what the end waits for, or leave it half-made.
    """
    sys.unraisablehook = lambda _: None
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _is_full(problem: Exception) -> bool:
    """Whether the disk of a file or of standard output is full; if so, print that."""
    from lmc.cli.terminal import print_diagnostics
    from lmc.files import cannot_write, is_full

    if not isinstance(problem, OSError) or not is_full(problem):
        return False
    _drop_output()
    print_diagnostics(cannot_write(problem.filename or "the output", problem).diagnostics)
    return True


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    speak_utf8((sys.stdin, sys.stdout, sys.stderr))
    # At its end Python would search all that torch made for garbage, which takes over a second.
    atexit.register(gc.freeze)
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
        _end_within(10.0, 130)
        sys.exit(130)
    except Exception as fault:
        if _is_full(fault):
            sys.exit(1)
        if os.environ.get("LMC_DEBUG"):
            raise
        _tell(f"lmc: this is a bug in lmc: {type(fault).__name__}: {fault}")
        _tell("  set LMC_DEBUG=1 and run again to get a traceback to report")
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)
