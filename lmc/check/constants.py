"""Evaluates constant expressions to JSON values, and checks JSON values against types."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc import types
from lmc.canonical import first_repeated
from lmc.check.builtins import TURNS, turn
from lmc.check.program import Builtin, CheckedProgram, ConstantDef, Variant
from lmc.check.subtyping import text_fits, written_fits
from lmc.media.content import is_media_json
from lmc.syntax import nodes
from lmc.types import Type

MOST_CONSTANT = 1_000_000  # characters or items of a constant that is calculated
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


class NotConstant(Exception):
    """Raised if an expression is not a constant. `node` is the part that needs a run.

    `why` says what else is wrong with it, in words that end a sentence.
    """

    def __init__(self, node: nodes.SyntaxNode, why: str = "") -> None:
        super().__init__()
        self.node, self.why = node, why


def evaluate(program: CheckedProgram, expr: nodes.Expr) -> Any:
    """The JSON value of a checked constant expression. Raises: NotConstant."""
    match expr:
        case nodes.Number(value=value) | nodes.String(value=value) | nodes.Bool(value=value):
            return value
        case nodes.NoneLit():
            return None
        case nodes.Interpolated(texts=texts, values=values):
            shown = (written(evaluate(program, value)) for value in values)
            parts = [texts[0], *(part for pair in zip(shown, texts[1:]) for part in pair)]
            if sum(map(len, parts)) > MOST_CONSTANT:
                raise NotConstant(expr)
            return "".join(parts)
        case nodes.Var() if isinstance(named := program.referents.get(id(expr)), ConstantDef):
            return named.value
        case nodes.ListLit(items=items):
            return [evaluate(program, item) for item in items]
        case nodes.ObjectLit(pairs=pairs):
            return {pair.key.name: evaluate(program, pair.value) for pair in pairs}
        case nodes.Unary(op="-", operand=nodes.Number() | nodes.Var() as operand):
            return -evaluate(program, operand)
        case nodes.Binary():
            return _calculated(program, expr.chain())
        case nodes.Call(target=target):
            if id(expr) in program.media:
                return program.media[id(expr)]
            meaning = program.referents.get(id(target))
            if isinstance(meaning, Builtin) and meaning.name in TURNS:
                return _turn(program, expr, meaning.name)
            if isinstance(meaning, Builtin):
                return _written(program.types.get(id(expr)), expr)
            return _record(program, expr, meaning)
        case nodes.Attr() if isinstance(variant := program.referents.get(id(expr)), Variant):
            return variant.name
    raise NotConstant(expr)


def _calculated(program: CheckedProgram, links: Sequence[nodes.Binary]) -> Any:
    """The value of `a + b * c …`, link by link: a chain may be longer than Python recurses."""
    value = evaluate(program, links[0].left)
    for link in links:
        operate = _ARITHMETIC.get(link.op)
        kinds = (program.types.get(id(side)) for side in (link.left, link.right))
        if operate is None or any(isinstance(kind, types.WrittenType) for kind in kinds):
            raise NotConstant(link)
        other = evaluate(program, link.right)
        try:
            if not _affordable(value, other):
                raise NotConstant(link, "what it gives is too large")
            value = operate(value, other)
        except ZeroDivisionError:
            raise NotConstant(link, "it divides by zero") from None
        except OverflowError:
            raise NotConstant(link, "what it gives is too large") from None
        except (ArithmeticError, TypeError):
            raise NotConstant(link) from None
    return value


def _affordable(one: Any, other: Any) -> bool:
    """Whether what is calculated of two values is not huge, however often this is repeated."""
    if isinstance(one, str | list):
        return len(one) + len(other) <= MOST_CONSTANT
    bits = (abs(int(number)).bit_length() for number in (one, other))
    return sum(bits) < types.MOST_BITS


def written(value: Any) -> str:
    """A JSON value as `str(…)` writes it, and f-strings do."""
    match value:
        case str():
            return value
        case float() if value.is_integer() and abs(value) < 1e16:
            return f"{value:.1f}"
        case float():
            return repr(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _record(program: CheckedProgram, call: nodes.Call, record: object) -> dict[str, Any]:
    if not isinstance(record, types.RecordType) or id(call) not in program.bindings:
        raise NotConstant(call)
    given = zip(record.fields, program.bindings[id(call)])
    return {f.name: f.default if e is None else evaluate(program, e) for f, e in given}


def _turn(program: CheckedProgram, call: nodes.Call, name: str) -> dict[str, Any]:
    given = [evaluate(program, e) for e in program.bindings[id(call)] if e is not None]
    return turn(name, *given)


def _written(type: Type | None, call: nodes.Call) -> str:
    """A date and the like that its own type tells, as that of `date("2026-01-31")` does."""
    if not isinstance(type, types.WrittenType) or type.low is None or type.low != type.high:
        raise NotConstant(call)
    return type.low


def misfit(value: Any, type: Type, path: str = "") -> str | None:
    """Why a JSON value is not of a type, with the place inside the value. None if it is."""
    here = f"`{path}`" if path else "the value"
    match type:
        case types.OptionalType():
            return None if value is None else misfit(value, type.item, path)
        case types.ListType() if isinstance(value, list):
            if not _inside(len(value), type.min_len, type.max_len):
                return f"{here} has {len(value)} items, but `{type}` is required"
            if type.unique and (place := first_repeated(value)) is not None:
                return f"{here} has `{_short(value[place])}` twice, but `{type}` is required"
            parts = (misfit(v, type.item, f"{path}[{i}]") for i, v in enumerate(value))
        case types.DictType() if isinstance(value, dict):
            parts = (misfit(v, type.item, f"{path}[{k!r}]") for k, v in value.items())
        case types.RecordType() if isinstance(value, dict):
            dot = f"{path}." if path else ""
            if lacking := next((f for f in type.fields if f.name not in value), None):
                return f"{here} has no `{lacking.name}`"
            parts = (misfit(value[f.name], f.type, f"{dot}{f.name}") for f in type.fields)
        case _:
            fits = _fits(value, type)
            return None if fits else f"{here} is `{_short(value)}`, but `{type}` is required"
    return next((part for part in parts if part), None)


def _fits(value: Any, type: Type) -> bool:
    match type:
        case types.StrType():
            return isinstance(value, str) and text_fits(value, type)
        case types.BoolType():
            return isinstance(value, bool)
        case types.IntType():
            return _is_int(value) and _inside(value, type.low, type.high)
        case types.FloatType():
            number = _is_int(value) or isinstance(value, float)
            return number and _inside(value, type.low, type.high)
        case types.WrittenType():
            return isinstance(value, str) and written_fits(value, type)
        case types.LiteralType():
            return value in type.values
        case types.EnumType():
            return value in type.variants
        case types.NoneType():
            return value is None
        case types.MediaType(kind):
            return is_media_json(value, kind)
        case types.UnionType():
            return any(misfit(value, option) is None for option in type.options)
    return isinstance(type, types.JsonType | types.ErrorType)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _inside(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 40 else text[:37] + "…"
