"""Type narrowing: what a condition tells about the names in it."""

from __future__ import annotations

from lmc.check.scope import Env, Path
from lmc.syntax import nodes
from lmc.types import NONE, OptionalType, Type


def path_of(expr: nodes.Expr) -> Path | None:
    """`a.b.c` as a path, or None for anything else."""
    match expr:
        case nodes.Var(name=name):
            return (name,)
        case nodes.Attr(value=value, name=field):
            path = path_of(value)
            return path and (*path, field.name)
    return None


def facts(env: Env, condition: nodes.Expr, outcome: bool) -> dict[Path, Type]:
    """The types of names that follow if a checked condition has this outcome."""
    match condition:
        case nodes.Unary(op="not", operand=operand):
            return facts(env, operand, not outcome)
        case nodes.Binary(op="and" | "or"):
            return _all_facts(env, condition, outcome)
        case nodes.Binary(op="==" | "!=" as op, left=left, right=nodes.NoneLit()):
            return _none_fact(env, left, (op == "==") == outcome)
        case nodes.Binary(op="==" | "!=" as op, left=nodes.NoneLit(), right=right):
            return _none_fact(env, right, (op == "==") == outcome)
    return {}


def _all_facts(env: Env, condition: nodes.Binary, outcome: bool) -> dict[Path, Type]:
    """The facts of a chain of `and` and `or`, from the parts that must have this outcome."""
    found: dict[Path, Type] = {}
    for link in condition.chain():
        if link.op not in ("and", "or"):
            found = facts(env, link, outcome)
        elif (link.op == "and") != outcome:
            found = {}
        else:
            start = {} if isinstance(link.left, nodes.Binary) else facts(env, link.left, outcome)
            found |= {**start, **facts(env, link.right, outcome)}
    return found


def _none_fact(env: Env, expr: nodes.Expr, is_none: bool) -> dict[Path, Type]:
    path, type = path_of(expr), env.ctx.program.types.get(id(expr))
    if path is None or not isinstance(type, OptionalType):
        return {}
    if is_none:
        return {path: NONE}
    return {path: type.item, **_reached(env, expr)}


def _reached(env: Env, expr: nodes.Expr) -> dict[Path, Type]:
    """The fact about `a` that follows if `a?.b` is not none."""
    if not isinstance(expr, nodes.Attr) or not expr.optional:
        return {}
    return _none_fact(env, expr.value, False)
