"""Checks statements: bindings, branches, loops, and that every path ends with a result."""

from __future__ import annotations

from collections.abc import Callable

from lmc.check import inference
from lmc.check.annotations import constant, resolve
from lmc.check.narrowing import facts
from lmc.check.program import ModuleDef, PipelineDef, StoreDef, ToolDef
from lmc.check.scope import Env
from lmc.check.settings import SettingSpec, named, value_of
from lmc.check.stores import check_keep
from lmc.check.subtyping import forget, is_subtype, show, widen
from lmc.diagnostics import Label
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import ERROR, INT, IntType, ListType, NeverType, Type

MAX_ROUNDS = 1000
_STUBBED = (nodes.ModuleDecl, nodes.ToolDecl, nodes.PipelineDecl, nodes.StoreDecl)
BOUND = SettingSpec(IntType(1, MAX_ROUNDS))


def check_body(env: Env, block: nodes.Block, name: nodes.Ident, result: nodes.TypeExpr) -> None:
    """Check a block in which every path must return."""
    if not check_block(env, block):
        env.ctx.report(
            "missing-return",
            f"not every path of `{name.name}` returns a result",
            Label(_last(block.span)),
            Label(result.span, "the declared result"),
        )


def _last(span: Span) -> Span:
    return Span(span.source, span.end - 1, span.end)


def check_block(env: Env, block: nodes.Block) -> bool:
    """Check a block in its own scope. Returns whether every path through it ends."""
    inner, ended = env.nested(), False
    for stmt in block.stmts:
        if ended:
            env.ctx.warn("unreachable", "this statement is never reached", stmt.span)
            break
        ended = _STATEMENTS[stmt.__class__](inner, stmt)
    inner.warn_unused()
    return ended


def _let(env: Env, stmt: nodes.Let) -> bool:
    hinted = env.hinted(stmt.name.name)
    if stmt.type is None:
        type = _value(hinted, stmt.value, None, "")
    else:
        type = resolve(env.ctx, env.file, stmt.type)
        _value(hinted, stmt.value, type, f"`{stmt.name.name}`", stmt.type.span)
        env.ctx.program.types[id(stmt)] = type
    env.bind(stmt.name, type, "let", must_use=not _acts(env, stmt.value))
    if stmt.name.name in env.locals:
        env.locals[stmt.name.name].source = inference.call_behind(env, stmt.value)
    return False


def _acts(env: Env, value: nodes.Expr) -> bool:
    """Whether a value is made by a tool with an effect, or a list of such values."""
    while isinstance(value, nodes.Comprehension | nodes.Samples):
        value = value.item
    target = env.ctx.program.referents.get(id(value.target)) if isinstance(value, nodes.Call) else 0
    return isinstance(target, ToolDef) and bool(target.settings.get("effect"))


def _value(
    env: Env, expr: nodes.Expr, expected: Type | None, why: str, place: Span | None = None
) -> Type:
    if not isinstance(expr, nodes.Loop):
        if expected is None:
            return inference.infer(env, expr)
        return inference.check(env, expr, expected, why, place)
    type = _loop(env, expr)
    if expected is not None and not is_subtype(type, expected):
        inference.report_mismatch(env, expr.start, type, expected, why, place)
    return type


def _loop(env: Env, loop: nodes.Loop) -> Type:
    start = inference.infer(env, loop.start)
    state = widen(start)
    if loop.type is not None:
        state = resolve(env.ctx, env.file, loop.type)
        if not is_subtype(start, state):
            why = f"the start of `{loop.name.name}`"
            inference.report_mismatch(env, loop.start, start, state, why, loop.type.span)
    value_of(env, loop.bound, BOUND, "for")
    env.ctx.program.types.setdefault(id(loop.bound), INT)
    inner = env.nested(kind="loop", result=state)
    inner.bind(loop.name, state, "loop state")
    if loop.until is not None:
        inference.check_condition(inner.nested(hint="until"), loop.until, "`until`")
    if not check_block(inner, loop.body):
        message = "not every path of the loop yields its next state"
        env.ctx.report("missing-yield", message, Label(_last(loop.body.span)), loop.name.span)
    env.ctx.program.types[id(loop)] = state
    return state


