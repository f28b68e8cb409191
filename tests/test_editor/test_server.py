"""The language server, asked by a real client over standard input and output."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from lmc.editor.editor import Editor
from tests.test_editor.client import AT_POSITION, OF_DOCUMENT, ROOT, START, Client, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAMS = sorted([*(ROOT / "programs").glob("*.lmp"), *(ROOT / "examples").rglob("*.lmp")])
POSITIONS = 5 if os.environ.get("LMC_FUZZ") else 1  # of each program


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[Client]:
    """One server for the tests of this file, as an editor keeps one for a day."""
    async with connected() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Client, tmp_path: Path) -> AsyncIterator[Client]:
    """The server with an empty folder as its only root."""
    server.roots([tmp_path], [])
    yield server
    for uri in list(server.versions):
        server.close(uri)
    server.roots([], [tmp_path])
    await server.checked()
    server.require_clean_log()


def places(text: str, count: int) -> list[lsp.Position]:
    """Positions that are spread over a text."""
    step = max(1, len(text) // count)
    return [
        lsp.Position(text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset) - 1)
        for offset in range(step // 2, len(text), step)
    ]


async def test_every_request_on_every_program(client: Client) -> None:
    assert len(PROGRAMS) > 55
    client.roots([ROOT / "programs", ROOT / "examples"], [])
    for path in PROGRAMS:
        text = path.read_text("utf-8")
        uri = client.open(path, text)
        for method in OF_DOCUMENT:
            answer = await client.ask(method, uri)
            if method != lsp.TEXT_DOCUMENT_FORMATTING:
                assert answer, (path.name, method)
        answers = {
            method: [await client.ask(method, uri, at) for at in places(text, POSITIONS)]
            for method in AT_POSITION
        }
        assert any(answers[lsp.TEXT_DOCUMENT_COMPLETION])
        found = await client.command("lmc.preview", uri)
        assert found["target"] or found["missing"]
        graph = await client.command("lmc.graph", uri)
        assert graph["svg"].startswith("<svg")
        client.close(uri)
    symbols = await client.peer.workspace_symbol_async(lsp.WorkspaceSymbolParams("refine"))
    assert symbols
    assert "refine_answer" in {symbol.name for symbol in symbols}
    client.roots([], [ROOT / "programs", ROOT / "examples"])


async def test_diagnostics_follow_unsaved_changes_of_imported_files(
    client: Client, tmp_path: Path
) -> None:
    parts = tmp_path / "parts.lmp"
    parts.write_text("record Note { text: str }\n", "utf-8")
    main = tmp_path / "main.lmp"
    main.write_text(
        'from "parts.lmp" import Note\npipeline main(n: Note) -> str { return n.text }\n', "utf-8"
    )
    uri = client.open(main)
    await client.checked()
    assert client.codes(uri) == []
    other = client.open(parts)
    client.replace(other, "record Note { words: str }\n")
    await client.checked()
    assert client.codes(uri) == ["unknown-field"]
    assert client.told[uri].version == 1
    client.close(other)  # the file on the disk counts again
    await client.checked()
    assert client.codes(uri) == []
    parts.unlink()
    client.deleted(parts)
    await client.checked()
    assert client.codes(uri) == ["missing-file"]
    main.unlink()
    assert await client.ask(lsp.TEXT_DOCUMENT_HOVER, uri, lsp.Position(1, 10)) is not None
    client.close(uri)
    await client.checked()
    assert client.codes(uri) == []
    assert await client.ask(lsp.TEXT_DOCUMENT_HOVER, uri, lsp.Position(1, 10)) is None


async def test_mistakes_of_an_imported_file_are_told_there(client: Client, tmp_path: Path) -> None:
    parts = tmp_path / "parts.lmp"
    parts.write_text("record Note { text: strr }\n", "utf-8")
    main = tmp_path / "main.lmp"
    main.write_text(
        'from "parts.lmp" import Note\npipeline main(n: Note) -> str { return n.text }\n', "utf-8"
    )
    uri = client.open(main)
    await client.checked()
    assert client.codes(uri) == []
    assert client.codes(parts.as_uri()) == ["unknown-type"]
    client.close(uri)
    await client.checked()
    assert client.codes(parts.as_uri()) == []


async def test_a_rename_crosses_files_and_roots(client: Client, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "parts.lmp").write_text("record Note { text: str }\n", "utf-8")
    (one / "main.lmp").write_text(
        'from "parts.lmp" import Note\npipeline main(n: Note) -> str { return n.text }\n', "utf-8"
    )
    (two / "other.lmp").write_text("record Note { text: str }\n", "utf-8")
    client.roots([one, two], [tmp_path])
    uri = client.open(one / "main.lmp")
    edit = await client.peer.text_document_rename_async(
        lsp.RenameParams(lsp.TextDocumentIdentifier(uri), lsp.Position(1, 18), "Memo")
    )
    assert edit is not None
    assert edit.document_changes is not None
    changed = {part.text_document.uri: len(part.edits) for part in edit.document_changes}
    assert changed == {uri: 2, (one / "parts.lmp").as_uri(): 1}
    symbols = await client.peer.workspace_symbol_async(lsp.WorkspaceSymbolParams("note"))
    assert symbols
    assert {s.location.uri for s in symbols} == {
        (one / "parts.lmp").as_uri(), (two / "other.lmp").as_uri()
    }  # fmt: skip
    client.roots([tmp_path], [one, two])


async def test_the_library_can_be_read_and_not_renamed(client: Client, tmp_path: Path) -> None:
    main = tmp_path / "main.lmp"
    main.write_text(
        'from "lmc/self_refine" import refine_answer\n'
        "pipeline main(question: str) -> str { return refine_answer(question) }\n",
        "utf-8",
    )
    uri = client.open(main)
    at = lsp.Position(1, 50)
    (place,) = await client.ask(lsp.TEXT_DOCUMENT_DEFINITION, uri, at)
    assert place.uri.endswith("programs/self_refine.lmp")
    told = await client.ask(lsp.TEXT_DOCUMENT_HOVER, uri, at)
    assert "arXiv 2303.17651" in told.contents.value
    client.open(Path(place.uri.removeprefix("file://")))  # it opens as any file
    await client.checked()
    with pytest.raises(JsonRpcException, match="belongs to the library"):
        await client.peer.text_document_rename_async(
            lsp.RenameParams(lsp.TextDocumentIdentifier(uri), at, "other")
        )


LINE = 'pipeline main(a: str) -> str { let x = "\U0001f600" + a'
UNITS = f"enum Mood {{ glad }}\n# \U0001f600\U0001f600 é\n{LINE}\n return x }}\n"


async def test_positions_are_in_code_units_of_utf_16(client: Client) -> None:
    assert client.capabilities.position_encoding == "utf-16"
    uri = client.open("untitled:Untitled-1", UNITS)
    at = lsp.Position(2, len(LINE.encode("utf-16-le")) // 2 - 1)
    (place,) = await client.ask(lsp.TEXT_DOCUMENT_DEFINITION, uri, at)
    assert place.range == lsp.Range(lsp.Position(2, 14), lsp.Position(2, 15))
    # an edit behind the emoji lands where the client means it
    end = lsp.Position(2, at.character + 1)
    client.type(uri, lsp.TextDocumentContentChangePartial(lsp.Range(at, end), "b"))
    await client.checked()
    assert "unknown-name" in client.codes(uri)
    (told,) = [d for d in client.told[uri].diagnostics if d.code == "unknown-name"]
    assert told.range == lsp.Range(at, end)
    assert client.told[uri].version == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-32"])
async def test_another_encoding_is_taken_where_the_client_wants_it(
    tmp_path: Path, encoding: str
) -> None:
    if encoding == "utf-8":
        async with connected(tmp_path, encodings=[encoding, "utf-16"]) as client:
            assert client.capabilities.position_encoding == encoding
    editor = Editor()
    editor.encoding = encoding
    editor.open("untitled:1", 1, UNITS)
    before = LINE[:-1]
    size = len(before.encode()) if encoding == "utf-8" else len(before)
    (place,) = editor.definition("untitled:1", lsp.Position(2, size))
    assert place.range == lsp.Range(lsp.Position(2, 14), lsp.Position(2, 15))


async def test_a_click_runs_and_nothing_else_does(client: Client, tmp_path: Path) -> None:
    """Opening a folder imports no Python of it; a click on a test does."""
    (tmp_path / "tools.py").write_text(
        'from pathlib import Path\nPath(__file__).with_name("ran").touch()\n'
        "def shout(text: str) -> str:\n    return text.upper()\n",
        "utf-8",
    )
    for name in ("json", "click", "lark", "pygls", "sitecustomize"):
        trap = f'from pathlib import Path\nPath(__file__).with_name("trapped_{name}").touch()\n'
        (tmp_path / f"{name}.py").write_text(trap, "utf-8")
    main = tmp_path / "main.lmp"
    main.write_text(
        'tool shout(text: str) -> str from "tools:shout"\n'
        'tool own from "python:"\n'
        'tool there(q: str) -> str from "mcp:touch trapped_server"\n'
        'generate say(text: str) -> str { """Say it.""" }\n'
        'agent act(text: str) -> str { """Act."""\n tools: [shout, own, there] }\n'
        "pipeline main(text: str) -> str { let a = shout(there(text))\n return act(say(a)) }\n"
        'test "shouts" { assert shout("a") == "A" }\n',
        "utf-8",
    )
    uri = client.open(main)
    await client.checked()
    assert client.codes(uri) == []
    for method in OF_DOCUMENT:
        await client.ask(method, uri)
    for method in AT_POSITION:
        await client.ask(method, uri, lsp.Position(6, 45))
    found = await client.command("lmc.preview", uri, "main")
    assert [section["module"] for section in found["sections"]] == ["say", "act"]
    assert not any("trapped" in name for name in os.listdir(tmp_path))
    assert not (tmp_path / "ran").exists()
    outcome = await client.command("lmc.runTest", uri, "shouts")
    assert outcome["ok"], outcome
    assert (tmp_path / "ran").exists()
    assert not any("trapped" in name for name in os.listdir(tmp_path))


async def test_commands_say_what_is_wrong(client: Client, tmp_path: Path) -> None:
    main = tmp_path / "main.lmp"
    main.write_text('generate main(q: str) -> str { """Answer.""" }\n', "utf-8")
    uri = client.open(main)
    for command, arguments, words in [
        ("lmc.preview", [uri, "nobody"], "nobody"),
        ("lmc.preview", [uri, "main", {"q": 1}], "does not have the type"),
        ("lmc.preview", [uri, "main", {"r": "a"}], "has no input"),
        ("lmc.preview", [uri, "main", 5], "JSON object"),
        ("lmc.preview", [], "arguments"),
        ("lmc.preview", [5], "texts"),
        ("lmc.preview", [None], "texts"),
        ("lmc.graph", [uri, ["main"]], "texts"),
        ("lmc.explain", [{}], "texts"),
        ("lmc.run", [uri, None], "texts"),
        ("lmc.runTest", [uri, None], "texts"),
        ("lmc.graph", [uri, "nobody"], "nobody"),
        ("lmc.run", [uri, "main"], "no example and no row"),
        ("lmc.run", ["untitled:1", "main", {}], "Save the file"),
    ]:
        with pytest.raises(JsonRpcException, match=words):
            await client.command(command, *arguments)
    found = await client.command("lmc.preview", uri, "main", {"q": "why?"})
    assert "why?" in json.dumps(found["sections"])
    client.replace(uri, "generate main(q: str) -> str {")
    with pytest.raises(JsonRpcException, match="mistakes"):
        await client.command("lmc.preview", uri, "main")


async def test_a_file_with_other_line_ends_and_a_mark_is_as_it_is_saved(
    client: Client, tmp_path: Path
) -> None:
    text = '\ufefftest "t" {\r\n  assert 1 == 1\r\n}\r\n'
    (tmp_path / "main.lmp").write_bytes(text.encode())
    uri = client.open(tmp_path / "main.lmp", text)
    client.shown.clear()
    assert (await client.command("lmc.runTest", uri, "t"))["ok"]
    assert not [words for words in client.shown if "unsaved" in words]
    client.replace(uri, text + "# more\r\n")
    await client.command("lmc.runTest", uri, "t")
    assert [words for words in client.shown if "unsaved" in words]


async def test_a_request_that_cannot_be_read_is_answered() -> None:
    asked = {"jsonrpc": "2.0", "id": 7, "method": "textDocument/hover", "params": {}}
    body = json.dumps(asked).encode()
    process = await asyncio.create_subprocess_exec(
        *START, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    said, _ = await asyncio.wait_for(
        process.communicate(b"Content-Length: %d\r\n\r\n%s" % (len(body), body)), 60
    )
    answers = [json.loads(part) for part in re.findall(rb"\r\n\r\n(\{.*?\})(?=Content|\Z)", said)]
    assert [one["error"]["code"] for one in answers if one.get("id") == 7] == [-32602]


async def test_a_uri_that_is_none_is_a_document_that_nobody_knows(client: Client) -> None:
    assert await client.ask(lsp.TEXT_DOCUMENT_HOVER, "file://[") is None


async def test_one_bad_import_leaves_the_others_their_findings(
    client: Client, tmp_path: Path
) -> None:
    bad = client.open(tmp_path / "bad.lmp", 'from "a\\u0000b.lmp" import c\n')
    other = client.open(tmp_path / "other.lmp", "pipeline main() -> int { return nobody }\n")
    await client.checked()
    assert client.codes(bad) == ["missing-file"]
    assert client.codes(other) == ["unknown-name"]


async def test_a_large_file_is_left_to_lmc_check(client: Client, tmp_path: Path) -> None:
    uri = client.open(tmp_path / "large.lmp", "# a line of a comment\n" * 30_000)
    await client.checked()
    assert client.codes(uri) == ["too-large"]
    for method in OF_DOCUMENT:
        await client.ask(method, uri)
    client.replace(uri, "record R { a: str }\n")
    await client.checked()
    assert client.codes(uri) == []


async def test_a_server_without_a_client_ends() -> None:
    process = await asyncio.create_subprocess_exec(
        *START, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.close()
    await asyncio.wait_for(process.communicate(), 60)
