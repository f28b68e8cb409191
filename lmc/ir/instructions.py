"""Writes the instruction of a module without a docstring from its signature."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lmc.check.program import CheckedProgram, ConstantDef, ModuleDef, Variant
from lmc.check.subtyping import required
from lmc.ir.graph import Role
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import RecordType
from lmc.unions import members


def default_instruction(module: ModuleDef, role: Role) -> str:
    """Return a sentence such as "Classify message: from message, write the result."."""
    unseen = _names(module.exprs["role"]) if "role" in module.exprs else set()
    inputs = _listed([p.name for p in module.signature.params if p.name not in unseen])
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


def _names(node: nodes.SyntaxNode) -> set[str]:
    """The names in an expression."""
    own = {node.name} if isinstance(node, nodes.Var) else set()
    return own.union(*map(_names, nodes.children(node)))


def told_condition(program: CheckedProgram, expr: nodes.Expr) -> str:
    """A condition as the source has it, with what a model does not know by its program's name.

    That is names of its own of fields and variants, and the values of constants.
    """
    text, start = expr.span.source.text, expr.span.start
    told = ""
    for place, shown in sorted(_renamed(program, expr), key=lambda pair: pair[0].start):
        told += text[start : place.start] + shown
        start = place.end
    return told + text[start : expr.span.end]


def _renamed(program: CheckedProgram, node: nodes.SyntaxNode) -> Iterator[tuple[Span, str]]:
    """The places of a condition that are told otherwise, and how. They do not overlap."""
    meaning = program.referents.get(id(node))
    match node:
        case nodes.Var() if isinstance(meaning, ConstantDef):
            yield node.span, json.dumps(meaning.value, ensure_ascii=False)
            return
        case nodes.Attr() if isinstance(meaning, Variant):
            labels = dict(zip(meaning.enum.variants, meaning.enum.aliases))
            if meaning.name in labels:
                yield node.span, json.dumps(labels[meaning.name], ensure_ascii=False)
            return
        case nodes.Attr(value=value, name=name):
            if alias := _alias(program, value, name.name):
                text, source = node.span.source.text, node.span.source
                dot = text.rindex("?." if node.optional else ".", value.span.end, name.span.start)
                yield Span(source, dot, name.span.end), f"[{json.dumps(alias, ensure_ascii=False)}]"
    for child in nodes.children(node):
        yield from _renamed(program, child)


def _alias(program: CheckedProgram, value: nodes.Expr, name: str) -> str:
    """The name that a model has for a field of a value, if it is another one."""
    whole = program.types.get(id(value))
    for record in members(required(whole)) if whole is not None else ():
        field = record.get(name) if isinstance(record, RecordType) else None
        if field is not None and field.alias:
            return field.alias
    return ""


def _outputs(module: ModuleDef) -> str:
    result = module.signature.result
    if isinstance(result, RecordType):
        return _listed([f.alias or f.name for f in result.fields])
    return "the result"


def _words(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ").strip().capitalize()


def _listed(names: list[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
