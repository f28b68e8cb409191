"""The language server: documents come in, diagnostics go out, requests are answered.

It speaks over standard input and output. What is printed by mistake must not get among the
messages, so standard output is the protocol's alone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from lmc.diagnostics import Diagnostic, LmcError
from lmc.editor import colours, lenses
from lmc.editor.editor import Editor
from lmc.editor.protocol import Protocol
from lmc.editor.running import Outcome, run_arguments, run_lmc, test_arguments
from lmc.editor.texts import without_mark
from lmc.redaction import logger
from lmc.tasks.garbage import OBJECTS
from lmc.version import __version__

_log = logger(__name__)

LEAST_DELAY_S, MOST_DELAY_S = 0.05, 2.0  # between a keystroke and the diagnostics
CHANGED = "lmc/changed"  # tells a client which versions of documents were checked
_WATCHED = "**/*.lmp"


class Refused(JsonRpcException):
    """What a person asked for and cannot have, such as a rename to a name that is taken."""

    CODE = -32803  # RequestFailed


class _Quiet(logging.Filter):
    """Leaves out of the log what is no fault: refusals, and cancellations that come too late."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Cancel notification for unknown"):
            return False
        return not (record.exc_info and isinstance(record.exc_info[1], Refused))


class Served(LanguageServer):
    """The connection to one editor."""

    def __init__(self) -> None:
        super().__init__("lmc", __version__, protocol_cls=Protocol)
        self.editor = Editor()
        self._due: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[Any]] = set()

    @cached_property
    def scratch(self) -> Path:
        """A folder for documents that an editor is to show; it goes with the server."""
        self._folder = tempfile.TemporaryDirectory(prefix="lmc-")
        return Path(self._folder.name)

    # --- diagnostics ---

    def check_soon(self) -> None:
        """Check what is open after a pause in typing, the longer the longer a check takes."""
        if self._due is not None:
            self._due.cancel()
        longest = max((s.duration_s for s in self._open()), default=0.0)
        delay = min(max(LEAST_DELAY_S, longest), MOST_DELAY_S)
        self._due = asyncio.get_running_loop().call_later(delay, self.check_now)

    def _open(self) -> list[Any]:
        return self.editor.inspector.known(self.editor.texts.buffers)

    def check_now(self) -> None:
        """Check what is open, and tell the editor."""
        self._due = None
        try:
            for told in self.editor.diagnostics():
                self.text_document_publish_diagnostics(told)
        except Exception:
            _log.exception("the check failed; please report this")
            return
        buffers = self.editor.texts.buffers.values()
        checked = [{"uri": buffer.uri, "version": buffer.version} for buffer in buffers]
        self.protocol.notify(CHANGED, {"documents": checked})

    # --- commands ---

    def document(self, uri: str) -> Path:
        """The saved file of a document. Raises: Refused."""
        name = self.editor.texts.name_of(uri)
        path = Path(name)
        known = self.editor.texts.buffers.get(name)
        if not path.is_file():
            raise Refused("Save the file first: it is run from the disk.")
        saved = without_mark(path.read_bytes().decode("utf-8", "replace"))
        if known is not None and known.source.text != saved:
            self.window_show_message(
                lsp.ShowMessageParams(
                    lsp.MessageType.Info, f"{path.name} has unsaved changes: the saved text runs."
                )
            )
        return path

    def tell(self, outcome: Outcome) -> None:
        """Show how a process ended, in clients that show nothing themselves."""
        kind = lsp.MessageType.Info if outcome.ok else lsp.MessageType.Error
        lines = outcome.output.strip().splitlines() or ["no output"]
        message = "\n".join(lines[-15:])
        self.window_show_message(lsp.ShowMessageParams(kind, message))
        self.window_log_message(
            lsp.LogMessageParams(kind, f"$ {outcome.command}\n{outcome.output}")
        )


def make_server() -> Served:
    """A server with all its features."""
    server = Served()
    _add_documents(server)
    _add_questions(server)
    _add_commands(server)
    return server


