"""Names that Python, pydantic, enums, stubs, the command line or the language itself use."""

import builtins
import keyword
import re
import typing
from enum import StrEnum

from pydantic import BaseModel

from lmc.check.program import CheckedProgram
from lmc.cli.run import command
from lmc.program.program import Callee, Program
from lmc.syntax.tables import tables
from lmc.values.stubs import IMPORTS, METHODS

OPTIONS = [
    option.lstrip("-").replace("-", "_")
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
]
IN_STUBS = [*METHODS, *(name for names in IMPORTS.values() for name in names), *IMPORTS]
POOLS: dict[str, list[str]] = {
    "Python": [*keyword.kwlist, *keyword.softkwlist, *dir(builtins)],
    "pydantic": [*dir(BaseModel), "model_", "model_name", "model_config_"],
    "enums": [*dir(StrEnum), *dir(str), "mro", "mro_", "name", "value"],
    "stubs": [*IN_STUBS, *(n for n in typing.__all__ if len(n) < 9)],
    "programs": [*dir(Program), *dir(Callee), "graph", "options", "checked", "program"],
    "calls": ["self", "cls", "args", "kwargs", "inputs", "rows", "input", "output", "out"],
    "options": [*OPTIONS, "help", "no_cache", "allow_tool", "t", "m", "i", "h"],
    "language": [*tables().words, *CheckedProgram.__dataclass_fields__, "instructions", "demos"],
    "alike": ["class_", "class__", "Class", "CLASS", "x", "x_", "X", "x1", "a__b", "None_"],
    "JSON": ["null", "NaN", "Infinity", "true", "false"],
}
# The language has no other names: `_x`, `9x`, `a-b` and `é` are none.
POOLS = {
    title: sorted({name for name in pool if re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)})
    for title, pool in POOLS.items()
}
NASTY = sorted({name for pool in POOLS.values() for name in pool})
