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
        _visit(ctx, graph, owner, [], done)


def _visit(
    ctx: CheckContext, graph: dict[str, list[Edge]], name: str, path: list[Edge], done: set[str]
) -> None:
    if name in done:
        return
    done.add(name)
    for callee, span in graph.get(name, ()):
        here = [*path, (name, span)]
        names = [owner for owner, _ in here]
        if callee in names:
            _report(ctx, here[names.index(callee) :], span)
        else:
            _visit(ctx, graph, callee, here, done)


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