def _add_documents(server: Served) -> None:
    editor = server.editor

    @server.feature(lsp.INITIALIZED)
    def initialized(params: lsp.InitializedParams) -> None:
        editor.encoding = str(server.workspace.position_encoding)
        _take_roots(server)
        server.check_soon()
        workspace = server.client_capabilities.workspace
        watching = workspace.did_change_watched_files if workspace else None
        if watching and watching.dynamic_registration:
            _watch(server)

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        editor.encoding = str(server.workspace.position_encoding)
        editor.open(document.uri, document.version, document.text)
        server.check_soon()

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def typed(params: lsp.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        editor.change(document.uri, document.version, params.content_changes)
        server.check_soon()

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        server.check_soon()

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        editor.close(params.text_document.uri)
        server.check_soon()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def changed_on_disk(params: lsp.DidChangeWatchedFilesParams) -> None:
        server.check_soon()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def other_roots(params: lsp.DidChangeWorkspaceFoldersParams) -> None:
        _take_roots(server)


def _take_roots(server: Served) -> None:
    texts = server.editor.texts
    uris = [folder.uri for folder in server.workspace.folders.values()]
    if not uris and server.workspace.root_uri:
        uris = [server.workspace.root_uri]
    texts.roots = [Path(texts.name_of(uri)) for uri in uris if uri.startswith("file:")]


def _watch(server: Served) -> None:
    watcher = lsp.FileSystemWatcher(_WATCHED)
    options = lsp.DidChangeWatchedFilesRegistrationOptions([watcher])
    method = lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES
    registration = lsp.Registration("lmc-files", method, options)
    server.client_register_capability(lsp.RegistrationParams([registration]))


_LEGEND = lsp.SemanticTokensLegend(list(colours.TYPES), list(colours.MODIFIERS))


def _add_questions(server: Served) -> None:
    editor = server.editor

    def answer(name: str, way: Callable[[Any], Any], options: Any = None) -> None:
        """Answer a request by a function of its parameters."""

        def handle(params: Any) -> Any:
            try:
                return way(params)
            except LmcError as refused:
                raise Refused(_words(refused)) from None

        server.feature(name, options)(handle)

    def at(way: Callable[[str, lsp.Position], Any]) -> Callable[[Any], Any]:
        return lambda params: way(params.text_document.uri, params.position)

    def of(way: Callable[[str], Any]) -> Callable[[Any], Any]:
        return lambda params: way(params.text_document.uri)

    answer(lsp.TEXT_DOCUMENT_HOVER, at(editor.hover))
    answer(lsp.TEXT_DOCUMENT_DEFINITION, at(editor.definition))
    answer(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT, at(editor.highlights))
    answer(
        lsp.TEXT_DOCUMENT_REFERENCES,
        lambda p: editor.references(
            p.text_document.uri, p.position, declaration=p.context.include_declaration
        ),
    )
    answer(
        lsp.TEXT_DOCUMENT_RENAME,
        lambda p: editor.rename(p.text_document.uri, p.position, p.new_name),
        lsp.RenameOptions(prepare_provider=True),
    )
    answer(lsp.TEXT_DOCUMENT_PREPARE_RENAME, at(editor.prepare_rename))
    answer(
        lsp.TEXT_DOCUMENT_COMPLETION,
        lambda p: lsp.CompletionList(False, editor.completion(p.text_document.uri, p.position)),
        lsp.CompletionOptions(trigger_characters=[".", '"', "/", ":", "(", "[", "{", " "]),
    )
    answer(
        lsp.TEXT_DOCUMENT_SIGNATURE_HELP,
        at(editor.signature),
        lsp.SignatureHelpOptions(trigger_characters=["(", ","]),
    )
    answer(
        lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL,
        lambda p: lsp.SemanticTokens(editor.colours(p.text_document.uri)),
        _LEGEND,
    )
    answer(lsp.TEXT_DOCUMENT_FOLDING_RANGE, of(editor.folds))
    answer(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL, of(editor.outline))
    answer(lsp.WORKSPACE_SYMBOL, lambda p: editor.symbols(p.query))
    answer(lsp.TEXT_DOCUMENT_FORMATTING, of(editor.formatting))
    answer(lsp.TEXT_DOCUMENT_CODE_LENS, of(editor.lenses))
    answer(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lambda p: editor.actions(p.text_document.uri, p.range),
        lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix]),
    )


def _words(failure: LmcError) -> str:
    return "; ".join(_line(diagnostic) for diagnostic in failure.diagnostics)


def _line(diagnostic: Diagnostic) -> str:
    return diagnostic.message + (f" ({diagnostic.help})" if diagnostic.help else "")


# --- commands ---


