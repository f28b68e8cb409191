"""Checks prompt templates: sandboxed Jinja, whose names and filters must be known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from lmc.check.program import ModuleDef
from lmc.check.scope import Env
from lmc.check.subtyping import required
from lmc.check.template_fields import check_fields
from lmc.diagnostics import suggestion
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import (
    DictType,
    EnumType,
    JsonType,
    ListType,
    LiteralType,
    OneOfType,
    RecordType,
    StrType,
    Type,
    UnionType,
    is_messages,
    parts,
)

# Of Jinja's filters, those that make texts or lists of any size out of little.
REFUSED_FILTERS = frozenset(
    {"batch", "center", "format", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr"}
)
_BRACES = re.compile(
    r"\{\{-?[ \t]*([A-Za-z_]\w*)[^{}\n]*\}\}|(?<!\{)\{[ \t]*([A-Za-z_]\w*)[ \t]*\}(?!\})"
)
_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
MOST_BRACKETS, MOST_LEVELS, MOST_LOOPS = 20, 60, 15  # in one another, in a template
SLOTS = ("instructions", "demos", "format")
# Jinja's own names. Its `none`, `true` and `false` are keywords here, so they name no parameter.
TAKEN = (*SLOTS, "None", "True", "False", "self")
_GIVEN = (*SLOTS, "loop", "range", "namespace", "dict", "lipsum", "cycler", "joiner")


def check_template(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Check the template of a module, if it has one."""
    setting = next((s for s in decl.settings if s.key.name == "template"), None)
    if setting is None or not isinstance(setting.value, nodes.ObjectLit):
        return
    _check_taken(env, module)
    texts = {p.key.name: p.value for p in setting.value.pairs if isinstance(p.value, nodes.String)}
    seen = {name for text in texts.values() for name in _check_text(env, module, text)}
    if "template" not in module.settings or env.ctx.has_error_in(setting.span):
        return
    shown = {*seen, *TAKEN}
    hidden = [
        p.name
        for p in module.signature.params
        if p.name not in shown and not p.train and not is_messages(p.type)  # they are turns
    ]
    if "user" in texts:  # else the layout shows the inputs
        hidden = _without_labels(env, module, hidden, setting.key.span)
    if hidden and "user" in texts:
        names = ", ".join(f"`{name}`" for name in hidden)
        message = f"the template never shows {names} to the model"
        env.ctx.warn("hidden-input", message, setting.key.span)
    if texts:
        words = _CODE.sub(" ", "\n".join(text.value for text in texts.values()))
        _check_dropped(env, module, setting.key.span, seen, words)


def _without_labels(env: Env, module: ModuleDef, hidden: Sequence[str], span: Span) -> list[str]:
    """The hidden inputs but labels that a model must choose from; those are reported here."""
    sources = {p.options for p in parts(module.signature.asked) if isinstance(p, OneOfType)}
    for name in hidden:
        if name in sources:
            message = f"the template never tells the model the labels in `{name}`"
            help = f"show `{{{{ {name} }}}}`"
            env.ctx.report("dropped-format", message, span, help=help)
    return [name for name in hidden if name not in sources]


def _check_taken(env: Env, module: ModuleDef) -> None:
    """Report parameters that a template cannot show, as their name stands for something else."""
    for param in module.signature.params:
        if param.name in TAKEN:
            message = f"the parameter `{param.name}` hides the name `{param.name}` of templates"
            help = "choose another name for the parameter"
            env.ctx.report("shadowed-name", message, param.span, help=help)


def check_docstring(env: Env, decl: nodes.ModuleDecl, module: ModuleDef) -> None:
    """Warn of names in braces in an instruction, which is not a template."""
    if decl.doc is None:
        return
    known = {p.name for p in module.signature.params}
    for found in _BRACES.finditer(decl.doc.span.text):
        name = found[1] or found[2]
        if found[1] or name in known:
            start = decl.doc.span.start + found.start()
            span = Span(decl.doc.span.source, start, start + len(found[0]))
            message = f"the instruction shows `{found[0]}` as it stands, not the value of `{name}`"
            help = "the inputs are shown after the instruction; a `template` places them elsewhere"
            env.ctx.warn("braces-in-docstring", message, span, help=help)


def _check_dropped(env: Env, module: ModuleDef, span: Span, seen: set[str], text: str) -> None:
    """Report what a template leaves out that the model needs: the format and the instruction.

    Without the fields of a structured result no answer can be read, so that is an error.
    """
    structured = _is_structured(module)
    report = env.ctx.report if structured else env.ctx.warn
    result = module.signature.result
    plain = isinstance(result, StrType) and not structured
    names = _told_names(result)
    missing = [name for name in names if not _names(text, name)]
    if "format" not in seen and not plain and (missing or not names):
        what = ", ".join(f"`{name}`" for name in missing[:5]) or f"`{result}`"
        message = f"the template never tells the model to reply with {what}"
        report("dropped-format", message, span, help="show `{{ format }}`")
    told = ["docstring"] * bool(module.instruction) + ["`require`"] * ("require" in module.exprs)
    if told and "instructions" not in seen:
        message = f"the template never shows the {' and the '.join(told)} of `{module.name}`"
        report("dropped-instruction", message, span, help="show `{{ instructions }}`")


def _is_structured(module: ModuleDef) -> bool:
    """Whether answers have fields or parts that only the format tells of."""
    result = required(module.signature.asked)
    own_fields = module.kind in ("agent", "vote", "search", "route") or module.settings.get(
        "reason"
    )
    told = RecordType | EnumType | LiteralType | ListType | DictType | JsonType | UnionType
    return bool(own_fields) or isinstance(result, told)


def _told_names(result: Type) -> list[str]:
    """The words that a template may tell itself in place of the format: fields, or choices."""
    match required(result):
        case RecordType(fields=fields):
            return [f.name for f in fields if not f.has_default]
        case EnumType(variants=names) | LiteralType(values=names):
            return list(names)
    return []


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _check_text(env: Env, module: ModuleDef, text: nodes.String) -> set[str]:
    from jinja2 import TemplateSyntaxError, meta

    try:
        tree = _parsed(text.value)
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


def _parsed(text: str) -> Any:
    """The tree of a template. Raises: TemplateSyntaxError, also where it nests too deep.

    Jinja walks its tree recursively, and Python compiles at most 20 loops in one another.
    """
    from jinja2 import TemplateSyntaxError
    from jinja2 import nodes as jinja

    environment, brackets = _environment(), 0
    for line, _, token in environment.lex(text):
        brackets += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
        if brackets > MOST_BRACKETS:
            message = f"it nests more than {MOST_BRACKETS} brackets in one another"
            raise TemplateSyntaxError(message, line)
    too_deep = f"it nests more than {MOST_LEVELS} parts or {MOST_LOOPS} loops in one another"
    try:
        tree = environment.parse(text)
    except RecursionError:
        raise TemplateSyntaxError(too_deep, 1) from None
    todo = [(tree, 0, 0)]
    while todo:
        node, level, loops = todo.pop()
        if level > MOST_LEVELS or loops > MOST_LOOPS:
            raise TemplateSyntaxError(too_deep, node.lineno or 1)
        loops += isinstance(node, jinja.For)
        todo += [(inner, level + 1, loops) for inner in node.iter_child_nodes()]
    return tree


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
