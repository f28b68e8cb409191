"""Checks the bodies of modules: what their settings say beyond constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc import types
from lmc.check import inference, templates
from lmc.check.access import field_type, has_fields
from lmc.check.agents import check_agent
from lmc.check.given import inner_env, needs
from lmc.check.media import check_histories, check_written
from lmc.check.program import ModuleDef, options_of
from lmc.check.routing import check_route
from lmc.check.scope import Declared, Env
from lmc.check.settings import TABLE
from lmc.check.subtyping import has_equality, is_number, is_subtype, required, show
from lmc.diagnostics import Label
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import Type


def check_module(env: Env, declared: Declared, module: ModuleDef) -> None:
    """Check the expressions in a module's settings, and how the settings fit together."""
    decl: nodes.ModuleDecl = declared.decl  # type: ignore[assignment]
    _RULES[decl.kind](env, decl, module)
    if module.kind != "refine" and "check" in module.exprs:
        _check_over_out(env, module, "check")
    if "require" in module.exprs:
        _check_over_out(env, module, "require")
    if "role" in module.exprs:
        _check_text(env, module, "role")
    if "begin" in module.exprs:
        _check_text(env, module, "begin")
    if "begin" in module.settings or "begin" in module.exprs:
        _check_begin(env, decl, module)
    check_written(env.ctx, decl, module)
    check_histories(env.ctx, decl, module)
    templates.check_template(env, decl, module)
    templates.check_docstring(env, decl, module)


def _check_over_out(env: Env, module: ModuleDef, key: str) -> None:
    inner = inner_env(env, module, out=module.signature.result)
    inner.pure, inner.hint = key, key
    inference.check_condition(inner, module.exprs[key], f"`{key}`")


def _check_text(env: Env, module: ModuleDef, key: str) -> None:
    """Check `role` or `begin`: a text made of the parameters."""
    inner = inner_env(env, module)
    inner.pure = inner.hint = key
    inference.check(inner, module.exprs[key], types.OptionalType(types.STR), f"`{key}`")


