"""Where effects are refused: in what is drawn several times to choose one of.

A vote draws samples and a search tries steps; all but one of them are thrown away. What a sample
did in the world, or kept in a store, cannot be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator

from lmc.check.program import Def, ModuleDef, StoreDef, ToolDef
from lmc.check.scope import CheckContext
from lmc.diagnostics import Label
from lmc.source import Span
from lmc.syntax import nodes

_DRAWS = {"vote": "draws several samples", "search": "tries several steps"}


def check_effects(ctx: CheckContext) -> None:
    """Report effects in the samples of votes and searches, and warn of those in tests."""
    for name, module in ctx.program.modules.items():
        if module.kind in _DRAWS:
            for acting, way in _reached(ctx, name):
                _report(ctx, module, acting, way)
                break
    for tree in ctx.program.trees:
        for decl in tree.decls:
            if isinstance(decl, nodes.TestDecl):
                _warn_of_test(ctx, decl)


def _reached(
    ctx: CheckContext, start: str, without: frozenset[str] = frozenset()
) -> Iterator[tuple[Def, Span]]:
    """The stores that are written and the tools with effects, each with the call that leads there.

    The call is the one in `start`.
    """
    seen = {start, *without}
    todo: list[tuple[str, Span | None]] = [(start, None)]
    while todo:
        name, way = todo.pop()
        for store, place in ctx.keeps.get(name, ()):
            yield store, way or place
        for callee, span in ctx.calls.get(name, ()):
            if callee.name in seen:
                continue
            if isinstance(callee, ToolDef) and callee.settings.get("effect"):
                yield callee, way or span
            seen.add(callee.name)
            todo.append((callee.name, way or span))


def _report(ctx: CheckContext, module: ModuleDef, acting: Def, way: Span) -> None:
    what = "keeps in" if isinstance(acting, StoreDef) else "has the effect of"
    message = (
        f"`{module.name}` {_DRAWS[module.kind]}, and each of them {what} `{acting.name}`,"
        " whichever is chosen"
    )
    help = f"do it with the result: after the {module.kind}, in a pipeline"
    ctx.report("effect-in-sample", message, way, Label(acting.span, "declared here"), help=help)


def _warn_of_test(ctx: CheckContext, decl: nodes.TestDecl) -> None:
    stubs = [s.target for s in decl.body.stmts if isinstance(s, nodes.Stub)]
    found = (ctx.program.referents.get(id(target)) for target in stubs)
    stubbed = frozenset(target.name for target in found if isinstance(target, Def))
    owners = [name for name in ctx.calls if name.endswith(f"test {decl.title.value}")]
    for owner in owners:
        for acting, way in _reached(ctx, owner, stubbed):
            if isinstance(acting, ToolDef):
                message = f"this test has the effect of `{acting.name}` each time that it runs"
                help = f"write `stub {acting.name} -> …`"
                ctx.warn("effect-in-test", message, way, help=help)
                break
