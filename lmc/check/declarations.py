"""From declarations to definitions: signatures and settings, before any body is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmc import types
from lmc.check import settings
from lmc.check.access import use_member
from lmc.check.annotations import default, define_types, resolve, resolve_result
from lmc.check.made_rows import MADE
from lmc.check.passed_on import PASSED_ON, misplaced
from lmc.check.program import (
    MISSING,
    WAYS_TO_VOTE,
    DatasetDef,
    MetricDef,
    ModelDef,
    ModuleDef,
    Param,
    PipelineDef,
    Signature,
    ToolDef,
)
from lmc.check.providers import with_provider
from lmc.check.scope import CheckContext, Declared, Env, File
from lmc.check.servers import OF_SERVERS, any_tool, check_server, is_server
from lmc.check.stores import define_store
from lmc.check.subtyping import is_text, required
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import MOST_PARTS, Type, parts, written_size

ASKING = ("generate", "refine", "agent")  # kinds whose models write the result itself


def define_all(ctx: CheckContext, file: File) -> None:
    """Give every declared name of a file its meaning: types and models, then all others."""
    own = [d for d in file.names.values() if d.file is file]
    define_types(ctx, own)
    for declared in own:
        if isinstance(declared.decl, nodes.ModelDecl):
            declared.meaning = ModelDef(file.prefix + declared.ident.name, declared.decl.span, {})
    for declared in own:
        builder = _BUILDERS.get(type(declared.decl))
        if builder is not None:
            declared.meaning = builder(ctx, declared)
            declared.state = "done"


def module_env(ctx: CheckContext, file: File, name: str) -> Env:
    """The scope in which the settings of a declaration are read."""
    return Env(ctx, file, file.prefix + name, "module")


def _model(ctx: CheckContext, declared: Declared) -> ModelDef:
    model: ModelDef = declared.meaning
    env = module_env(ctx, declared.file, declared.ident.name)
    given: Sequence[nodes.Setting] = declared.decl.settings  # type: ignore[attr-defined]
    values, _ = settings.read(env, "model", given)
    model.settings.update(values)  # type: ignore[attr-defined]
    if not any(s.key.name in ("name", *settings.NAMES_OF_MODELS) for s in given):
        _report_missing(ctx, declared.ident, "name", 'write `name: "provider/name"`')
    _check_provider(ctx, given, values.get("name"))
    _check_fallback(ctx, declared, values)
    _check_passed_on(ctx, given, values)
    ctx.program.models[model.name] = model
    return model


def _check_provider(ctx: CheckContext, given: Sequence[nodes.Setting], name: str | None) -> None:
    """Report a model's name without its provider, which no backend can be found for."""
    if name is not None and "/" not in name:
        place = next(s.value.span for s in given if s.key.name == "name")
        message = f'the model name "{name}" has no provider'
        ctx.report("no-provider", message, place, help=f'write `name: "{with_provider(name)}"`')


def _check_fallback(ctx: CheckContext, declared: Declared, values: dict[str, Any]) -> None:
    """Report a model that is its own fallback.

    Two models may name each other, because the fallbacks of a fallback are not tried.
    """
    if declared.meaning.name in values.get("fallback", ()):
        setting = next(s for s in declared.decl.settings if s.key.name == "fallback")  # type: ignore[attr-defined]
        message = f"`{declared.ident.name}` cannot be its own fallback"
        ctx.report("own-fallback", message, setting.value.span, help="name another model")


def _check_passed_on(
    ctx: CheckContext, given: Sequence[nodes.Setting], values: dict[str, Any]
) -> None:
    """Report what lmc controls itself among `extra` and `headers`."""
    for setting in given:
        key = setting.key.name
        if key in PASSED_ON and (problem := misplaced(key, values.get(key) or {})):
            ctx.report("own-parameter", problem[0], setting.value.span, help=problem[1])


def _report_missing(
    ctx: CheckContext, ident: nodes.Ident, key: str, help: str | None = None
) -> None:
    ctx.report("missing-setting", f"`{ident.name}` needs `{key}:`", ident.span, help=help)


# --- signatures ---


def signature(ctx: CheckContext, file: File, decl: Any, *, train: bool = True) -> Signature:
    """The signature of a declaration."""
    params = tuple(_params(ctx, file, decl, train))
    asked = _result(ctx, file, decl, params)
    return Signature(params, types.without_labels(asked), asked)


