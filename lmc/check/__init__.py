"""The checker: from syntax trees to a typed program, by the rules of the language."""

from lmc.check.checker import check_program
from lmc.check.imports import import_name, open_source, read_source
from lmc.check.optimizers import OptimizerSignature, Option

__all__ = [
    "OptimizerSignature",
    "Option",
    "check_program",
    "import_name",
    "open_source",
    "read_source",
]
