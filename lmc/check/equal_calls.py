"""Warns where a list asks a module again with the same inputs: equal calls have one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lmc.check.program import Def, ModuleDef, PipelineDef, ToolDef, options_of
from lmc.check.scope import CheckContext
from lmc.syntax import nodes

_HELP = (
    "equal calls have one answer, at any temperature: `[f(x) for 3]` draws several samples, or {};"
    " if one answer is meant, bind it with `let` before the list"
)


def warn_of_equal_calls(ctx: CheckContext) -> None:
    """Warn of comprehensions and lists whose items are one and the same answer of a module."""
    asking = _Asking(ctx)
    for tree in ctx.program.trees:
        for decl in tree.decls:
            if isinstance(decl, nodes.TestDecl):
                continue
            for node, _ in _walk(decl):
                if isinstance(node, nodes.Comprehension):
                    _check_comprehension(ctx, node, asking)
                elif isinstance(node, nodes.Samples):
                    _check_samples(ctx, node, asking)
                elif isinstance(node, nodes.ListLit):
                    _check_list(ctx, node, asking)


def _check_comprehension(ctx: CheckContext, expr: nodes.Comprehension, asking: _Asking) -> None:
    for call in _same_for_each_item(expr, asking):
        name = call.target.span.text
        given = expr.names[0].name
        message = f"`{name}` gets the same inputs for every `{given}`, so every answer is the same"
        help = _HELP.format(f"pass `{given}` to `{name}`")
        ctx.warn("equal-calls", message, call.span, expr.names[0].span, help=help)


def _same_for_each_item(expr: nodes.Comprehension, asking: _Asking) -> Iterator[nodes.Call]:
    """The outermost calls that ask a model and whose arguments do not depend on the item."""
    variables = {name.name for name in expr.names}
    walked = list(_walk(expr.item))
    depends = [isinstance(node, nodes.Var) and node.name in variables for node, _ in walked]
    for i in range(len(walked) - 1, 0, -1):
        depends[walked[i][1]] |= depends[i]
    inside = [False] * len(walked)  # another call that asks, or another comprehension
    for i, (node, parent) in enumerate(walked):
        inside[i] = parent >= 0 and inside[parent]
        if isinstance(node, nodes.Call) and asking.asks(node):
            if not inside[i] and not depends[i] and asking.is_kept(node):
                yield node
            inside[i] = True
        inside[i] |= isinstance(node, nodes.Comprehension)


def _check_samples(ctx: CheckContext, expr: nodes.Samples, asking: _Asking) -> None:
    calls = [node for node, _ in _walk(expr.item) if isinstance(node, nodes.Call)]
    if not any(asking.asks(call) or not asking.is_steady(call) for call in calls):
        message = "these samples are all the same: nothing in them asks a model"
        help = "draw samples of a call of a module: `[f(x) for 3]`"
        ctx.warn("idle-samples", message, expr.item.span, help=help)


def _check_list(ctx: CheckContext, expr: nodes.ListLit, asking: _Asking) -> None:
    calls = [item for item in expr.items if isinstance(item, nodes.Call) and asking.asks(item)]
    times = Counter(calls)
    for call, count in times.items():
        if count > 1 and asking.is_steady(call):
            first, second = [item for item in calls if item == call][:2]
            name = call.target.span.text
            message = f"{count} items of this list are one answer: `{name}` gets the same inputs"
            help = _HELP.format(f"give `{name}` different inputs")
            ctx.warn("equal-calls", message, second.span, first.span, help=help)


class _Asking:
    """Which calls ask a model, and whether equal ones of them have one answer."""

    def __init__(self, ctx: CheckContext) -> None:
        self._ctx = ctx
        self._reached: dict[str, list[Def]] = {}

    def asks(self, call: nodes.Call) -> bool:
        """Whether a call reaches a module."""
        return any(isinstance(target, ModuleDef) for target in self._targets(call))

    def is_steady(self, call: nodes.Call) -> bool:
        """Whether no tool can make a difference between equal calls."""
        return not any(
            (isinstance(target, ToolDef) and not _is_pure(target))
            or (isinstance(target, ModuleDef) and target.kind == "agent")
            for target in self._targets(call)
        )

    def is_kept(self, call: nodes.Call) -> bool:
        """Whether equal calls have one answer also where they are not merged."""
        modules = (target for target in self._targets(call) if isinstance(target, ModuleDef))
        return self.is_steady(call) and all(map(self._is_cached, modules))

    def _is_cached(self, module: ModuleDef) -> bool:
        program = self._ctx.program
        model = module.settings.get("model", program.default.get("model"))
        used = (program.models[name] for name in options_of(model) if name in program.models)
        places = [module.settings, *(model.settings for model in used), program.default]
        said = [option for s in places if "cache" in s for option in options_of(s["cache"])]
        return False not in said and "off" not in said

    def _targets(self, call: nodes.Call) -> Sequence[Def]:
        """All that a call reaches, itself first."""
        target = self._ctx.program.referents.get(id(call.target))
        if isinstance(target, ToolDef):
            return (target,)
        if not isinstance(target, ModuleDef | PipelineDef):
            return ()
        if target.name not in self._reached:
            found: dict[str, Def] = {target.name: target}
            todo = [target.name]
            while todo:
                for callee, _ in self._ctx.calls.get(todo.pop(), ()):
                    if callee.name not in found:
                        found[callee.name] = callee
                        todo.append(callee.name)
            self._reached[target.name] = list(found.values())
        return self._reached[target.name]


def _is_pure(tool: ToolDef) -> bool:
    return bool(tool.settings.get("pure") or tool.settings.get("cache"))


def _walk(root: nodes.SyntaxNode) -> Iterator[tuple[nodes.SyntaxNode, int]]:
    """All nodes under one, it first, each with the place of its parent in this order (-1: none).

    A chain of operators may be longer than Python recurses.
    """
    todo, count = [(root, -1)], 0
    while todo:
        node, parent = todo.pop()
        yield node, parent
        todo += [(child, count) for child in nodes.children(node)]
        count += 1
