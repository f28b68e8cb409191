"""lmc: a compiler for language-model programs.

`lmc.load("math.lmp")` gives a program (`"math.lmpc"`: the compiled artifact), and
`program.main(problem="…")` a typed object.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmc.diagnostics import LmcError
    from lmc.optimizers.compile import compile
    from lmc.runtime.program import Program, evaluate, load

__version__ = "0.1.0"
__all__ = ["LmcError", "Program", "__version__", "compile", "evaluate", "load"]

# Imported at first use, so that `import lmc` stays light.
_HOMES = {
    "LmcError": "lmc.diagnostics",
    "Program": "lmc.runtime.program",
    "compile": "lmc.optimizers.compile",
    "evaluate": "lmc.runtime.program",
    "load": "lmc.runtime.program",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `lmc` has no attribute `{name}`")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
