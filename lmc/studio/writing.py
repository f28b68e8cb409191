"""Writing a program: what the language server knows, asked by the page with the whole text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types as lsp

from lmc.diagnostics import LmcError
from lmc.editor.editor import Editor
from lmc.editor.inspected import Inspected
from lmc.ir.graph import ProgramGraph
from lmc.ir.svg import draw_view
from lmc.ir.view import Box, Cluster, View, view
from lmc.serve.openapi import inputs_schema
from lmc.syntax import nodes
from lmc.values import json_schema

T = TypeVar("T")
MOST_SUGGESTIONS = 60


class Writing:
    """Answers about one text at a time, in a thread, so that the server goes on."""

    def __init__(self) -> None:
        self._editor = Editor()
        self._lock = asyncio.Lock()
        self._version = 0

    async def ask(self, path: Path, text: str, way: Callable[[Editor, str], T]) -> T:
        """Ask the editor something about a text that takes the place of a file."""
        async with self._lock:
            return await asyncio.to_thread(self._asked, path, text, way)

    def _asked(self, path: Path, text: str, way: Callable[[Editor, str], T]) -> T:
        uri = path.as_uri()
        self._version += 1
        known = self._editor.texts.buffers.get(self._editor.texts.name_of(uri))
        if known is None or known.source.text != text:
            self._editor.open(uri, self._version, text)
        try:
            return way(self._editor, uri)
        finally:
            for other in list(self._editor.texts.buffers.values()):
                if other.uri != uri:  # other files count as they are on the disk
                    self._editor.close(other.uri)


# --- what may be asked ---


def check(editor: Editor, uri: str) -> dict[str, Any]:
    """The findings, and what can be run."""
    seen = _seen(editor, uri)
    found = [told for told in editor.diagnostics() if told.diagnostics]
    here = [_finding(one) for told in found if told.uri == uri for one in told.diagnostics]
    elsewhere = [
        {**_finding(one), "file": Path(editor.texts.name_of(told.uri)).name}
        for told in found
        if told.uri != uri
        for one in told.diagnostics
    ]
    checked, graph = seen.inspection.checked, seen.graph
    runnable = checked is not None and graph is not None
    return {
        "findings": here,
        "elsewhere": elsewhere,
        "targets": targets(graph) if graph is not None and runnable else [],
        "main": graph.main if graph is not None and runnable else None,
        "datasets": list(checked.datasets) if checked else [],
        "tests": [d.title.value for d in seen.tree.decls if isinstance(d, nodes.TestDecl)],
        "cost": {name: cost.calls for name, cost in seen.costs.items()} if runnable else {},
    }


def targets(graph: ProgramGraph) -> list[dict[str, Any]]:
    """What can be run: its name, its kind, and the form of its inputs."""
    found = []
    for name in graph.exports:
        one = graph.graphs[name]
        found.append(
            {
                "name": name,
                "kind": one.kind,
                "doc": one.doc,
                "inputs": inputs_schema(one),
                "order": [port.name for port in one.inputs],
                "types": {port.name: str(port.type) for port in one.inputs},
                "result": str(one.result),
                "schema": json_schema(one.result),
            }
        )
    return found


def fixes(line: int, character: int) -> Callable[[Editor, str], list[dict[str, Any]]]:
    """The mends of what is wrong at a place, as whole edits."""
    place = lsp.Position(line, character)

    def found(editor: Editor, uri: str) -> list[dict[str, Any]]:
        told = []
        for action in editor.actions(uri, lsp.Range(place, place)):
            changes = (action.edit.changes or {}) if action.edit else {}
            if edits := changes.get(uri):
                told.append({"title": action.title, "edits": [_edit(one) for one in edits]})
        return told

    return found


def formatted(editor: Editor, uri: str) -> list[dict[str, Any]]:
    """The edits that format a text."""
    return [_edit(one) for one in editor.formatting(uri)]


def completions(line: int, character: int) -> Callable[[Editor, str], list[dict[str, Any]]]:
    """What may be written at a place."""
    place = lsp.Position(line, character)

    def found(editor: Editor, uri: str) -> list[dict[str, Any]]:
        items = editor.completion(uri, place)
        items.sort(key=lambda item: item.sort_text or item.label)
        return [_suggestion(item) for item in items[:MOST_SUGGESTIONS]]

    return found


def hovers(line: int, character: int) -> Callable[[Editor, str], dict[str, Any]]:
    """What is known of the name at a place."""
    place = lsp.Position(line, character)

    def found(editor: Editor, uri: str) -> dict[str, Any]:
        told = editor.hover(uri, place)
        content = told.contents if told is not None else None
        return {"text": content.value if isinstance(content, lsp.MarkupContent) else ""}

    return found


def previews(
    target: str | None, inputs: Mapping[str, Any] | None
) -> Callable[[Editor, str], dict[str, Any]]:
    """The prompts of a target as they would be sent."""

    def found(editor: Editor, uri: str) -> dict[str, Any]:
        from lmc.editor.preview import preview

        seen, graph = _runnable(editor, uri)
        checked = seen.inspection.checked
        assert checked is not None
        folder = seen.source.path.parent if seen.source.path else None
        return preview(checked, graph, target, inputs, folder).to_json()

    return found


def graphs(
    target: str | None, shown: Mapping[str, Any] | None = None
) -> Callable[[Editor, str], dict[str, Any]]:
    """The graph of a target as a picture, and what its boxes stand for."""

    def found(editor: Editor, uri: str) -> dict[str, Any]:
        return picture(_runnable(editor, uri)[1], target, shown)

    return found


def picture(
    graph: ProgramGraph, target: str | None, shown: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A graph as a picture, and what its boxes stand for; `shown` are values by box.

    Raises: LmcError[unknown-target].
    """
    if target is not None and target not in graph.graphs:
        raise LmcError.of("unknown-target", f"no module or pipeline is called `{target[:80]}`")
    drawn: View = view(graph, target)
    for box in _boxes(drawn.root):
        box.shown = str((shown or {}).get(box.id, ""))[:200]
    boxes = {
        box.id: {"kind": box.kind, "label": box.label, "name": box.name, "place": box.place}
        for box in _boxes(drawn.root)
    }
    return {"target": target or graph.main, "svg": draw_view(drawn, styled=False), "boxes": boxes}


