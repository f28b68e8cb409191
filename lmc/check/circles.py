"""Types that mention themselves: which do, and how a bound on their depth unrolls them.

The records of a circle share one bound, which one of them declares. So many of them may stand in
one another. Each gets a type for each level; what stands beyond the last level has no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from lmc import types
from lmc.check.scope import CheckContext, Declared
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import NeverType, Type

MOST_DEPTH = 16
Mention = tuple[Declared, nodes.Ident | nodes.Var]
Mentioned = Callable[[Declared], Iterator[Mention]]


def circles(declared: Sequence[Declared], mentioned: Mentioned) -> list[list[Declared]]:
    """Groups of types that mention each other, each group behind those that it mentions.

    A type that mentions none of those that mention it is a group of its own. This does not recurse.
    Source: Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1(2), 1972.
    """
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_: list[Declared] = []
    closed: set[int] = set()
    found: list[list[Declared]] = []

    def enter(one: Declared) -> tuple[Declared, Iterator[Mention]]:
        number[id(one)] = lowest[id(one)] = len(number)
        open_.append(one)
        return one, mentioned(one)

    for first in declared:
        path = [enter(first)] if id(first) not in number else []
        while path:
            one, rest = path[-1]
            for other, _ in rest:
                if id(other) not in number:
                    path.append(enter(other))
                    break
                if id(other) not in closed:
                    lowest[id(one)] = min(lowest[id(one)], number[id(other)])
            else:
                path.pop()
                if path:
                    around = id(path[-1][0])
                    lowest[around] = min(lowest[around], lowest[id(one)])
                if lowest[id(one)] == number[id(one)]:
                    group = open_[open_.index(one) :]
                    del open_[-len(group) :]
                    closed.update(map(id, group))
                    found.append(group)
    return found


def bound_of(ctx: CheckContext, group: Iterable[Declared]) -> int | None:
    """The depth that the records of a group declare; None if none does. A wrong one counts as 1."""
    bound: tuple[nodes.Depth, Declared] | None = None
    wrong = False
    for one in group:
        depth = one.decl.depth if isinstance(one.decl, nodes.RecordDecl) else None
        if depth is None:
            continue
        if not _is_depth(ctx, depth):
            wrong = True
            continue
        if bound is not None and bound[0].bound != depth.bound:
            message = (
                f"`{bound[1].ident.name}` and `{one.ident.name}` contain each other,"
                " so they have one depth"
            )
            ctx.report("bad-depth", message, depth.span, Label(bound[0].span, "declared here"))
        bound = bound or (depth, one)
    if bound is None:
        return 1 if wrong else None
    return int(bound[0].bound)


def _is_depth(ctx: CheckContext, depth: nodes.Depth) -> bool:
    help = f"write `depth: 3`, a whole number from 1 to {MOST_DEPTH}"
    if depth.key.name != "depth":
        message = f"a record has no setting `{depth.key.name}`"
        ctx.report("bad-depth", message, depth.key.span, help=help)
    elif not isinstance(depth.bound, int) or not 1 <= depth.bound <= MOST_DEPTH:
        message = f"the depth must be a whole number from 1 to {MOST_DEPTH}"
        ctx.report("bad-depth", message, depth.span, help=help)
    else:
        return True
    return False


def unroll(
    ctx: CheckContext,
    group: Sequence[Declared],
    bound: int,
    define: Callable[[Declared, int, int], Type],
    ordered: Sequence[Declared],
) -> None:
    """Give the types of a circle their meaning, level by level from the lowest one on.

    `define` makes the type of one at a height from what the others mean now. `ordered` are those
    that are no records, each behind those that it mentions. What is wrong is reported once.
    """
    records = [one for one in group if isinstance(one.decl, nodes.RecordDecl)]
    for one in records:
        one.meaning, one.state = NeverType(one.ident.name), "done"
    before = len(ctx.diagnostics)
    reports = []
    for height in range(bound + 1):
        if height:
            made = [define(one, height, bound) for one in records]
            for one, type in zip(records, made):
                one.meaning = type
        for one in ordered:
            one.state = "new"
            one.meaning, one.state = define(one, height, bound), "done"
        reports.append(ctx.diagnostics[before:])
        del ctx.diagnostics[before:]
    ctx.diagnostics += next((some for some in reversed(reports) if some), [])
    for one in records:
        if isinstance(one.meaning, NeverType):
            _report_endless(ctx, one)
            one.meaning = types.ERROR


def _report_endless(ctx: CheckContext, one: Declared) -> None:
    message = f"`{one.ident.name}` has no values: each would need another one in it, without an end"
    help = "make the field that needs it optional, or a list"
    ctx.report("endless-type", message, one.ident.span, help=help)
