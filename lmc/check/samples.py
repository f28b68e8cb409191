"""Samples of an expression as a list, how certain a model was, and what an agent did."""

from __future__ import annotations

from lmc import types
from lmc.check.inference import call_behind, infer
from lmc.check.program import Builtin, ModuleDef, options_of
from lmc.check.scope import Env
from lmc.check.settings import value_of
from lmc.check.statements import BOUND
from lmc.check.subtyping import required
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import Type


def samples(env: Env, expr: nodes.Samples, expected: Type | None) -> Type:
    """Infer `[e for 8]`: as many items as are drawn, each of the type of `e`."""
    wanted = required(expected) if expected else None
    item = infer(env, expr.item, wanted.item if isinstance(wanted, types.ListType) else None)
    if isinstance(expr.count, nodes.Tune) and not env.tunable:
        infer(env, expr.count)  # says that there is nothing to tune here
        return types.ListType(item)
    count = value_of(env, expr.count, BOUND, "for")
    env.ctx.program.types.setdefault(id(expr.count), types.INT)
    if count is types.ERROR:
        return types.ListType(item)
    numbers = options_of(count)
    return types.ListType(item, min(numbers), max(numbers))


def infer_certainty(env: Env, call: nodes.Call, name: str) -> Type:
    """Infer `certainty(x)`, `logprob(x)` or `turns(x)`. Notes the call that `x` comes from."""
    env.ctx.refer(call.target, Builtin(name))
    if len(call.args) != 1 or call.args[0].name is not None:
        message = f"`{name}` takes one argument, the result of a module"
        env.ctx.report("no-certainty", message, call.span)
        for arg in call.args:
            infer(env, arg.value)
        return types.ERROR
    given = call.args[0].value
    type = infer(env, given)
    source = call_behind(env, given)
    if source is None:
        if not isinstance(type, types.ErrorType):
            _report_no_source(env, given, name)
        return types.ERROR
    if name == "turns" and not _is_agent(env, source):
        message = f"`turns` takes the result of an agent, but `{source.span.text}` asks no agent"
        help = "write `[assistant(x)]` for what another module says"
        env.ctx.report("no-turns", message, given.span, help=help)
        return types.ERROR
    env.ctx.program.asked.setdefault(id(source), set()).add(name)
    env.ctx.program.weighed[id(call)] = source
    env.ctx.program.weighed[id(source)] = source
    env.ctx.program.bindings[id(call)] = (given,)
    return types.MESSAGES if name == "turns" else types.OptionalType(types.FLOAT)


def _is_agent(env: Env, call: nodes.Call) -> bool:
    referent = env.ctx.program.referents.get(id(call.target))
    return isinstance(referent, ModuleDef) and referent.kind == "agent"


def _report_no_source(env: Env, expr: nodes.Expr, name: str) -> None:
    binding = env.find(expr.name) if isinstance(expr, nodes.Var) else None
    what = f"`{expr.span.text}` is a {binding.kind}" if binding else "this is another value"
    env.ctx.report(
        "no-certainty",
        f"`{name}` takes the result of a call of a module or pipeline, but {what}",
        expr.span,
        Label(binding.span, "bound here") if binding and binding.span else None,
        help=f"bind the call with `let x = f(…)`, and write `{name}(x)`",
    )
