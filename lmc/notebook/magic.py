"""The cell magic `%%lmp name`: the program in a cell becomes a variable."""

from __future__ import annotations

from keyword import iskeyword
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from lmc.check import check_program
from lmc.diagnostics import render
from lmc.program.options import LoadOptions
from lmc.program.program import Program, lower_checked
from lmc.source import Source


def _arguments(line: str) -> Any:
    """What stands behind `%%lmp`. Raises: UsageError."""
    parser = MagicArgumentParser("%%lmp")
    parser.add_argument("name", help="the variable that holds the program")
    parser.add_argument("-m", "--model", help="the model that answers instead of its own")
    parser.add_argument("--no-cache", action="store_true", help="keep no answers on disk")
    parser.add_argument("--stores", help='where it remembers things; "memory" forgets them')
    return parser.parse_argstring(line)


def program_of(name: str, text: str, options: LoadOptions) -> Program:
    """The program in a text, whose imports and data lie in the working folder.

    Raises: UsageError with the mistakes, which a notebook shows without a traceback.
    """
    folder = Path.cwd()
    source = Source(f"{name}.lmp", text, folder / f"{name}.lmp")
    consent = options.consent(stranger=False)
    checked, found = check_program(source, consent=consent)
    if checked is None:
        raise UsageError("the program has mistakes\n\n" + render(found))
    if found:
        print(render(found))
    graph = lower_checked(checked)
    return Program(graph, options, checked=checked, base_dir=folder, consent=consent)


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext lmc`."""

    def lmp(line: str, cell: str) -> Program:
        """Check the program of the cell, and put it into the variable `name`."""
        given = _arguments(line)
        if not given.name.isidentifier() or iskeyword(given.name):
            raise UsageError(f"`{given.name}` cannot be a variable: %%lmp name [-m MODEL]")
        options = LoadOptions(model=given.model, cache=not given.no_cache, stores=given.stores)
        program = program_of(given.name, cell, options)
        shell.user_ns[given.name] = program
        return program

    shell.register_magic_function(lmp, "cell", "lmp")