def _check_begin(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check that the answer of a module is a text, which a given beginning can begin."""
    place = next(s.value.span for s in decl.settings if s.key.name == "begin")
    result = module.signature.result
    problem = None
    if decl.kind == "agent":
        problem = "`begin` is not for agents, whose answers are actions"
    elif not isinstance(result, types.StrType | types.ErrorType):
        problem = f"`begin` needs a result of type `str`, but this is `{show(result)}`"
    elif isinstance(result, types.StrType) and result.pattern is not None:
        problem = "`begin` needs a result without a pattern"
    elif any(map(bool, options_of(module.settings.get("reason", False)))):
        problem = "`begin` and `reason` exclude each other: the answer begins with the reasoning"
    elif any(text != text.rstrip() for text in options_of(module.settings.get("begin", ""))):
        problem = "`begin` must not end in white space: a model continues words, not spaces"
    if problem:
        env.ctx.report("bad-begin", problem, place)


# --- generate and critique ---


def _generate(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    return


def _critique(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    result = required(module.signature.result)
    if isinstance(result, types.RecordType):
        for name, type in (("ok", types.BOOL), ("feedback", types.STR)):
            field = result.get(name)
            if field is None or not is_subtype(field.type, type):
                _report_verdict(env, decl, f"has no field `{name}: {type}`")
    elif not isinstance(result, _PLAIN_VERDICTS):
        _report_verdict(env, decl, "is not a verdict, yes or no, a choice, a number or a text")


_PLAIN_VERDICTS = (
    types.BoolType,
    types.EnumType,
    types.LiteralType,
    types.IntType,
    types.FloatType,
    types.StrType,
    types.ErrorType,
)


def _report_verdict(env: Env, decl: nodes.ModuleDecl, problem: str) -> None:
    span = decl.signature.result.span
    message = f"the result of the critique `{decl.name.name}` {problem}"
    env.ctx.report("bad-verdict", message, span, help="`Verdict` has ok, score and feedback")


# --- refine ---


def _refine(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    draft = module.signature.result  # of a revision too, which may be all that the type allows
    if needs(env, decl, module, "draft", "g(…)"):
        inner = inner_env(env, module)
        place = decl.signature.result.span
        inner.hint = "draft"
        inference.check(inner, module.exprs["draft"], draft, "`draft`", place)
    if "clean" in module.exprs:
        inner = inner_env(env, module, out=draft)
        inner.pure = inner.hint = "clean"
        place = decl.signature.result.span
        inference.check(inner, module.exprs["clean"], draft, "`clean`", place)
    verdict: Type = types.ERROR
    if needs(env, decl, module, "check", "c(…, draft)"):
        verdict = _check_critique(inner_env(env, module, draft=draft), module)
        _check_decides(env, decl, module, verdict)
    _check_gain(env, decl, module, verdict)
    if "until" in module.exprs:
        until = inner_env(env, module, draft=draft, check=verdict)
        until.hint = "until"
        inference.check_condition(until, module.exprs["until"], "`until`")


def _check_gain(env: Env, decl: nodes.ModuleDecl, module: ModuleDef, verdict: Type) -> None:
    """Check that the verdict has a score if `no_gain` compares it."""
    stop = module.settings.get("stop_early")
    rules = options_of(stop)
    if (
        "no_gain" in rules
        and not is_number(types.score_type(verdict) or verdict)
        and not isinstance(verdict, types.ErrorType)
    ):
        place = next(s.value.span for s in decl.settings if s.key.name == "stop_early")
        message = f"`no_gain` compares the verdict's score, but `{show(verdict)}` has none"
        env.ctx.report("bad-verdict", message, place)


def _check_critique(env: Env, module: ModuleDef) -> Type:
    """The verdict on a draft: what a critique, a tool, a pipeline or an expression says of it."""
    expr = module.exprs["check"]
    env.hint = "check"
    verdict = inference.infer(env, expr)
    referent = (
        env.ctx.program.referents.get(id(expr.target)) if isinstance(expr, nodes.Call) else None
    )
    if isinstance(verdict, types.ErrorType):
        return verdict
    if isinstance(referent, ModuleDef) and referent.kind == "critique":
        assert isinstance(expr, nodes.Call)
        _check_judges_draft(env, expr, referent)
    elif not env.locals["draft"].used:
        message = "`check` does not look at `draft`, so it says the same of every draft"
        env.ctx.report("draft-not-checked", message, expr.span)
    return verdict


def _check_decides(env: Env, decl: nodes.ModuleDecl, module: ModuleDef, verdict: Type) -> None:
    """Check that a refine knows when a draft passes: by `until`, a bool, or the field `ok`."""
    ok = verdict.get("ok") if isinstance(verdict, types.RecordType) else None
    decides = is_subtype(ok.type if ok else verdict, types.BOOL)
    if "until" not in module.exprs and not decides:
        message = f"`{show(verdict)}` does not say whether a draft passes"
        help = "write `until:` with a condition over `check`"
        env.ctx.report("missing-setting", message, module.exprs["check"].span, help=help)


def _check_judges_draft(env: Env, call: nodes.Call, critique: ModuleDef) -> None:
    bound = env.ctx.program.bindings.get(id(call), ())
    for param, expr in zip(critique.signature.params, bound):
        if param.name == critique.subject and not _mentions(expr, "draft"):
            message = f"the subject `{param.name}` of the critique does not mention `draft`"
            label = Label(param.span, "the subject")
            env.ctx.report("draft-not-checked", message, (expr or call).span, label)


def _mentions(expr: nodes.Expr | None, name: str) -> bool:
    todo: list[nodes.SyntaxNode] = [expr] if expr is not None else []
    while todo:  # a chain of operators may be longer than Python recurses
        node = todo.pop()
        if isinstance(node, nodes.Var) and node.name == name:
            return True
        todo += nodes.children(node)
    return False


# --- vote ---


def _vote(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    if needs(env, decl, module, "sample", "f(…)"):
        inner = inner_env(env, module)
        inner.hint = "sample"
        sample, result = module.exprs["sample"], module.signature.result
        inference.check(inner, sample, result, "`sample`", decl.signature.result.span)
        _report_plain_sample(env, sample)
    if module.by != "model":
        _warn_idle(env, decl)
    _check_weight(env, module)
    _check_comparison(env, decl, module)
    _check_stopping(env, decl, module)
    key = next((s for s in decl.settings if s.key.name == "by"), None)
    place = key.value.span if key else decl.name.span
    _check_by(env, module, place)


def _warn_idle(env: Env, decl: nodes.ModuleDecl) -> None:
    for setting in decl.settings:
        if setting.key.name in TABLE["generate"]:
            name = setting.key.name
            message = (
                f"`{name}` has no effect: the vote `{decl.name.name}` does not call a model itself"
            )
            env.ctx.warn(
                "idle-setting",
                message,
                setting.key.span,
                help="set it in the module that it samples",
            )


def _report_plain_sample(env: Env, sample: nodes.Expr) -> None:
    if not isinstance(
        sample,
        nodes.Call | nodes.Comprehension | nodes.Samples | nodes.IfExpr | nodes.Match | nodes.Attr,
    ):
        env.ctx.report(
            "sample-not-call",
            "`sample` must be a call",
            sample.span,
            help="write `sample: f(…)`",
        )


def _check_by(env: Env, module: ModuleDef, place: Span) -> None:
    result = required(module.signature.result)
    match module.by:
        case "model" | "certainty" | "tournament" | "win_rate":
            return
        case "steps":
            steps = result.get("steps") if isinstance(result, types.RecordType) else None
            known = (
                steps and isinstance(steps.type, types.ListType) and steps.type.item == types.STR
            )
            if not known and not isinstance(result, types.ErrorType):
                message = (
                    f"votes by steps need a field `steps: list[str]`, but `{show(result)}` has none"
                )
                env.ctx.report("bad-vote", message, place)
        case "score":
            _check_by_score(env, result, place)
        case "expr":
            _check_by_expression(env, module)
        case ():
            _check_countable(env, result, place, "the result")
        case fields:
            for name in fields:
                _check_by_field(env, module, result, name, place)


def _check_by_score(env: Env, result: Type, place: Span) -> None:
    score = types.score_type(result)
    if (score is None or not is_number(score)) and not isinstance(result, types.ErrorType):
        message = f"`{show(result)}` has no numeric field `score`"
        env.ctx.report(
            "bad-vote", message, place, help="write `by: out.field` to use another field"
        )


def _check_weight(env: Env, module: ModuleDef) -> None:
    """Check `weight`: a number over `out` or one of two words, in votes that count values."""
    expr = module.exprs.get("weight")
    if expr is None:
        return
    if isinstance(module.by, str):
        message = "`weight` is allowed only in votes that count equal values"
        env.ctx.report(
            "bad-vote", message, expr.span, help="write `by: .field`, or remove `weight`"
        )
    elif isinstance(expr, nodes.String) and expr.value == "score":
        _check_by_score(env, required(module.signature.result), expr.span)
    elif not (isinstance(expr, nodes.String) and expr.value == "certainty"):
        inner = inner_env(env, module, out=module.signature.result)
        inner.pure, inner.hint = "weight", "weight"
        if not is_number(type := inference.infer(inner, expr)):
            message = f"`weight` must be a number, but this is `{show(type)}`"
            help = 'write `weight: "score"`, `"certainty"`, or a number over `out`'
            env.ctx.report("bad-vote", message, expr.span, help=help)


def _check_comparison(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check `compare`: it tells which of `first` and `second` is better."""
    if module.by in ("tournament", "win_rate"):
        if not needs(env, decl, module, "compare", "better(…, first, second)"):
            return
    elif "compare" in module.exprs:
        message = '`compare` is allowed only with `by: "tournament"` or `by: "win_rate"`'
        env.ctx.report("bad-vote", message, module.exprs["compare"].span)
    else:
        return
    result, expr = module.signature.result, module.exprs["compare"]
    inner = inner_env(env, module, first=result, second=result)
    inner.hint = "compare"
    type = inference.infer(inner, expr)
    if not is_subtype(
        type, types.UnionType((types.BOOL, types.LiteralType(("first", "second", "tie"))))
    ):
        message = f"`compare` must tell whether the first is better, but this is `{show(type)}`"
        help = 'return a bool, or one of "first", "second", "tie"'
        env.ctx.report("bad-vote", message, expr.span, help=help)


def _check_stopping(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check `stop_early`: only votes that count equal values can; DSC needs a difficulty."""
    stop = module.settings.get("stop_early")
    rules = options_of(stop)
    if any(rules) and not _may_stop(module, rules):
        place = next(s.span for s in decl.settings if s.key.name == "stop_early")
        message = "this vote cannot stop early: it needs all its samples"
        env.ctx.report("bad-vote", message, place, help="remove `stop_early`")
    if "dsc" in rules:
        needs(env, decl, module, "difficulty", "len(question)")
    if "difficulty" in module.exprs:
        inner = inner_env(env, module)
        inner.hint = "difficulty"
        type = inference.infer(inner, module.exprs["difficulty"])
        if not is_number(type):
            message = f"`difficulty` must be a number, but this is `{show(type)}`"
            env.ctx.report("bad-vote", message, module.exprs["difficulty"].span)


def _may_stop(module: ModuleDef, rules: tuple[Any, ...]) -> bool:
    """Whether a vote can be decided before all its samples.

    A weighted vote can only by the rule `settled`, and only if the weights are bounded.
    """
    weight = module.exprs.get("weight")
    if weight is None:
        return not isinstance(module.by, str)
    bounded = isinstance(weight, nodes.String) and weight.value == "score"
    result = required(module.signature.result)
    return (
        bounded
        and types.greatest_score(result) is not None
        and {*rules} <= {False, True, "settled", None}
    )


def _check_by_expression(env: Env, module: ModuleDef) -> None:
    inner = inner_env(env, module, out=module.signature.result)
    inner.pure, inner.hint = "by", "by"
    expr = module.exprs["by"]
    type = inference.infer(inner, expr)
    if not is_number(type):
        message = f"`by` must be a field or a number, but this is `{show(type)}`"
        env.ctx.report(
            "bad-vote", message, expr.span, help="write `by: .field` to count equal values"
        )


def _check_by_field(env: Env, module: ModuleDef, result: Type, name: str, place: Span) -> None:
    if not has_fields(result):
        if not isinstance(result, types.ErrorType):
            env.ctx.report(
                "bad-vote", f"`by` names a field, but `{show(result)}` has no fields", place
            )
        return
    span = _selector_span(module.exprs["by"], name)
    type = field_type(env, result, nodes.Ident(name, span=span))
    _check_countable(env, type, span, f"`.{name}`")


def _selector_span(expr: nodes.Expr, name: str) -> Span:
    items = expr.items if isinstance(expr, nodes.ListLit) else (expr,)
    return next(i.span for i in items if isinstance(i, nodes.Selector) and i.name.name == name)


def _check_countable(env: Env, type: Type, place: Span, what: str) -> None:
    if has_equality(type):
        return
    score = isinstance(type, types.FloatType)
    env.ctx.report(
        "bad-vote",
        f"{what} is `{show(type)}`, and equal values of that type cannot be counted",
        place,
        help="write `by: out.field` to take the greatest value" if score else "write `by: .field`",
    )


# --- search ---


def _search(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check a search. Its result is the path: a list of what `expand` returns."""
    result = module.signature.result
    if not isinstance(result, types.ListType):
        if not isinstance(result, types.ErrorType):
            message = f"a search returns a list of steps, but this is `{show(result)}`"
            env.ctx.report(
                "bad-search", message, decl.signature.result.span, help="for example `list[str]`"
            )
        return
    path = types.ListType(result.item)
    if needs(env, decl, module, "expand", "next_step(…, path)"):
        inner = inner_env(env, module, path=path)
        inner.hint = "expand"
        place = decl.signature.result.span
        inference.check(inner, module.exprs["expand"], result.item, "`expand`", place)
    if needs(env, decl, module, "value", "judge(…, path)"):
        inner = inner_env(env, module, path=path)
        inner.hint = "value"
        expr = module.exprs["value"]
        type = inference.infer(inner, expr)
        if not is_number(types.score_type(type) or type) and not is_subtype(type, types.BOOL):
            message = (
                "`value` must be a number, a bool or a verdict with a score, but this is"
                f" `{show(type)}`"
            )
            env.ctx.report("bad-search", message, expr.span)
    if "until" in module.exprs:
        until = inner_env(env, module, path=path)
        until.hint = "until"
        inference.check_condition(until, module.exprs["until"], "`until`")


_RULES: dict[str, Callable[[Env, nodes.ModuleDecl, ModuleDef], None]] = {
    "generate": _generate,
    "critique": _critique,
    "refine": _refine,
    "vote": _vote,
    "search": _search,
    "agent": check_agent,
    "route": check_route,
}