def _result(ctx: CheckContext, file: File, decl: Any, params: Sequence[Param]) -> Type:
    """The result of a signature; that of a call of a model may have labels from a parameter."""
    expr: nodes.TypeExpr = decl.signature.result
    if getattr(decl, "kind", "") not in ASKING:
        return resolve(ctx, file, expr)
    result = resolve_result(ctx, file, expr)
    sources = {part.options for part in parts(result) if isinstance(part, types.OneOfType)}
    if wrong := [problem for name in sources if (problem := _bad_source(name, params))]:
        help = "write a parameter with the labels: `options: list[str]`"
        ctx.report("bad-one-of", wrong[0], expr.span, help=help)
        return types.ERROR
    return result


def _bad_source(name: str, params: Sequence[Param]) -> str | None:
    """Why a parameter cannot hold the labels of a `one_of`."""
    param = next((p for p in params if p.name == name), None)
    if param is None:
        return f"`{name}` of `one_of({name})` is not a parameter"
    if isinstance(param.type, types.ErrorType):
        return None
    if not isinstance(param.type, types.ListType) or not is_text(param.type.item):
        return f"the labels of `one_of` are a `list[str]`, but `{name}` is `{param.type}`"
    return f"`{name}` holds the labels, so that it cannot be hidden" if param.train else None


def _params(ctx: CheckContext, file: File, decl: Any, train: bool) -> Iterator[Param]:
    seen: dict[str, nodes.Ident] = {}
    for param in decl.signature.params:
        first = seen.setdefault(param.name.name, param.name)
        if first is not param.name:
            message = f"the parameter `{param.name.name}` is declared twice"
            ctx.report("duplicate-name", message, param.name.span, Label(first.span, "first here"))
            continue
        yield _param(ctx, file, param, decl, train)


def _param(ctx: CheckContext, file: File, param: nodes.ParamDecl, decl: Any, train: bool) -> Param:
    type = resolve(ctx, file, param.type)
    value: Any = MISSING
    if param.default is not None:
        value = default(ctx, file, param.default, type, param.name, decl.name.name)
    if param.train:
        _check_train(ctx, param, train)
    note = param.note.value if param.note else ""
    return Param(param.name.name, type, value, param.train, param.name.span, note)


def _check_train(ctx: CheckContext, param: nodes.ParamDecl, allowed: bool) -> None:
    if not allowed:
        message = "`train` is allowed only on parameters of modules and pipelines"
        ctx.report("misplaced-train", message, param.span)
    elif param.default is None:
        ctx.report(
            "train-default",
            f"the `train` parameter `{param.name.name}` needs a default",
            param.name.span,
            help="the parameter is hidden after deployment, and the module then gets the default",
        )


def _check_described(ctx: CheckContext, decl: nodes.ModuleDecl, made: Signature) -> None:
    """A prompt writes a record out wherever its type mentions it, which has a limit."""
    exprs = [param.type for param in decl.signature.params]
    for type, expr in zip(
        [*(p.type for p in made.params), made.result], [*exprs, decl.signature.result]
    ):
        if written_size(type) > MOST_PARTS:
            message = f"`{type}` written out has more than {MOST_PARTS:,} parts"
            help = "no prompt can describe it: keep large parts apart, or as `json`"
            ctx.report("type-too-large", message, expr.span, help=help)


# --- definitions ---


def _tool(ctx: CheckContext, declared: Declared) -> ToolDef:
    decl: nodes.ToolDecl = declared.decl  # type: ignore[assignment]
    file, name = declared.file, declared.file.prefix + declared.ident.name
    values, _ = settings.read(module_env(ctx, file, decl.name.name), "tool", decl.settings)
    if is_server(decl.target.value):
        check_server(ctx, decl.target)
    else:
        check_target(ctx, decl.target, methods=True)
        _check_of_function(ctx, decl, values)
    _check_effect(ctx, decl, values)
    doc = decl.doc.text if decl.doc else ""
    if decl.signature is None:
        made = any_tool(decl.name.span)
    else:
        made = signature(ctx, file, decl, train=False)
    _check_episode(ctx, decl, values, made)
    server = decl.signature is None
    tool = ToolDef(name, decl.span, made, decl.target.value, values, doc, server)
    ctx.program.tools[name] = tool
    return tool


def _check_of_function(ctx: CheckContext, decl: nodes.ToolDecl, values: dict[str, Any]) -> None:
    """Report what only a tool of a server may have or lack."""
    if decl.signature is None:
        message = f"the tool `{decl.name.name}` needs parameters and a result"
        help = 'write `(name: T) -> T`; only a server, `from "mcp:…"`, may leave them out'
        ctx.report("bad-target", message, decl.name.span, help=help)
    for setting in decl.settings:
        if setting.key.name in OF_SERVERS:
            message = f"`{setting.key.name}` is for tools of servers, and this is a Python function"
            ctx.warn("idle-setting", message, setting.key.span, help="remove it")


