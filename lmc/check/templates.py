"""Checks prompt templates: sandboxed Jinja, whose names and filters must be known."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from lmc.check.program import ModuleDef
from lmc.check.scope import Env
from lmc.check.template_fields import check_fields
from lmc.diagnostics import suggestion
from lmc.source import Span
from lmc.syntax import nodes

# Of Jinja's filters, those that make texts or lists of any size out of little.
REFUSED_FILTERS = frozenset(
    {"batch", "center", "format", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr"}
)
SLOTS = ("instructions", "demos", "format")
_GIVEN = (*SLOTS, "loop", "range", "namespace", "dict", "lipsum", "cycler", "joiner")


def check_template(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check the template of a module, if it has one."""
    setting = next((s for s in decl.settings if s.key.name == "template"), None)
    if setting is None or not isinstance(setting.value, nodes.ObjectLit):
        return
    seen: set[str] = set()
    for pair in setting.value.pairs:
        if isinstance(pair.value, nodes.String):
            seen |= _check_text(env, module, pair.value)
    hidden = [p.name for p in module.signature.params if p.name not in seen and not p.train]
    if hidden and "template" in module.settings and not env.ctx.has_error_in(setting.span):
        names = ", ".join(f"`{name}`" for name in hidden)
        message = f"the template never shows {names} to the model"
        env.ctx.warn("hidden-input", message, setting.key.span)


def _check_text(env: Env, module: ModuleDef, text: nodes.String) -> set[str]:
    from jinja2 import TemplateSyntaxError, meta

    try:
        tree = _environment().parse(text.value)
    except TemplateSyntaxError as problem:
        span = _line_span(text, problem.lineno)
        env.ctx.report("bad-template", f"the template is not valid Jinja: {problem.message}", span)
        return set()
    if _check_filters(env, text, tree):
        return {p.name for p in module.signature.params}
    used = meta.find_undeclared_variables(tree)
    known = [*(p.name for p in module.signature.params), *SLOTS]
    for name in sorted(used - {*known, *_GIVEN}):
        _report(env, text, name, known, "unknown-template-name", "parameter or slot")
    types = {p.name: p.type for p in module.signature.params}
    check_fields(env, tree, types, lambda name: _name_span(text, name, before=r"[.'\"]\s*"))
    return used


def _check_filters(env: Env, text: nodes.String, tree: Any) -> bool:
    """Report filters and tests that Jinja does not have. Returns whether there were any."""
    from jinja2 import nodes as jinja

    environment, before = _environment(), len(env.ctx.diagnostics)
    for kind, table, what in (
        (jinja.Filter, environment.filters, "filter"),
        (jinja.Test, environment.tests, "test"),
    ):
        for name in sorted({str(node.name) for node in tree.find_all(kind)} - set(table)):
            _report(env, text, name, table, "unknown-template-filter", what)
    return len(env.ctx.diagnostics) > before


def _report(env: Env, text: nodes.String, name: str, known: Any, code: str, what: str) -> None:
    if code == "unknown-template-name":
        message = f"`{name}` is not a {what}"
    else:
        message = f"Jinja has no {what} `{name}`"
    place = _name_span(text, name)
    env.ctx.report(code, message, place, help=suggestion(name, known))


@cache
def _environment() -> Any:
    from jinja2 import pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Reading(ImmutableSandboxedEnvironment):
        """Computes nothing: Jinja would fold constants, such as `[1] * 10**9`, while it reads."""

        intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    @pass_context
    def never(*_: Any) -> None:
        """Stand in for a filter; one that takes the context is not folded."""

    environment = Reading()
    environment.filters = dict.fromkeys(set(environment.filters) - REFUSED_FILTERS, never)
    environment.tests = dict.fromkeys(environment.tests, never)
    return environment


def _name_span(text: nodes.String, name: str, before: str = r"\b") -> Span:
    """The place of a name between braces of a template, else the whole template."""
    source = text.span.text
    for braces in re.finditer(r"\{\{.*?\}\}|\{%.*?%\}", source, re.DOTALL):
        found = re.search(rf"{before}({re.escape(name)})\b", braces.group())
        if found:
            start = text.span.start + braces.start() + found.start(1)
            return Span(text.span.source, start, start + len(name))
    return text.span


def _line_span(text: nodes.String, line: int) -> Span:
    """The line of a template that Jinja reports. A dedented text may start a line later."""
    lines = text.span.text.splitlines(keepends=True)
    first = 1 if len(lines) > 1 and not lines[0].strip('"').strip() else 0
    at = min(first + line - 1, len(lines) - 1)
    start = text.span.start + sum(map(len, lines[:at]))
    content = lines[at].rstrip()
    blank = len(content) - len(content.lstrip())
    return Span(text.span.source, start + blank, start + max(len(content), blank + 1))
