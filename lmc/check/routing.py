"""Checks the body of a route: an option for each case, or options to try in order."""

from __future__ import annotations

from lmc.check import inference
from lmc.check.access import listed, use_member
from lmc.check.given import inner_env, needs
from lmc.check.program import ModuleDef
from lmc.check.scope import Env
from lmc.check.subtyping import is_number, required, show, widen
from lmc.diagnostics import suggestion
from lmc.syntax import nodes
from lmc.types import EnumType, ErrorType, LiteralType, score_type

_BY = 'write `by: "certainty"`, `"score"`, or a number over `out`'


def check_route(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check `to`: an object with an option for each case of `by`, or a list to try in order."""
    if not needs(env, decl, module, "to", "{case: option(…), …}"):
        return
    match module.exprs["to"]:
        case nodes.ObjectLit() as options:
            _check_cases(env, decl, module, options)
        case nodes.ListLit(items=items) if len(items) > 1:
            _check_escalation(env, decl, module, items)
        case other:
            message = "`to` must be an object with an option per case, or a list of two or more"
            help = "write `to: {case: option(…), …}`, or `to: [small(…), large(…)]`"
            env.ctx.report("bad-route", message, other.span, help=help)


def _check_cases(
    env: Env, decl: nodes.ModuleDecl, module: ModuleDef, options: nodes.ObjectLit
) -> None:
    for pair in options.pairs:
        _check_option(env, decl, module, pair.value)
    if "threshold" in module.settings:
        place = next(s.span for s in decl.settings if s.key.name == "threshold")
        message = "`threshold` is allowed only if `to` is a list of options"
        env.ctx.report("bad-route", message, place, help="remove `threshold`")
    if not needs(env, decl, module, "by", "kind_of(…)"):
        return
    by = module.exprs["by"]
    inner = inner_env(env, module)
    inner.hint = "by"
    match subject := inference.infer(inner, by):
        case EnumType(variants=cases) | LiteralType(values=cases):
            _check_covered(env, options, cases, show(subject))
            for pair in options.pairs:
                use_member(env, subject, pair.key)
        case ErrorType():
            pass
        case _:
            message = f"`by` must be an enum or a literal, but this is `{show(widen(subject))}`"
            help = "to try options in order, write a list: `to: [small(…), large(…)]`"
            env.ctx.report("bad-route", message, by.span, help=help)


def _check_covered(
    env: Env, options: nodes.ObjectLit, cases: tuple[str, ...], subject: str
) -> None:
    left = list(cases)
    for pair in options.pairs:
        name = pair.key.name
        if name in left:
            left.remove(name)
        elif name in cases:
            env.ctx.report("duplicate-case", f"`{name}` already has an option", pair.key.span)
        else:
            help = suggestion(name, cases, f"it has {listed(cases)}")
            message = f"`{subject}` has no case `{name}`"
            env.ctx.report("bad-route", message, pair.key.span, help=help)
    if left:
        message = f"this route has no option for {listed(left)}"
        env.ctx.report("bad-route", message, options.span, help=f"add `{left[0]}: …`")


def _check_escalation(
    env: Env, decl: nodes.ModuleDecl, module: ModuleDef, options: tuple[nodes.Expr, ...]
) -> None:
    for option in options:
        _check_option(env, decl, module, option)
    if all(setting.key.name != "threshold" for setting in decl.settings):
        message = f"the route `{decl.name.name}` needs `threshold:`"
        help = "write `threshold: 0.5`: the first option whose `by` reaches it is taken"
        env.ctx.report("missing-setting", message, decl.name.span, help=help)
    if needs(env, decl, module, "by", '"certainty"'):
        _check_confidence(env, module, module.exprs["by"])


def _check_confidence(env: Env, module: ModuleDef, by: nodes.Expr) -> None:
    result = required(module.signature.result)
    match by:
        case nodes.String(value="certainty"):
            pass
        case nodes.String(value="score"):
            score = score_type(result)
            if (score is None or not is_number(score)) and not isinstance(result, ErrorType):
                message = f"`{show(result)}` has no numeric field `score`"
                env.ctx.report("bad-route", message, by.span, help=_BY)
        case _:
            inner = inner_env(env, module, out=module.signature.result)
            inner.hint = "by"
            if not is_number(type := inference.infer(inner, by)):
                message = f"`by` must be a number, but this is `{show(type)}`"
                env.ctx.report("bad-route", message, by.span, help=_BY)


def _check_option(env: Env, decl: nodes.ModuleDecl, module: ModuleDef, option: nodes.Expr) -> None:
    inner, place = inner_env(env, module), decl.signature.result.span
    inner.hint = "to"
    inference.check(inner, option, module.signature.result, "an option of `to`", place)
