"""The scope of a module's expressions: its parameters, and names that the language supplies."""

from __future__ import annotations

from lmc.check.program import ModuleDef, Param
from lmc.check.scope import Env
from lmc.syntax import nodes
from lmc.types import Type


def inner_env(env: Env, module: ModuleDef, **given: Type) -> Env:
    """The scope of an expression of a module. `given` are the names that the language supplies."""
    inner = env.nested()
    for param in module.signature.params:
        if param.name in given:
            report_taken(env, module, param)
        else:
            inner.assume(param.name, param.type, "parameter", param.span)
    for name, type in given.items():
        inner.assume(name, type, "built-in name")
    return inner


def report_taken(env: Env, module: ModuleDef, param: Param) -> None:
    """Report a parameter whose name the language supplies itself."""
    env.ctx.report(
        "shadowed-name",
        f"the parameter `{param.name}` hides the built-in name `{param.name}` of `{module.kind}`",
        param.span,
        help="choose another name for the parameter",
    )


def needs(env: Env, decl: nodes.ModuleDecl, module: ModuleDef, key: str, how: str) -> bool:
    """Whether a module has this setting. Reports it if it is missing."""
    if key in module.exprs:
        return True
    message = f"the {decl.kind} `{decl.name.name}` needs `{key}:`"
    env.ctx.report("missing-setting", message, decl.name.span, help=f"write `{key}: {how}`")
    return False
