"""The MCP server, asked by the client of the package `mcp`: over HTTP and over standard input."""

import asyncio
import os
import sys
import threading

import pytest

from tests.test_serve.servers import PROGRAM, served
from tests.test_serve.test_gate import Slow

mcp = pytest.importorskip("mcp")
TICKET = {"desk": "login", "queue": "calm", "tags": ["a", "b"]}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with served(tmp_path_factory.mktemp("desk"), timeout_s=20) as client:
        yield f"{str(client.base_url).rstrip('/')}/mcp"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_over_http(url, mode):
    heard = []

    async def hear(progress, total, message):
        heard.append((progress, message))

    async with mcp.Client(url, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["answer", "sort", "talk", "look", "count", "main"]
        assert tools["main"].description == "Answers in capitals."
        schema = tools["sort"].input_schema
        assert schema["required"] == ["message"]
        assert schema["properties"]["most"]["maximum"] == 9
        assert tools["sort"].output_schema["properties"].keys() == TICKET.keys()
        got = await client.call_tool("sort", {"message": "m"}, progress_callback=hear)
        assert got.structured_content == TICKET and not got.is_error
        got = await client.call_tool("count", {"words": ["a"]})
        assert got.structured_content == {"result": 3}
        assert (await client.call_tool("main", {"question": "x"})).content[0].text == "you said x"
    assert heard == [(1.0, "`sort` answered")]


@pytest.mark.parametrize(
    ("tool", "inputs", "slug"),
    [
        ("sort", {}, "missing-input"),
        ("sort", {"message": "wrong"}, "call-failed"),
        ("nothing", {}, "unknown-target"),
    ],
)
async def test_failures_are_results_with_a_problem(url, tool, inputs, slug):
    async with mcp.Client(url) as client:
        got = await client.call_tool(tool, inputs)
        assert got.is_error and f'"slug": "{slug}"' in got.content[0].text


async def test_a_client_that_leaves_stops_its_calls(tmp_path):
    slow = Slow()
    ready = threading.Event()

    async def ask(url):
        async with mcp.Client(url) as client:
            ready.set()
            await client.call_tool("main", {"question": "x"})

    with served(tmp_path, slow) as client:
        task = asyncio.ensure_future(ask(f"{str(client.base_url).rstrip('/')}/mcp"))
        await asyncio.to_thread(slow.expect, waiting=1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(slow.expect, waiting=0, left=1)


async def test_tools_over_standard_input(tmp_path):
    (tmp_path / "desk.lmp").write_text(PROGRAM)
    script = '{"rules": [], "default": "[[result]] hello"}'
    (tmp_path / "script.json").write_text(script)
    command = "from lmc.cli.main import main; main()"
    arguments = ["serve", "--mcp", "desk.lmp", "-m", "scripted/script.json"]
    told = mcp.StdioServerParameters(
        command=sys.executable, args=["-c", command, *arguments], cwd=tmp_path,
        env=dict(os.environ),
    )  # fmt: skip
    async with mcp.Client(mcp.stdio_client(told)) as client:
        assert len((await client.list_tools()).tools) == 6
        got = await client.call_tool("main", {"question": "x"})
        assert "hello" in got.content[0].text and not got.is_error
