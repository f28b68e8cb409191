"""Checks datasets whose rows a program makes: `from`, `over`, `where` and `n`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.check import settings
from lmc.check.calls import bind, result_type, signature_slots
from lmc.check.program import MISSING, DatasetDef, ModuleDef, PipelineDef
from lmc.check.scope import CheckContext, Env, File
from lmc.check.subtyping import is_subtype, show
from lmc.frozen import frozen
from lmc.syntax import nodes
from lmc.types import BOOL, ListType

MADE = "from"  # the setting that such a dataset has, and others have not
_CALLED = (nodes.ModuleDecl, nodes.PipelineDecl)
_ONLY_FILES = ("source", "columns", "split", "seed")


@frozen
class Making:
    """How rows are made: by what, of which rows, kept if, and how many.

    `inputs` are the fields of the rows of `over` by the parameters of `target`. Without `over`
    these are the train rows. `where` takes a row by the parameter `subject`.
    """

    target: str
    inputs: Mapping[str, str]
    over: str | None
    where: str | None
    subject: str
    n: int


def check_made(ctx: CheckContext, file: File, decl: nodes.DatasetDecl, dataset: DatasetDef) -> None:
    """Check a dataset that has `from`, and put how its rows are made into its settings."""
    given = {setting.key.name: setting.value for setting in decl.settings}
    env = Env(ctx, file, f"{file.prefix}{decl.name.name}", "constant", tunable=False)
    for name in _ONLY_FILES:
        if name in given:
            message = f"`{decl.name.name}` has rows that a program makes, so it has no `{name}`"
            help = "they are all for training" if name == "split" else None
            ctx.report("bad-made-rows", message, given[name].span, help=help)
    if "n" not in given:
        message = f"`{decl.name.name}` needs `n:`"
        ctx.report("missing-setting", message, decl.name.span, help="write how many: `n: 200`")
    over = _over(env, given.get("over"))
    made = _call(env, given[MADE], dataset, over)
    where, subject = _where(env, given.get("where"), dataset)
    if made is not None:
        target, inputs = made
        source = over.name if over else None
        n = dataset.settings.get("n", 1)
        making = Making(target.name, inputs, source, where, subject, n)
        dataset.settings[MADE] = making  # type: ignore[index]  # a dict, until the check is done


def _over(env: Env, expr: nodes.Expr | None) -> DatasetDef | None:
    if expr is None:
        return None
    found = _named(env, expr, nodes.DatasetDecl, "dataset", "over")
    if isinstance(found, DatasetDef) and MADE in found.settings:
        message = "rows are made of rows that a file has"
        env.ctx.report("bad-made-rows", message, expr.span)
        return None
    return found if isinstance(found, DatasetDef) else None


def _named(env: Env, expr: nodes.Expr, decls: Any, what: str, key: str) -> Any:
    if not isinstance(expr, nodes.Var):
        env.ctx.report("name-needed", f"`{key}` must name a {what}", expr.span)
        return None
    declared = settings.named(env, expr, decls, what)
    if declared is None or declared.meaning is None:
        return None
    env.ctx.refer(expr, declared.meaning)
    return declared.meaning


def _call(
    env: Env, expr: nodes.Expr, dataset: DatasetDef, over: DatasetDef | None
) -> tuple[ModuleDef | PipelineDef, dict[str, str]] | None:
    """What makes the rows, and the field that each of its parameters is given."""
    if not isinstance(expr, nodes.Call) or not isinstance(expr.target, nodes.Var):
        message = "`from` must be a call of a module or pipeline"
        env.ctx.report("bad-made-rows", message, expr.span, help="write `from: invent(seed)`")
        return None
    target = _named(env, expr.target, _CALLED, "module or pipeline", MADE)
    if not isinstance(target, ModuleDef | PipelineDef):
        return None
    result = result_type(target)
    item = result.item if isinstance(result, ListType) else result
    if not is_subtype(item, dataset.row):
        message = f"`{target.name}` gives `{show(result)}`, but the rows are `{dataset.row}`"
        env.ctx.report("bad-made-rows", message, expr.span)
    slots = signature_slots(target)
    bound = bind(env, expr.args, slots, target.name, expr.target.span, target.span)
    inputs = {}
    for slot, value in zip(slots, bound):
        if value is None:
            continue
        name = value.name if isinstance(value, nodes.Var) else ""
        field = over.row.get(name) if over else None
        if not name or (over is not None and field is None):
            rows = f"`{over.row}`" if over else "the rows"
            message = f"an argument of `{target.name}` must be a field of {rows}"
            env.ctx.report("bad-made-rows", message, value.span, help="write its name alone")
        elif field is not None and not is_subtype(field.type, slot.type):
            message = f"`{slot.name}` of `{target.name}` is `{show(slot.type)}`, not `{field.type}`"
            env.ctx.report("bad-made-rows", message, value.span)
        inputs[slot.name] = name
    return target, inputs


def _where(env: Env, expr: nodes.Expr | None, dataset: DatasetDef) -> tuple[str | None, str]:
    if expr is None:
        return None, ""
    target = _named(env, expr, _CALLED, "module or pipeline", "where")
    if not isinstance(target, ModuleDef | PipelineDef):
        return None, ""
    params = target.signature.params
    needed = [param for param in params if param.default is MISSING]
    subject = (needed or params)[:1]
    fits = len(needed) <= 1 and subject and is_subtype(dataset.row, subject[0].type)
    if not fits or not is_subtype(result_type(target), BOOL):
        wanted = f"take a `{dataset.row}` and give a bool"
        message = f"`where` must {wanted}, which `{target.name}` does not"
        env.ctx.report("bad-made-rows", message, expr.span)
        return None, ""
    return target.name, subject[0].name
