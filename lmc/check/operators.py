"""Operators and the types they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc import types
from lmc.check import moments
from lmc.check.inference import (
    _mismatch_help,
    check_condition,
    infer,
    join_all,
    require_bool,
)
from lmc.check.mismatch import told_apart
from lmc.check.narrowing import facts
from lmc.check.scope import Env, Path
from lmc.check.subtyping import (
    added_lengths,
    comparable,
    is_number,
    is_text,
    is_written,
    join,
    required,
    show,
    widen,
)
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import Type


def unary(env: Env, expr: nodes.Unary, expected: Type | None) -> Type:
    """Infer `-x` and `not x`."""
    if expr.op == "not":
        check_condition(env, expr.operand, "the operand of `not`")
        return types.BOOL
    type = infer(env, expr.operand)
    match type:
        case types.IntType(low, high):
            return types.IntType(_minus(high), _minus(low))
        case types.FloatType(low, high):
            return types.FloatType(_minus(high), _minus(low))
        case types.WrittenType("decimal"):
            return types.DECIMAL
    return _no_operator(env, expr, "-", type)


def _minus(value: Any) -> Any:
    return None if value is None else -value


def _no_operator(env: Env, expr: nodes.Expr, op: str, *operands: Type) -> Type:
    if not any(isinstance(t, types.ErrorType) for t in operands):
        shown = " and ".join(f"`{show(widen(t))}`" for t in operands)
        maybe = any(isinstance(t, types.OptionalType) for t in operands)
        env.ctx.report(
            "bad-operands",
            f"`{op}` does not accept {shown}",
            Label(expr.span, shown),
            help="give a default with `??`, or test for `!= none` first"
            if maybe
            else _text_help(op, operands),
        )
    return types.ERROR


def _text_help(op: str, operands: tuple[Type, ...]) -> str | None:
    if any(is_written(t, "decimal") for t in operands) and any(map(is_number, operands)):
        return "`decimal(x)` and `float(x)` turn one into the other"
    if any(map(is_written, operands)) and any(map(is_text, operands)):
        return "`str(x)` gives its text; `date(text)` and the like read one"
    mixed = any(map(is_text, operands)) and any(map(is_number, operands))
    return "`str(…)` turns a number into text" if op == "+" and mixed else None


def binary(env: Env, expr: nodes.Binary, expected: Type | None) -> Type:
    """Infer `a op b`. If `a` is itself a chain of operations, infer it from its start."""
    chain = expr.chain()
    hints = _hints(chain, expected)
    left = infer(env, chain[0].left, hints[0])
    logical = _Logical(env)
    for link, hint in zip(chain, hints):
        if link.op in ("and", "or"):
            left = logical.infer(link, left)
        else:
            left = _OPERATORS[link.op](env, link, left, infer(env, link.right, hint))
        env.ctx.program.types[id(link)] = left
    return left


def _hints(chain: list[nodes.Binary], expected: Type | None) -> list[Type | None]:
    """The expected type of the operands of each operation in a chain."""
    hints: list[Type | None] = []
    for link in reversed(chain):
        expected = types.BOOL if link.op in ("and", "or") else expected
        hints.append(expected)
    return hints[::-1]


class _Logical:
    """Infers the `and` and `or` of one chain. Each right side knows the facts of its left side."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.last: nodes.Binary | None = None
        self.known: dict[Path, Type] = {}

    def infer(self, link: nodes.Binary, left: Type) -> Type:
        """Infer one operation. Its left side has been inferred before."""
        env, outcome = self.env, link.op == "and"
        require_bool(env, link.left, left, f"the left side of `{link.op}`")
        if self.last is link.left and self.last.op == link.op:  # only its right side is new
            self.known |= facts(env, self.last.right, outcome)
        else:
            self.known = facts(env, link.left, outcome)
        check_condition(env.knowing(self.known), link.right, f"the right side of `{link.op}`")
        self.last = link
        return types.BOOL


def _coalesce(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if not isinstance(left, types.OptionalType | types.NoneType | types.JsonType | types.ErrorType):
        env.ctx.warn(
            "needless-default",
            f"the left side of `??` is `{show(left)}`, which is never none",
            Label(expr.left.span, f"`{show(left)}`"),
        )
    base = types.NEVER if isinstance(left, types.NoneType) else required(left)
    return join_all(env, [(expr.left, base), (expr.right, right)], "the two sides of `??`")


def _plus(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if isinstance(left, types.ListType) and isinstance(right, types.ListType):
        item = join(left.item, right.item)
        if item is not None:
            return types.ListType(item, *added_lengths(left, right))
    if is_text(left) and is_text(right):
        return types.STR if not isinstance(left, types.ErrorType) else left
    return _arithmetic(env, expr, left, right)


def _arithmetic(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if is_written(left) or is_written(right):
        made = moments.operation(expr.op, left, right)
        return made or _no_operator(env, expr, expr.op, left, right)
    if not (is_number(left) and is_number(right)):
        return _no_operator(env, expr, expr.op, left, right)
    if isinstance(left, types.ErrorType) or isinstance(right, types.ErrorType):
        return types.ERROR
    whole = isinstance(left, types.IntType) and isinstance(right, types.IntType) and expr.op != "/"
    return types.INT if whole else types.FLOAT


def _modulo(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if is_written(left) or is_written(right):
        return _arithmetic(env, expr, left, right)
    if not all(isinstance(t, types.IntType | types.ErrorType) for t in (left, right)):
        return _no_operator(env, expr, "%", left, right)
    return types.INT


def _equal(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    if moments.is_decimal_and_int(left, right):
        return types.BOOL
    if not comparable(left, right) and not comparable(right, left):
        one, other = told_apart(env.ctx, left, right)
        env.ctx.report(
            "never-equal",
            f"{one} and {other} are never equal",
            Label(expr.right.span, other),
            Label(expr.left.span, one),
            help=_mismatch_help(right, required(left))
            if isinstance(required(left), types.EnumType)
            else None,
        )
    return types.BOOL


def _order(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    numbers, texts = is_number(left) and is_number(right), is_text(left) and is_text(right)
    if not numbers and not texts and not moments.ordered(left, right):
        _no_operator(env, expr, expr.op, left, right)
    return types.BOOL


def _contains(env: Env, expr: nodes.Binary, left: Type, right: Type) -> Type:
    match right:
        case types.ListType(item):
            if comparable(left, item) or isinstance(item, types.NeverType):
                pass
            elif comparable(widen(left), widen(item)):  # `"a" in ["b"]`
                _equal(env, expr, left, item)
            else:
                _no_operator(env, expr, "in", left, right)
        case types.DictType() | types.JsonType() | types.ErrorType():
            pass
        case _ if not (is_text(left) and is_text(right)):
            _no_operator(env, expr, "in", left, right)
    return types.BOOL


_OPERATORS: dict[str, Callable[[Env, nodes.Binary, Type, Type], Type]] = {
    "??": _coalesce,
    "+": _plus,
    "-": _arithmetic,
    "*": _arithmetic,
    "/": _arithmetic,
    "%": _modulo,
    "==": _equal,
    "!=": _equal,
    "<": _order,
    "<=": _order,
    ">": _order,
    ">=": _order,
    "in": _contains,
}
