"""Checks agents: the tools that they may call, and the lists of tools to choose from."""

from __future__ import annotations

from lmc.check.given import needs, report_taken
from lmc.check.media import check_tool_of_agent
from lmc.check.program import MISSING, ModuleDef, PipelineDef, ToolDef
from lmc.check.scope import Env
from lmc.check.settings import named
from lmc.check.subtyping import is_subtype
from lmc.diagnostics import Label
from lmc.syntax import nodes

_OWN = ("act", "finish")  # names that an agent has for itself
_HELP = "write `tools: [search, calculate]`, or `tune[[search], [search, calculate]]`"


def check_agent(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check an agent. `tools` names the tools, modules and pipelines that it may call.

    A `tune` of such lists is a choice of an optimizer.
    """
    if not needs(env, decl, module, "tools", "[search]"):
        return
    lists = tool_lists(module.exprs["tools"])
    if not lists or not all(map(_is_list_of_names, lists)):
        message = "`tools` must be a list of names of tools, modules or pipelines"
        env.ctx.report("bad-agent", message, module.exprs["tools"].span, help=_HELP)
        return
    found = [_tools(env, listed, module) for listed in lists]
    expr = module.exprs["tools"]
    if isinstance(expr, nodes.Tune) and None not in found:
        env.ctx.add_choice(expr, env.owner, "tools", tuple(found))
    names = [p.name for p in module.signature.params]
    if "transcript" in names:
        report_taken(env, module, module.signature.params[names.index("transcript")])


def tool_lists(expr: nodes.Expr) -> list[nodes.Expr]:
    """The list of tools, or the lists that a `tune` chooses from. Empty for a range."""
    if not isinstance(expr, nodes.Tune):
        return [expr]
    options = [option for option in expr.options if not isinstance(option, nodes.TuneRange)]
    return options if len(options) == len(expr.options) else []


def _is_list_of_names(expr: nodes.Expr) -> bool:
    items = expr.items if isinstance(expr, nodes.ListLit) else ()
    return bool(items) and all(isinstance(item, nodes.Var) for item in items)


def _tools(env: Env, listed: nodes.Expr, module: ModuleDef) -> list[str] | None:
    """The qualified names of the tools in a list. None if one is wrong, which is reported."""
    assert isinstance(listed, nodes.ListLit)
    names: dict[str, nodes.Expr] = {}
    wrong = False
    for item in listed.items:
        assert isinstance(item, nodes.Var)
        found = named(env, item, (nodes.ToolDecl, nodes.ModuleDecl, nodes.PipelineDecl), "tool")
        if found is None or not isinstance(found.meaning, ToolDef | ModuleDef | PipelineDef):
            wrong = True
            continue
        env.ctx.refer(item, found.meaning)
        env.ctx.calls.setdefault(env.owner, []).append((found.meaning, item.span))
        name = found.meaning.name
        if name in _OWN:
            message = f"an agent uses the name `{name}` itself"
            env.ctx.report("bad-agent", message, item.span, help="give the tool another name")
        if name in names:
            first = Label(names[name].span, "first here")
            env.ctx.report("bad-agent", f"the tool `{name}` is listed twice", item.span, first)
        check_tool_of_agent(env, item, found.meaning)
        if isinstance(found.meaning, ToolDef) and found.meaning.settings.get("episode"):
            _check_environment(env, item, found.meaning, module)
        names[name] = item
    return None if wrong else list(names)


def _check_environment(env: Env, item: nodes.Expr, tool: ToolDef, module: ModuleDef) -> None:
    """Check that the agent has what `reset` takes: parameters of the same names."""
    have = {param.name: param.type for param in module.signature.params}
    for param in tool.signature.params[:-1]:
        own = have.get(param.name)
        if own is None and param.default is not MISSING:
            continue
        if own is None or not is_subtype(own, param.type):
            message = f"to reset `{tool.name}`, the agent needs a parameter `{param.name}`"
            message += "" if own is None else f" of the type `{param.type}`, and it is `{own}`"
            help = f"add `{param.name}: {param.type}` to the parameters of `{module.name}`"
            where = Label(param.span, "an input of `reset`")
            env.ctx.report("bad-agent", message, item.span, where, help=help)
