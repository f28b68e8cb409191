"""Writes the instruction of a module without a docstring from its signature."""

from __future__ import annotations

from lmc.check.program import ModuleDef
from lmc.ir.graph import Role
from lmc.types import RecordType


def default_instruction(module: ModuleDef, role: Role) -> str:
    """Return a sentence such as "Classify message: from message, write the result."."""
    inputs = _listed([p.name for p in module.signature.params])
    match role:
        case "critique":
            return f"Judge {module.subject or inputs}. Say what is wrong and what to change."
        case "revise":
            return "Improve the draft so that it heeds the feedback."
        case "act":
            return f"{_words(module.name)}: find out with the tools what is needed, then finish."
        case "adjudicate":
            return "Return the best of the candidates."
        case _:
            return f"{_words(module.name)}: from {inputs or 'nothing'}, write {_outputs(module)}."


def _outputs(module: ModuleDef) -> str:
    result = module.signature.result
    if isinstance(result, RecordType):
        return _listed([f.name for f in result.fields])
    return "the result"


def _words(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ").strip().capitalize()


def _listed(names: list[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