def _check_effect(ctx: CheckContext, decl: nodes.ToolDecl, values: Mapping[str, Any]) -> None:
    """Report settings that contradict `effect: true`: each call is made exactly once."""
    if not values.get("effect"):
        return
    for setting in decl.settings:
        if (key := setting.key.name) in settings.TWICE and values.get(key):
            message = (
                f"`{key}` says that {settings.TWICE[key]}, but a call with an effect is made once"
            )
            help = f"remove `{key}`, or `effect`"
            ctx.report("contradicts-effect", message, setting.span, help=help)


def _check_episode(
    ctx: CheckContext, decl: nodes.ToolDecl, values: Mapping[str, Any], made: Signature
) -> None:
    """Check that the last parameter of an episode is the list of its actions."""
    if "episode" not in values:
        return
    for setting in decl.settings:
        if (key := setting.key.name) in ("effect", *settings.TWICE) and values.get(key):
            message = f"an episode takes no `{key}`: it is what its actions make of it"
            ctx.report("bad-episode", message, setting.span, help=f"remove `{key}`")
    if is_server(decl.target.value):
        message = "an episode is made by a Python class, not by a server"
        ctx.report("bad-episode", message, decl.target.span, help='`from "package.module:Class"`')
    elif "." in decl.target.value.partition(":")[2]:
        message = "an episode is made by a class, not by a method of it"
        ctx.report("bad-episode", message, decl.target.span, help='`from "package.module:Class"`')
    params = made.params
    last = params[-1].type if params else None
    if not isinstance(last, types.ListType | types.ErrorType):
        message = "the last parameter of an episode is the list of the actions so far"
        place = params[-1].span if params else decl.name.span
        ctx.report("bad-episode", message, place, help="such as `actions: list[str]`")


def check_target(ctx: CheckContext, target: nodes.String, *, methods: bool = False) -> None:
    """Check that a target has the form `pkg.mod:fn`, or `pkg.mod:Class.method` where it may.

    It is imported at run time, not here.
    """
    module, colon, function = target.value.partition(":")
    parts = function.split(".") if methods else [function]
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *parts]):
        message = f'"{target.value}" does not name a Python function'
        ctx.report(
            "bad-target", message, target.span, help='write `from "package.module:function"`'
        )


def _module(ctx: CheckContext, declared: Declared) -> ModuleDef:
    decl: nodes.ModuleDecl = declared.decl  # type: ignore[assignment]
    file, name = declared.file, declared.file.prefix + declared.ident.name
    made = signature(ctx, file, decl)
    _check_described(ctx, decl, made)
    env = module_env(ctx, file, decl.name.name)
    values, exprs = settings.read(env, decl.kind, decl.settings)
    module = ModuleDef(
        name,
        decl.span,
        decl.kind,
        made,
        decl.doc.text if decl.doc else None,
        decl.doc.frozen if decl.doc else False,
        values,
        exprs,
        by=_by(decl, exprs),
        subject=_subject(ctx, decl, made, exprs),
    )
    ctx.program.modules[name] = module
    return module


def _by(decl: nodes.ModuleDecl, exprs: dict[str, nodes.Expr]) -> Any:
    """How a vote decides: the values of `ModuleDef.by`."""
    if decl.kind != "vote":
        return ()
    match exprs.get("by"):
        case None:
            return "model" if decl.doc else ()
        case nodes.String(value="value"):
            return ()
        case nodes.Selector(name=name):
            return (name.name,)
        case nodes.ListLit(items=items) if all(isinstance(i, nodes.Selector) for i in items):
            return tuple(i.name.name for i in items)  # type: ignore[attr-defined]
        case nodes.String(value=word) if word in WAYS_TO_VOTE:
            return word
    return "expr"


def _subject(
    ctx: CheckContext, decl: nodes.ModuleDecl, made: Signature, exprs: dict[str, nodes.Expr]
) -> str | None:
    if decl.kind != "critique":
        return None
    names = [p.name for p in made.params]
    match exprs.pop("subject", None):
        case nodes.Var(name=name) as var if name in names:
            ctx.use(var.span, made.params[names.index(name)].span)
            return name
        case None:
            return _implied_subject(ctx, decl, made)
        case expr:
            message = f"`subject` must name a parameter of `{decl.name.name}`"
            shown = ", ".join(f"`{n}`" for n in names)
            ctx.report(
                "bad-subject", message, expr.span, help=(names and f"it has {shown}") or None
            )
    return None


