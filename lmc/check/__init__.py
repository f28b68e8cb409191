"""The checker: from syntax trees to a typed program, by the rules of the language."""

from lmc.check.checker import Inspection, check_program, inspect_program
from lmc.check.imports import import_name, open_source, read_source
from lmc.check.optimizer_options import OptimizerSignature, Option

__all__ = [
    "Inspection",
    "OptimizerSignature",
    "Option",
    "check_program",
    "import_name",
    "inspect_program",
    "open_source",
    "read_source",
]
