"""Objectives: weigh the score of a run against its cost, such as `accuracy - 0.1 * usd`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.requests.usage import Usage

COSTS: Mapping[str, Callable[[Usage], float]] = {
    "usd": lambda used: used.cost_usd,
    "calls": lambda used: used.calls,
    "tokens": lambda used: used.tokens,
    "seconds": lambda used: used.seconds,
}
_OPERATORS: Mapping[type, Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@frozen
class Objective:
    """An arithmetic expression over the score of a row and the cost of its run."""

    text: str
    score: str  # the metric's name; `score` names it too
    _parsed: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parsed", self._tree())
        self._value(self._parsed, dict.fromkeys(self._names(), 1.0))

    def value(self, score: float, used: Usage) -> float:
        """The value of the objective for a run."""
        costs = {name: float(of(used)) for name, of in COSTS.items()}
        return self._value(self._parsed, {self.score: score, "score": score} | costs)

    def _names(self) -> list[str]:
        return [self.score, "score", *COSTS]

    def _tree(self) -> ast.expr:
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except SyntaxError:
            raise self._wrong(f"`{self.text}` is not an expression") from None

    def _value(self, node: ast.expr, values: Mapping[str, float]) -> float:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return float(number)
            case ast.Name(id=name) if name in values:
                return values[name]
            case ast.Name(id=name):
                help = suggestion(name, self._names())
                raise self._wrong(f"`{name}` is unknown", help)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                sides = self._value(left, values), self._value(right, values)
                if isinstance(op, ast.Div) and not sides[1]:
                    raise self._wrong("it divides by zero")
                return _OPERATORS[type(op)](*sides)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand, values)
        raise self._wrong(f"`{ast.unparse(node)}` is not allowed")

    def _wrong(self, problem: str, help: str | None = None) -> LmcError:
        known = f"use numbers, + - * /, {', '.join(dict.fromkeys(self._names()))}"
        message = f"the objective is invalid: {problem}; {known}"
        return LmcError.of("bad-objective", message, help=help)