def _implied_subject(ctx: CheckContext, decl: nodes.ModuleDecl, made: Signature) -> str | None:
    names = [p.name for p in made.params]
    records = [p.name for p in made.params if isinstance(required(p.type), types.RecordType)]
    if "draft" in names:
        return "draft"
    found = names if len(names) == 1 else records
    if len(found) == 1:
        return found[0]
    if not any(isinstance(p.type, types.ErrorType) for p in made.params):
        message = f"it is not clear which parameter `{decl.name.name}` judges"
        ctx.report("bad-subject", message, decl.name.span, help="write `subject: name`")
    return None


def _pipeline(ctx: CheckContext, declared: Declared) -> PipelineDef:
    decl: nodes.PipelineDecl = declared.decl  # type: ignore[assignment]
    name = declared.file.prefix + decl.name.name
    made = signature(ctx, declared.file, decl)
    doc = decl.body.doc.text if decl.body.doc else ""
    pipeline = PipelineDef(name, decl.span, made, doc, decl.body)
    ctx.program.pipelines[name] = pipeline
    return pipeline


def _metric(ctx: CheckContext, declared: Declared) -> MetricDef:
    decl: nodes.MetricDecl = declared.decl  # type: ignore[assignment]
    name = declared.file.prefix + decl.name.name
    made = signature(ctx, declared.file, decl, train=False)
    if decl.target is not None:
        check_target(ctx, decl.target)
    metric = MetricDef(name, decl.span, made, decl.body, decl.target.value if decl.target else None)
    ctx.program.metrics[name] = metric
    return metric


def _dataset(ctx: CheckContext, declared: Declared) -> Any:
    decl: nodes.DatasetDecl = declared.decl  # type: ignore[assignment]
    name = declared.file.prefix + decl.name.name
    row = resolve(ctx, declared.file, decl.row)
    env = module_env(ctx, declared.file, decl.name.name)
    values, exprs = settings.read(env, "dataset", decl.settings)
    if MADE in exprs:
        values[MADE] = None  # is read when all modules are known
    elif not any(s.key.name == "source" for s in decl.settings):
        _report_missing(ctx, decl.name, "source", 'write `source: "rows.jsonl"`')
    for setting in decl.settings:
        if setting.key.name in ("over", "where", "n") and MADE not in exprs:
            message = f"`{setting.key.name}` is of rows that a program makes"
            help = "write `from: invent(seed)` in place of `source`"
            ctx.report("bad-made-rows", message, setting.key.span, help=help)
    if not isinstance(row, types.RecordType):
        if not isinstance(row, types.ErrorType):
            ctx.report(
                "row-not-record",
                f"the row type must be a record, but `{row}` is not one",
                decl.row.span,
            )
        return types.ERROR
    _read_columns(env, row, exprs.get("columns"), values)
    _read_split(env, exprs.get("split"), values)
    dataset = DatasetDef(name, decl.span, row, values)
    ctx.program.datasets[name] = dataset
    return dataset


def _read_columns(
    env: Env, row: types.RecordType, expr: nodes.Expr | None, values: dict[str, Any]
) -> None:
    spec = settings.group({f.name: settings.TEXT for f in row.fields})
    if expr is not None:
        values["columns"] = settings.value_of(env, expr, spec, "columns")
        for pair in expr.pairs if isinstance(expr, nodes.ObjectLit) else ():
            use_member(env, row, pair.key)


def _read_split(env: Env, expr: nodes.Expr | None, values: dict[str, Any]) -> None:
    if expr is None:
        return
    parts = settings.value_of(env, expr, settings.SPLIT, "split")
    if parts is types.ERROR:
        return
    shares = [part for part in parts.values() if isinstance(part, float)]
    if shares and (len(shares) < len(parts) or sum(shares) > 1.0 + 1e-9):
        message = "the parts of a split must be all counts, or all shares that add up to at most 1"
        env.ctx.report("bad-split", message, expr.span)
    values["split"] = parts


def _store(ctx: CheckContext, declared: Declared) -> Any:
    decl: nodes.StoreDecl = declared.decl  # type: ignore[assignment]
    record = resolve(ctx, declared.file, decl.record)
    env = module_env(ctx, declared.file, decl.name.name)
    return define_store(ctx, declared, record, env)


_BUILDERS: dict[type, Callable[[CheckContext, Declared], Any]] = {
    nodes.ModelDecl: _model,
    nodes.ToolDecl: _tool,
    nodes.ModuleDecl: _module,
    nodes.PipelineDecl: _pipeline,
    nodes.MetricDecl: _metric,
    nodes.DatasetDecl: _dataset,
    nodes.StoreDecl: _store,
}