def _add_commands(server: Served) -> None:
    def command(name: str, way: Callable[..., Any], needed: int = 1) -> None:
        """Do a command, whose first two arguments are texts; so many of them must be there."""

        async def handle(*arguments: Any) -> Any:
            try:
                signature(way).bind(*arguments)
            except TypeError as wrong:
                raise Refused(f"wrong arguments of {name}: {wrong}") from None
            texts = (*arguments[:needed], *(one for one in arguments[needed:2] if one is not None))
            if not all(isinstance(one, str) for one in texts):
                raise Refused(f"wrong arguments of {name}: the first two are texts")
            try:
                return await way(*arguments)
            except LmcError as refused:
                raise Refused(_words(refused)) from None

        server.command(name)(handle)

    async def preview(uri: str, target: str | None = None, inputs: Any = None) -> Any:
        return await _preview(server, uri, target, inputs)

    async def show_prompt(uri: str, target: str | None = None, inputs: Any = None) -> Any:
        found = await _preview(server, uri, target, inputs)
        await _show(server, f"prompt-{found['target']}.md", found["markdown"])
        return found

    async def run(uri: str, target: str, inputs: Any = None) -> Any:
        path = server.document(uri)
        given = inputs if inputs is not None else (await _first_choice(server, uri, target))
        outcome = await run_lmc(run_arguments(path, target, given), path.parent)
        server.tell(outcome)
        return outcome.to_json()

    async def run_test(uri: str, title: str) -> Any:
        path = server.document(uri)
        outcome = await run_lmc(test_arguments(path, title), path.parent)
        server.tell(outcome)
        return outcome.to_json()

    async def graph(uri: str, target: str | None = None) -> Any:
        return _graph(server, uri, target)

    async def explain(code: str) -> Any:
        from lmc.explanations import explanations

        text = explanations().get(code, "")
        return {"code": code, "markdown": f"# {code}\n\n{text or 'Nothing more is known.'}\n"}

    command("lmc.preview", preview)
    command(lenses.SHOW_PROMPT, show_prompt)
    command(lenses.RUN, run, 2)
    command(lenses.RUN_TEST, run_test, 2)
    command(lenses.GRAPH, graph)
    command(lenses.EXPLAIN, explain)


async def _preview(server: Served, uri: str, target: str | None, inputs: Any) -> dict[str, Any]:
    from lmc.editor.preview import preview

    seen = server.editor.seen(uri)
    if seen is None or seen.inspection.checked is None or seen.graph is None:
        raise Refused("The program has mistakes: a prompt is shown when they are mended.")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise Refused("The inputs must be a JSON object.")
    folder = seen.source.path.parent if seen.source.path else None
    found = await asyncio.to_thread(
        preview, seen.inspection.checked, seen.graph, target, inputs, folder
    )
    return {**found.to_json(), "markdown": found.to_markdown()}


async def _first_choice(server: Served, uri: str, target: str) -> Mapping[str, Any]:
    """The inputs that a click without any takes: an example's, or a row's. Raises: Refused."""
    found = await _preview(server, uri, target, None)
    if not found["choices"]:
        raise Refused(f"`{target}` has no example and no row: give the inputs.")
    inputs: Mapping[str, Any] = found["choices"][0]["inputs"]
    return inputs


def _graph(server: Served, uri: str, target: str | None) -> dict[str, Any]:
    from lmc.ir.mermaid import to_mermaid
    from lmc.ir.printer import print_program
    from lmc.ir.svg import draw

    seen = server.editor.seen(uri)
    if seen is None or seen.graph is None:
        raise Refused("The program has mistakes: the graph is drawn when they are mended.")
    if target is not None and target not in seen.graph.graphs:
        raise Refused(f"The program has no module or pipeline `{target}`.")
    return {
        "target": target or seen.graph.main,
        "svg": draw(seen.graph, target),
        "mermaid": to_mermaid(seen.graph, target),
        "text": print_program(seen.graph),
    }


async def _show(server: Served, name: str, text: str) -> None:
    """Open a text in the editor, if it can show documents that the server names."""
    window = server.client_capabilities.window
    if not (window and window.show_document and window.show_document.support):
        return
    path = server.scratch / name
    path.write_text(text, "utf-8")
    server.window_show_document(lsp.ShowDocumentParams(path.as_uri(), take_focus=True))


def serve() -> None:
    """Serve the editor at standard input and output until it says goodbye."""
    # A module of the folder that is open must not take the place of one of Python or lmc.
    wanted = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    here = {"", ".", os.getcwd()} - set(wanted)
    sys.path[:] = [entry for entry in sys.path if entry not in here]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    for name in ("pygls", "pygls.protocol", "pygls.protocol.json_rpc"):
        logging.getLogger(name).addFilter(_Quiet())
    gc.freeze()  # what is loaded now stays
    gc.set_threshold(OBJECTS, 20, 50)  # a check makes many objects that live until the next one
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    make_server().start_io(stdin=sys.stdin.buffer, stdout=channel)
