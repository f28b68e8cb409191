"""Checks that no module or pipeline calls itself, directly or through others."""

from __future__ import annotations

from lmc.check.scope import CheckContext
from lmc.diagnostics import Label
from lmc.source import Span

Edge = tuple[str, Span]


def check_calls(ctx: CheckContext) -> None:
    """Report each cycle of calls once, at the call that closes it."""
    graph = {
        owner: [(callee.name, span) for callee, span in calls] for owner, calls in ctx.calls.items()
    }
    done: set[str] = set()
    for owner in graph:
        if owner not in done:
            _visit(ctx, graph, owner, done)


def _visit(ctx: CheckContext, graph: dict[str, list[Edge]], start: str, done: set[str]) -> None:
    """Walk all that one owner calls; `path` is the way to where the walk is."""
    path: dict[str, Span] = {}  # each owner on the way, with its call that is followed
    todo = [(start, iter(graph.get(start, ())))]
    done.add(start)
    while todo:
        name, calls = todo[-1]
        for callee, span in calls:
            path[name] = span
            if callee in path:
                way = list(path.items())
                _report(ctx, way[list(path).index(callee) :], span)
            elif callee not in done:
                done.add(callee)
                todo.append((callee, iter(graph.get(callee, ()))))
                break
        else:
            todo.pop()
            path.pop(name, None)


def _report(ctx: CheckContext, cycle: list[Edge], closing: Span) -> None:
    way = " -> ".join(f"`{name}`" for name in [*(n for n, _ in cycle), cycle[0][0]])
    others = [Label(span, f"call in `{name}`") for name, span in cycle[:-1]]
    ctx.report(
        "call-cycle",
        f"these calls form a cycle: {way}",
        closing,
        *others,
        help="use a bounded `loop` to repeat a step",
    )
