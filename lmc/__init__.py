"""lmc: a compiler for language-model programs.

`lmc.load("math.lmp")` loads a program, and `lmc.load("math.lmpc")` a compiled artifact.
`program.main(problem="…")` runs it and returns a typed object.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmc.version import __version__

if TYPE_CHECKING:
    from lmc.diagnostics import LmcError
    from lmc.media.content import Media
    from lmc.models.batch_api import BatchApi
    from lmc.optimizers.compilation.compile import acompile, compile
    from lmc.program.measuring import aevaluate, evaluate
    from lmc.program.program import Program, load
    from lmc.program.reports import CallReport, RunReport
    from lmc.program.streams import Delta, Stream

__all__ = [
    "BatchApi",
    "CallReport",
    "Delta",
    "LmcError",
    "Media",
    "Program",
    "RunReport",
    "Stream",
    "__version__",
    "acompile",
    "aevaluate",
    "compile",
    "evaluate",
    "load",
]

# Imported at first use, so that `import lmc` stays light.
_HOMES = {
    "BatchApi": "lmc.models.batch_api",
    "CallReport": "lmc.program.reports",
    "Delta": "lmc.program.streams",
    "LmcError": "lmc.diagnostics",
    "Media": "lmc.media.content",
    "Program": "lmc.program.program",
    "RunReport": "lmc.program.reports",
    "Stream": "lmc.program.streams",
    "acompile": "lmc.optimizers.compilation.compile",
    "aevaluate": "lmc.program.measuring",
    "compile": "lmc.optimizers.compilation.compile",
    "evaluate": "lmc.program.measuring",
    "load": "lmc.program.program",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `lmc` has no attribute `{name}`")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Add the magic `%%lmp` to a notebook; IPython calls this at `%load_ext lmc`."""
    import_module("lmc.notebook.magic").load_ipython_extension(shell)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
