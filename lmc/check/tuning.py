"""Checks `tune`: the options that an optimizer may choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc.check.constants import NotConstant, evaluate
from lmc.check.inference import infer, join_all, report_not_constant
from lmc.check.scope import Env
from lmc.check.width import project
from lmc.syntax import nodes
from lmc.types import ERROR, Type

MAX_OPTIONS = 1000


def tune(env: Env, expr: nodes.Tune, expected: Type | None) -> Type:
    """Infer a `tune` inside an expression and note its Choice."""
    if not env.tunable or env.kind == "constant":
        env.ctx.report(
            "misplaced-tune",
            "`tune` is not allowed here",
            expr.span,
            help="use it in settings, pipelines and loops",
        )
        return ERROR
    parts = [(e, infer(env, e, expected)) for e in option_exprs(expr)]
    type = join_all(env, parts, "the options of `tune`")
    values = tune_values(env, expr)
    if values is not None:
        values = tuple(project(type, value) for value in values)
        env.ctx.add_choice(expr, env.owner, env.hint, values)
    return type


def range_ends(expr: nodes.Tune) -> list[nodes.Expr]:
    """The ends of the ranges in a `tune`."""
    ranges = [o for o in expr.options if isinstance(o, nodes.TuneRange)]
    return [end for r in ranges for end in (r.low, r.high)]


def option_exprs(expr: nodes.Tune) -> list[nodes.Expr]:
    """The expressions in a `tune`, both ends of a range included."""
    return [
        e
        for option in expr.options
        for e in ((option.low, option.high) if isinstance(option, nodes.TuneRange) else (option,))
    ]


def tune_values(
    env: Env, expr: nodes.Tune, value_of: Callable[[Env, nodes.Expr], Any] | None = None
) -> tuple[Any, ...] | None:
    """The options as JSON values, with ranges expanded. None if one is wrong (reported)."""
    values: list[Any] = []
    for option in expr.options:
        try:
            if isinstance(option, nodes.TuneRange):
                values += _range_values(env, option)
            else:
                read = value_of or (lambda env, e: evaluate(env.ctx.program, e))
                values.append(read(env, option))
        except NotConstant as stop:
            report_not_constant(env, stop, "an option of `tune`")
            return None
    if len(values) > MAX_OPTIONS:
        env.ctx.report("too-many-options", f"`tune` takes at most {MAX_OPTIONS} options", expr.span)
        return None
    return tuple(values)


def _range_values(env: Env, option: nodes.TuneRange) -> list[int]:
    low, high = (evaluate(env.ctx.program, end) for end in (option.low, option.high))
    if not (isinstance(low, int) and isinstance(high, int)) or low > high:
        env.ctx.report(
            "empty-range", "a range of `tune` must go from an int up to a greater one", option.span
        )
        return [0]
    return list(range(low, min(high, low + MAX_OPTIONS) + 1))
