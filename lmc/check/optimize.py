"""Checks `optimize`, `metric` and `example`: how a program is to be improved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lmc.check import inference, settings
from lmc.check.annotations import constant
from lmc.check.calls import Slot, bind, result_type, signature_slots
from lmc.check.made_rows import MADE
from lmc.check.narrowing import path_of
from lmc.check.optimizer_options import OptimizerSignature
from lmc.check.program import (
    MISSING,
    DatasetDef,
    ExampleDef,
    MetricDef,
    ModuleDef,
    OptimizeDef,
    PipelineDef,
    Step,
)
from lmc.check.scope import CheckContext, Env, File
from lmc.check.subtyping import is_subtype, show
from lmc.diagnostics import Label, suggestion
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import (
    BOOL,
    FLOAT,
    SCORE,
    STR,
    LiteralType,
    OneOfType,
    OptionalType,
    RecordType,
    Type,
    rebuilt,
    without_labels,
)

METRICS = ("accuracy", "f1", "contains", "numeric", "preference")
_OF_SCORES = {"value": FLOAT, "feedback": STR}  # the fields of rewards that are no modules
_NAMED: Mapping[str, tuple[Any, str]] = {
    "target": ((nodes.ModuleDecl, nodes.PipelineDecl), "module or pipeline"),
    "module": (nodes.ModuleDecl, "module"),
    "dataset": (nodes.DatasetDecl, "dataset"),
}
_TARGETS = (nodes.ModuleDecl, nodes.PipelineDecl)
Target = ModuleDef | PipelineDef


# --- examples ---


def check_example(ctx: CheckContext, file: File, decl: nodes.ExampleDecl) -> None:
    """Check a demonstration and add it to its module."""
    env = Env(ctx, file, f"{file.prefix}example {decl.target.name}", "constant", tunable=False)
    declared = settings.named(env, decl.target, nodes.ModuleDecl, "module")
    module = declared.meaning if declared else None
    if not isinstance(module, ModuleDef) or declared is None:
        return
    before = len(ctx.diagnostics)
    slots = signature_slots(module)
    bound = bind(env, decl.args, slots, decl.target.name, decl.target.span, declared.ident.span)
    inputs = {s.name: _example_input(env, s, e, module) for s, e in zip(slots, bound)}
    why = f"the result of `{decl.target.name}`"
    result = constant(env, decl.result, _asked(module, inputs), why)
    if len(ctx.diagnostics) == before:
        module.examples.append(ExampleDef(inputs, result, decl.span))


def _asked(module: ModuleDef, inputs: Mapping[str, Any]) -> Type:
    """The result of a module for these inputs, which may hold the labels of a `one_of`."""

    def told(part: Type) -> Type:
        labels = inputs.get(part.options) if isinstance(part, OneOfType) else None
        return LiteralType(tuple(dict.fromkeys(labels))) if labels else without_labels(part)

    return rebuilt(module.signature.asked, told)


def _example_input(env: Env, slot: Slot, expr: nodes.Expr | None, module: ModuleDef) -> Any:
    if expr is not None:
        return constant(env, expr, slot.type, f"`{slot.name}` of `{module.name}`")
    param = next(p for p in module.signature.params if p.name == slot.name)
    return None if param.default is MISSING else param.default


# --- metrics ---


def check_metric(ctx: CheckContext, decl: nodes.MetricDecl, metric: MetricDef) -> None:
    """Check the shape of a metric: (gold, pred) -> bool, float, Score or a record of rewards."""
    if len(metric.signature.params) != 2:
        message = f"the metric `{decl.name.name}` needs two parameters: gold row and prediction"
        ctx.report("bad-metric", message, decl.name.span, help="write `(gold: Row, pred: Result)`")
    result = metric.signature.result
    place = decl.signature.result.span
    if isinstance(result, RecordType) and _names_modules(ctx, result):
        _check_rewards(ctx, result, place)
    elif not any(is_subtype(result, wanted) for wanted in (BOOL, FLOAT, SCORE)):
        message = f"a metric must return `bool`, `float` or `Score`, not `{show(result)}`"
        help = "or a record whose fields are named as modules, with the reward of each"
        ctx.report("bad-metric", message, place, help=help)


def _modules(ctx: CheckContext) -> set[str]:
    return {name.rpartition(".")[2] for name in ctx.program.modules}


def _names_modules(ctx: CheckContext, result: RecordType) -> bool:
    return any(f.name in _modules(ctx) for f in result.fields if f.name not in _OF_SCORES)


def _check_rewards(ctx: CheckContext, result: RecordType, place: Span) -> None:
    """Check a record of rewards: a number by module, perhaps with the score and feedback."""
    for own in result.fields:
        wanted = _OF_SCORES.get(own.name, OptionalType(FLOAT))
        if own.name not in _OF_SCORES and own.name not in _modules(ctx):
            message = f"`{result}` has rewards, but `{own.name}` is not a module"
            ctx.report("bad-metric", message, place, help=suggestion(own.name, _modules(ctx)))
        elif not is_subtype(own.type, wanted) and not is_subtype(own.type, BOOL):
            message = f"`{own.name}` of `{result}` must be a `{show(wanted)}`"
            ctx.report("bad-metric", message, place)


# --- optimize ---


def check_optimize(ctx: CheckContext, file: File, decl: nodes.OptimizeDecl) -> None:
    """Check an `optimize` block and add it to the program."""
    env = Env(ctx, file, f"{file.prefix}optimize {decl.target.name}", "constant", tunable=False)
    target = _meaning(env, decl.target, _TARGETS, "module or pipeline")
    values, exprs = settings.read(env, "optimize", decl.settings)
    data = _data(env, exprs.get("data"))
    metric = _metric(env, exprs.get("metric"))
    steps = tuple(_steps(env, exprs.get("steps")))
    keep = _keep(env, exprs.get("keep"))
    if keep is not None:
        values["keep"] = keep
    if guards := list(_guards(env, exprs.get("guards"))):
        values["guards"] = guards
    if not isinstance(target, Target):
        return
    _check_fit(env, decl, target, data, metric, exprs)
    for other in ctx.program.optimizes:
        if other.target == target.name:
            message = f"`{decl.target.name}` already has an `optimize` block"
            ctx.report("duplicate-name", message, decl.span, Label(other.span, "first here"))
    ctx.program.optimizes.append(
        OptimizeDef(
            file.prefix + decl.target.name,
            decl.span,
            target.name,
            data.name if data else None,
            metric.name if isinstance(metric, MetricDef) else metric,
            steps,
            values.pop("budget", {}),
            values,
        )
    )


def _meaning(env: Env, ident: nodes.Ident | nodes.Var, decls: Any, what: str) -> Any:
    declared = settings.named(env, ident, decls, what)
    if declared is not None and isinstance(ident, nodes.Var) and declared.meaning is not None:
        env.ctx.refer(ident, declared.meaning)
    return declared.meaning if declared else None


def _data(env: Env, expr: nodes.Expr | None) -> DatasetDef | None:
    if expr is None:
        return None
    if not isinstance(expr, nodes.Var):
        env.ctx.report("name-needed", "`data` must name a dataset", expr.span)
        return None
    found = _meaning(env, expr, nodes.DatasetDecl, "dataset")
    if isinstance(found, DatasetDef) and MADE in found.settings:
        message = f"the rows of `{expr.name}` are made by a program, and prove nothing"
        help = f"they are for training: `train(rows={expr.name}, …)`"
        env.ctx.report("bad-made-rows", message, expr.span, help=help)
        return None
    return found if isinstance(found, DatasetDef) else None


def _metric(env: Env, expr: nodes.Expr | None) -> MetricDef | str | None:
    """A declared metric, or the name of a built-in one."""
    if expr is None:
        return None
    if not isinstance(expr, nodes.Var):
        env.ctx.report("name-needed", "`metric` must name a metric", expr.span)
        return None
    if expr.name not in env.file.names:
        if expr.name in METRICS:
            return expr.name
        known = [
            *METRICS,
            *(n for n, d in env.file.names.items() if isinstance(d.decl, nodes.MetricDecl)),
        ]
        inference.report_unknown(env, expr.name, expr.span, known, "metric")
        return None
    found = _meaning(env, expr, nodes.MetricDecl, "metric")
    return found if isinstance(found, MetricDef) else None


def _keep(env: Env, expr: nodes.Expr | None) -> list[str] | None:
    """The qualified names of the modules that optimizers must not change."""
    if expr is None:
        return None
    if not isinstance(expr, nodes.ListLit) or not all(isinstance(i, nodes.Var) for i in expr.items):
        env.ctx.report("name-needed", "`keep` must be a list of names of modules", expr.span)
        return None
    found = [
        _meaning(env, i, nodes.ModuleDecl, "module") for i in expr.items if isinstance(i, nodes.Var)
    ]
    return [module.name for module in found if isinstance(module, ModuleDef)]


def _guards(env: Env, expr: nodes.Expr | None) -> Iterator[str]:
    """The names of the metrics and datasets on which the program must not get worse."""
    if expr is None:
        return
    if not isinstance(expr, nodes.ListLit) or not all(isinstance(i, nodes.Var) for i in expr.items):
        message = "`guards` must be a list of names of metrics and datasets"
        env.ctx.report("name-needed", message, expr.span)
        return
    for item in expr.items:
        declared = env.file.names.get(item.name) if isinstance(item, nodes.Var) else None
        is_data = declared is not None and isinstance(declared.decl, nodes.DatasetDecl)
        found = _data(env, item) if is_data else _metric(env, item)
        if found is not None:
            yield found if isinstance(found, str) else found.name


# --- steps ---


def _steps(env: Env, expr: nodes.Expr | None) -> Iterator[Step]:
    if expr is None:
        return
    if not isinstance(expr, nodes.ListLit):
        message = "`steps` must be a list of optimizer calls"
        env.ctx.report("bad-step", message, expr.span, help="write `steps: [bootstrap(demos=4)]`")
        return
    for item in expr.items:
        match item:
            case nodes.Call(target=nodes.Var() as name, args=args):
                step = _step(env, item, name, args)
                if step is not None:
                    yield step
            case _:
                message = "a step must be a call of an optimizer"
                help = f"write `{item.name}()`" if isinstance(item, nodes.Var) else None
                env.ctx.report("bad-step", message, item.span, help=help)


def _step(env: Env, call: nodes.Expr, name: nodes.Var, args: tuple[nodes.Arg, ...]) -> Step | None:
    optimizer = env.ctx.optimizers.get(name.name)
    if optimizer is None:
        message = f"unknown optimizer `{name.name}`"
        help = suggestion(name.name, env.ctx.optimizers)
        env.ctx.report("unknown-optimizer", message, name.span, help=help)
        return None
    kwargs = _step_arguments(env, name, args, optimizer)
    return Step(name.name, kwargs, call.span)


def _step_arguments(
    env: Env, name: nodes.Var, args: tuple[nodes.Arg, ...], optimizer: OptimizerSignature
) -> Mapping[str, Any]:
    slots = [Slot(key, option.type, False) for key, option in optimizer.options.items()]
    bound = bind(env, args, slots, name.name, name.span, None)
    found = {}
    for slot, expr in zip(slots, bound):
        names = optimizer.options[slot.name].names
        if names is not None and isinstance(expr, nodes.Var):
            found[slot.name] = _declared_name(env, expr, names)
        elif expr is not None:
            found[slot.name] = constant(env, expr, slot.type, f"`{slot.name}` of `{name.name}`")
    return found


def _declared_name(env: Env, expr: nodes.Var, names: str) -> str | None:
    """The qualified name of a declaration that an option names without quotes."""
    if names == "metric":
        metric = _metric(env, expr)
        return metric.name if isinstance(metric, MetricDef) else metric
    decls, what = _NAMED[names]
    found = _meaning(env, expr, decls, what)
    return getattr(found, "name", None)


# --- do target, data and metric fit? ---


def _check_fit(
    env: Env,
    decl: nodes.OptimizeDecl,
    target: Target,
    data: DatasetDef | None,
    metric: MetricDef | str | None,
    exprs: Mapping[str, nodes.Expr],
) -> None:
    if data is not None:
        _check_inputs(env, decl, target, data)
    if not isinstance(metric, MetricDef) or len(metric.signature.params) != 2:
        return
    gold, pred = (param.type for param in metric.signature.params)
    place = exprs["metric"].span
    if data is not None and not is_subtype(data.row, gold):
        _report_metric(
            env, place, f"`{metric.name}` takes rows of `{show(gold)}`, not `{data.row}`"
        )
    result = result_type(target)
    if not is_subtype(result, pred):
        _report_metric(
            env, place, f"`{metric.name}` judges values of `{show(pred)}`, not `{show(result)}`"
        )
    _warn_leak(env, decl, target, metric)


def _report_metric(env: Env, place: Any, message: str) -> None:
    env.ctx.report("metric-mismatch", message, place)


def _check_inputs(env: Env, decl: nodes.OptimizeDecl, target: Target, data: DatasetDef) -> None:
    """Check that each parameter without a default has a row field of its name and type."""
    for param in target.signature.params:
        field = data.row.get(param.name)
        if field is None:
            if param.default is MISSING:
                _report_input(env, decl, param.span, f"`{data.row}` has no field `{param.name}`")
        elif not is_subtype(field.type, param.type):
            problem = f"`{param.name}` is `{param.type}`, but in `{data.row}` it is `{field.type}`"
            _report_input(env, decl, param.span, problem)


def _report_input(env: Env, decl: nodes.OptimizeDecl, place: Any, problem: str) -> None:
    message = f"the rows do not fit `{decl.target.name}`: {problem}"
    env.ctx.report("row-mismatch", message, decl.target.span, Label(place, "this parameter"))


def _warn_leak(env: Env, decl: nodes.OptimizeDecl, target: Target, metric: MetricDef) -> None:
    """Warn if the target gets the field that the metric compares its result with."""
    if metric.body is None:
        return
    gold, pred = (param.name for param in metric.signature.params)
    shown = {p.name: p for p in target.signature.params if not p.train}
    for name in _compared(metric.body, gold, pred):
        if name in shown:
            compared = f"the field that `{metric.name}` compares with the result"
            message = f"`{decl.target.name}` gets `{name}`, {compared}"
            place = Label(shown[name].span, "the correct answer comes in here")
            env.ctx.warn("label-leak", message, decl.target.span, place)


def _compared(node: object, gold: str, pred: str) -> Iterator[str]:
    """The gold fields that a metric compares with the prediction by `==`."""
    todo = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, nodes.Binary) and node.op == "==":
            sides = [path_of(node.left) or (), path_of(node.right) or ()]
            for one, other in (sides, sides[::-1]):
                if one[:1] == (gold,) and other[:1] == (pred,) and len(one) > 1:
                    yield one[1]
        if isinstance(node, nodes.SyntaxNode):
            names = [name for name in node.__dataclass_fields__ if name != "span"]
            todo += [getattr(node, name) for name in reversed(names)]
        elif isinstance(node, tuple):
            todo += reversed(node)