def _if(env: Env, stmt: nodes.If) -> bool:
    ways: list[tuple[Env, Env, Env, bool]] = []  # before, met, unmet, and whether `then` ends
    for link in stmt.chain():
        inference.check_condition(env, link.condition, "the condition of `if`")
        met = env.knowing(facts(env, link.condition, True))
        unmet = env.knowing(facts(env, link.condition, False))
        ways.append((env, met, unmet, check_block(met, link.then)))
        env = unmet
    ended = stmt.last is not None and check_block(env, stmt.last)
    for before, met, unmet, then in reversed(ways):
        if then != ended:  # only one branch goes on, so its facts hold after it
            before.facts.update(unmet.facts if then else met.facts)
        ended = then and ended
    return ended


def _return(env: Env, stmt: nodes.Return) -> bool:
    if env.kind in ("loop", "test"):
        instead = "write `yield` to give the next state" if env.kind == "loop" else "write `assert`"
        message = f"`return` is not allowed in a {env.kind}"
        env.ctx.report("misplaced-return", message, stmt.span, help=instead)
        _value(env, stmt.value, None, "")
    else:
        _value(env.hinted("return"), stmt.value, env.result, "the result")
    return True


def _yield(env: Env, stmt: nodes.Yield) -> bool:
    if env.kind != "loop":
        message = "`yield` is allowed only in a loop"
        env.ctx.report("misplaced-yield", message, stmt.span, help="write `return`")
        inference.infer(env, stmt.value)
        return True
    assert env.result is not None
    actual = inference.infer(env.hinted("yield"), stmt.value, env.result)
    if not is_subtype(actual, env.result):
        env.ctx.report(
            "type-mismatch",
            f"the state of the loop must be `{show(env.result)}`, but this yields `{show(actual)}`",
            Label(stmt.value.span, f"`{show(actual)}`"),
            help=f"declare the type of the state: `loop name: {_state(env.result, actual)} = …`",
        )
    return True


def _state(start: Type, next: Type) -> str:
    """What to write for the type of a state: what is yielded, if it begins with an empty list."""
    empty = isinstance(start, ListType) and isinstance(start.item, NeverType)
    return show(forget(next)) if empty else "T"


def _assert(env: Env, stmt: nodes.Assert) -> bool:
    _only_in_tests(env, stmt, "misplaced-assert")
    inference.check_condition(env, stmt.condition, "the condition of `assert`")
    return False


def _only_in_tests(env: Env, stmt: nodes.Stmt, code: str) -> None:
    if env.kind != "test":
        env.ctx.report(code, f"`{code.partition('-')[2]}` is allowed only in tests", stmt.span)


def _keep(env: Env, stmt: nodes.Keep) -> bool:
    check_keep(env, stmt)
    return False


def _stub(env: Env, stmt: nodes.Stub) -> bool:
    _only_in_tests(env, stmt, "misplaced-stub")
    target = named(env, stmt.target, _STUBBED, "module, pipeline, tool or store")
    meaning = target.meaning if target else ERROR
    if isinstance(meaning, StoreDef):
        env.ctx.refer(stmt.target, meaning)
        held = ListType(meaning.record, None, meaning.keep)
        constant(env, stmt.value, held, f"what `{stmt.target.name}` holds")
        return False
    if not isinstance(meaning, ModuleDef | PipelineDef | ToolDef):
        inference.infer(env, stmt.value)
        return False
    env.ctx.refer(stmt.target, meaning)
    why = f"the result of `{stmt.target.name}`"
    constant(env, stmt.value, meaning.signature.result, why)
    return False


_STATEMENTS: dict[type, Callable[..., bool]] = {
    nodes.Let: _let,
    nodes.Keep: _keep,
    nodes.If: _if,
    nodes.Return: _return,
    nodes.Yield: _yield,
    nodes.Assert: _assert,
    nodes.Stub: _stub,
}