def _boxes(cluster: Cluster) -> list[Box]:
    return [
        box
        for child in cluster.children
        for box in ([child] if isinstance(child, Box) else _boxes(child))
    ]


def _seen(editor: Editor, uri: str) -> Inspected:
    seen = editor.seen(uri)
    if seen is None:
        raise LmcError.of("unknown-file", "there is no such text")
    return seen


def _runnable(editor: Editor, uri: str) -> tuple[Inspected, ProgramGraph]:
    seen = _seen(editor, uri)
    if seen.inspection.checked is None or seen.graph is None:
        raise LmcError.of("has-mistakes", "the program has mistakes", help="mend them first")
    return seen, seen.graph


# --- in JSON ---


def _finding(one: lsp.Diagnostic) -> dict[str, Any]:
    message, _, help = one.message.partition("\nhelp: ")
    warning = one.severity == lsp.DiagnosticSeverity.Warning
    return {
        "severity": "warning" if warning else "error",
        "code": one.code,
        "message": message,
        "help": help,
        **_range(one.range),
    }


def _edit(one: lsp.TextEdit) -> dict[str, Any]:
    return {**_range(one.range), "text": one.new_text}


def _range(range: lsp.Range) -> dict[str, Any]:
    start, end = range.start, range.end
    return {"start": [start.line, start.character], "end": [end.line, end.character]}


def _suggestion(item: lsp.CompletionItem) -> dict[str, Any]:
    edit = item.text_edit
    about = item.documentation
    return {
        "label": item.label,
        "detail": item.detail or "",
        "about": about.value if isinstance(about, lsp.MarkupContent) else about or "",
        **(_edit(edit) if isinstance(edit, lsp.TextEdit) else {"text": item.label}),
    }
