"""A real client of `lmc lsp`, over standard input and output."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

ROOT = Path(__file__).parents[2]
START = [sys.executable, "-P", "-m", "lmc", "lsp"]


class Client:
    """An editor in a few words: it opens, types, asks, and keeps what it was told."""

    def __init__(self) -> None:
        self.peer = LanguageClient("lmc-tests", "1")
        self.told: dict[str, lsp.PublishDiagnosticsParams] = {}
        self.shown: list[str] = []
        self.rounds = 0  # how often the server has checked
        self.news = asyncio.Condition()
        self.versions: dict[str, int] = {}  # of what is open
        self.checked_versions: dict[str, int] = {}
        self.since = 0  # rounds when something was sent last
        self.stderr = ""
        self.capabilities: lsp.ServerCapabilities

        @self.peer.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _(params: lsp.PublishDiagnosticsParams) -> None:
            self.told[params.uri] = params

        @self.peer.feature(lsp.WINDOW_SHOW_MESSAGE)
        def _(params: lsp.ShowMessageParams) -> None:
            self.shown.append(params.message)

        @self.peer.feature(lsp.WINDOW_LOG_MESSAGE)
        def _(params: lsp.LogMessageParams) -> None:
            pass

        @self.peer.feature(lsp.CLIENT_REGISTER_CAPABILITY)
        def _(params: lsp.RegistrationParams) -> None:
            pass

        @self.peer.feature("lmc/changed")
        async def _(params: Any) -> None:
            async with self.news:
                self.rounds += 1
                self.checked_versions = {one.uri: one.version for one in params.documents}
                self.news.notify_all()

    async def start(self, *roots: Path, encodings: list[str] | None = None) -> None:
        folders = [lsp.WorkspaceFolder(root.as_uri(), root.name) for root in roots]
        await self.peer.start_io(
            *START, cwd=roots[0] if roots else ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        self._reading = asyncio.create_task(self._read_errors())
        found = await self.peer.initialize_async(
            lsp.InitializeParams(
                capabilities=lsp.ClientCapabilities(
                    general=lsp.GeneralClientCapabilities(
                        position_encodings=encodings or ["utf-16"]
                    ),
                    workspace=lsp.WorkspaceClientCapabilities(
                        did_change_watched_files=lsp.DidChangeWatchedFilesClientCapabilities(
                            dynamic_registration=True
                        )
                    ),
                ),
                workspace_folders=folders,
                root_uri=folders[0].uri if folders else None,
            )
        )
        self.capabilities = found.capabilities
        self.peer.initialized(lsp.InitializedParams())

    async def _read_errors(self) -> None:
        process = self.peer._server
        assert process is not None
        assert process.stderr is not None
        async for line in process.stderr:
            self.stderr += line.decode("utf-8", "replace")

    async def stop(self) -> None:
        await asyncio.wait_for(self.peer.shutdown_async(None), 30)
        self.peer.exit(None)
        await asyncio.wait_for(self._reading, 30)
        await self.peer.stop()

    # --- documents ---

    def open(self, path: Path | str, text: str | None = None) -> str:
        uri = path if isinstance(path, str) else path.as_uri()
        text = Path(path).read_text("utf-8") if text is None else text
        self.versions[uri], self.since = 1, self.rounds
        self.peer.text_document_did_open(
            lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(uri, "lmp", 1, text))
        )
        return uri

    def type(self, uri: str, *changes: lsp.TextDocumentContentChangeEvent) -> None:
        self.versions[uri], self.since = self.versions[uri] + 1, self.rounds
        self.peer.text_document_did_change(
            lsp.DidChangeTextDocumentParams(
                lsp.VersionedTextDocumentIdentifier(self.versions[uri], uri), list(changes)
            )
        )

    def replace(self, uri: str, text: str) -> None:
        self.type(uri, lsp.TextDocumentContentChangeWholeDocument(text))

    def close(self, uri: str) -> None:
        del self.versions[uri]
        self.since = self.rounds
        self.peer.text_document_did_close(
            lsp.DidCloseTextDocumentParams(lsp.TextDocumentIdentifier(uri))
        )

    async def checked(self) -> None:
        """Wait until the server has checked what was sent."""
        async with self.news, asyncio.timeout(60):
            await self.news.wait_for(
                lambda: self.rounds > self.since and self.checked_versions == self.versions
            )

    def codes(self, uri: str) -> list[str]:
        told = self.told.get(uri)
        return [str(d.code) for d in told.diagnostics] if told else []

    def deleted(self, path: Path) -> None:
        self.since = self.rounds
        event = lsp.FileEvent(path.as_uri(), lsp.FileChangeType.Deleted)
        self.peer.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams([event]))

    def roots(self, added: list[Path], removed: list[Path]) -> None:
        change = lsp.WorkspaceFoldersChangeEvent(
            [lsp.WorkspaceFolder(root.as_uri(), root.name) for root in added],
            [lsp.WorkspaceFolder(root.as_uri(), root.name) for root in removed],
        )
        self.peer.workspace_did_change_workspace_folders(
            lsp.DidChangeWorkspaceFoldersParams(change)
        )

    def require_clean_log(self) -> None:
        assert "Traceback" not in self.stderr, self.stderr[-3000:]
        assert "ERROR" not in self.stderr, self.stderr[-3000:]
        assert not [m for m in self.shown if m.startswith("Error in server")], self.shown

    # --- questions ---

    def at(self, uri: str, line: int, character: int) -> lsp.TextDocumentPositionParams:
        return lsp.TextDocumentPositionParams(
            lsp.TextDocumentIdentifier(uri), lsp.Position(line, character)
        )

    async def ask(self, method: str, uri: str, position: lsp.Position | None = None) -> Any:
        """Ask what needs only a document, and perhaps a position in it."""
        document = lsp.TextDocumentIdentifier(uri)
        made = _PARAMETERS[method](document, position or lsp.Position(0, 0))
        return await asyncio.wait_for(self.peer.protocol.send_request_async(method, made), 60)

    async def command(self, name: str, *arguments: Any) -> Any:
        made = lsp.ExecuteCommandParams(name, arguments=list(arguments))
        return await asyncio.wait_for(self.peer.workspace_execute_command_async(made), 120)


def _here(document: Any, position: Any) -> lsp.Range:
    return lsp.Range(position, position)


_PARAMETERS: dict[str, Any] = {
    lsp.TEXT_DOCUMENT_HOVER: lsp.HoverParams,
    lsp.TEXT_DOCUMENT_DEFINITION: lsp.DefinitionParams,
    lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: lsp.DocumentHighlightParams,
    lsp.TEXT_DOCUMENT_REFERENCES: lambda d, p: lsp.ReferenceParams(
        lsp.ReferenceContext(True), d, p
    ),
    lsp.TEXT_DOCUMENT_COMPLETION: lsp.CompletionParams,
    lsp.TEXT_DOCUMENT_SIGNATURE_HELP: lsp.SignatureHelpParams,
    lsp.TEXT_DOCUMENT_CODE_ACTION: lambda d, p: lsp.CodeActionParams(
        d, lsp.Range(p, p), lsp.CodeActionContext([])
    ),
    lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: lambda d, p: lsp.SemanticTokensParams(d),
    lsp.TEXT_DOCUMENT_FOLDING_RANGE: lambda d, p: lsp.FoldingRangeParams(d),
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: lambda d, p: lsp.DocumentSymbolParams(d),
    lsp.TEXT_DOCUMENT_CODE_LENS: lambda d, p: lsp.CodeLensParams(d),
    lsp.TEXT_DOCUMENT_FORMATTING: lambda d, p: lsp.DocumentFormattingParams(
        d, lsp.FormattingOptions(2, True)
    ),
}
AT_POSITION = [
    lsp.TEXT_DOCUMENT_HOVER, lsp.TEXT_DOCUMENT_DEFINITION, lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT,
    lsp.TEXT_DOCUMENT_REFERENCES, lsp.TEXT_DOCUMENT_COMPLETION, lsp.TEXT_DOCUMENT_SIGNATURE_HELP,
    lsp.TEXT_DOCUMENT_CODE_ACTION,
]  # fmt: skip
OF_DOCUMENT = [name for name in _PARAMETERS if name not in AT_POSITION]


@asynccontextmanager
async def connected(*roots: Path, encodings: list[str] | None = None) -> AsyncIterator[Client]:
    """A client with a server, which must end without an error in its log."""
    client = Client()
    await client.start(*roots, encodings=encodings)
    try:
        yield client
    finally:
        await client.stop()
    client.require_clean_log()
