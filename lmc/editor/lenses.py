"""Code lenses: what one can do with a declaration by a click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lmc.editor.describing import number
from lmc.editor.inspected import Inspected
from lmc.frozen import frozen
from lmc.source import Span
from lmc.syntax import nodes

RUN_TEST, SHOW_PROMPT, RUN, GRAPH = "lmc.runTest", "lmc.showPrompt", "lmc.run", "lmc.graph"
EXPLAIN = "lmc.explain"
COMMANDS = (RUN_TEST, SHOW_PROMPT, RUN, GRAPH, EXPLAIN)


@frozen
class Lens:
    """A title over a place; a click runs a command. Without one, it only tells."""

    title: str
    command: str
    arguments: tuple[Any, ...]
    span: Span


def lenses(seen: Inspected, uri: str) -> Iterator[Lens]:
    """The lenses of the entry file. A program with mistakes has none that run it."""
    checked = seen.inspection.checked
    if checked is None:
        return
    for decl in seen.tree.decls:
        match decl:
            case nodes.TestDecl(title=title):
                yield Lens("run test", RUN_TEST, (uri, title.value), title.span)
            case nodes.ModuleDecl(name=ident) | nodes.PipelineDecl(name=ident):
                yield from _of_callable(seen, uri, ident)
            case nodes.ExampleDecl(target=target):
                inputs = _example_inputs(seen, decl)
                if inputs is not None:
                    yield Lens("show prompt", SHOW_PROMPT, (uri, target.name, inputs), target.span)
                    arguments = (uri, target.name, inputs)
                    yield Lens("run with these inputs", RUN, arguments, target.span)


def _of_callable(seen: Inspected, uri: str, ident: nodes.Ident) -> Iterator[Lens]:
    name = ident.name
    yield Lens("show prompt", SHOW_PROMPT, (uri, name), ident.span)
    yield Lens("run with these inputs", RUN, (uri, name), ident.span)
    yield Lens("graph", GRAPH, (uri, name), ident.span)


def cost_title(seen: Inspected, name: str) -> str | None:
    """The worst case of a module or pipeline in a few words."""
    found = seen.costs.get(name)
    if found is None:
        return None
    return f"at most {number(found.calls)} model call{'s' * (found.calls != 1)}"


def _example_inputs(seen: Inspected, decl: nodes.ExampleDecl) -> dict[str, Any] | None:
    """The inputs of an example of the entry file's own module, as JSON."""
    module = seen.inspection.program.modules.get(decl.target.name)
    found = next((e for e in module.examples if e.span == decl.span), None) if module else None
    return dict(found.inputs) if found is not None else None
