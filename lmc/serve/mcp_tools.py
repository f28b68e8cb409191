"""An MCP server (https://modelcontextprotocol.io) whose tools are the modules and pipelines.

It speaks over HTTP at `/mcp`, where each request stands alone, and over standard input and output.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

from lmc.diagnostics import LmcError, suggestion
from lmc.ir.graph import Graph
from lmc.ir.reach import reached_stores, reached_tools
from lmc.runtime.traces import CallTrace
from lmc.serve.gate import Receive, Scope, Send
from lmc.serve.hosted import HostedProgram
from lmc.serve.openapi import inputs_schema
from lmc.serve.problems import internal, json_bytes, problem_json
from lmc.serve.runner import RequestRunner, RunResult
from lmc.types import RecordType
from lmc.values import json_schema
from lmc.version import __version__


class McpTools:
    """The MCP application of a server. `serve` must run beside its requests."""

    def __init__(self, runner: RequestRunner) -> None:
        self._runner = runner
        self.ready = asyncio.Event()
        self.server: Any = Server(
            "lmc",
            version=__version__,
            instructions="Each tool runs a program, which asks language models.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._manager: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request over HTTP."""
        await self._manager.handle_request(scope, receive, send)

    async def serve(self) -> None:
        """Keep the application open until this is cancelled."""
        most = self._runner.options.body_bytes
        self._manager = StreamableHTTPSessionManager(
            self.server, stateless=True, max_request_body_size=most
        )
        async with self._manager.run():
            self.ready.set()
            await asyncio.Event().wait()

    async def serve_stdio(self) -> None:
        """Serve one client over standard input and output, until it ends."""
        async with stdio_server() as (read, write):
            await self.server.run(read, write, self.server.create_initialization_options())

    async def _list(self, context: Any, params: Any) -> ListToolsResult:
        tools = [_tool(name, *found) for name, found in self._targets().items()]
        return ListToolsResult(tools=tools)

    async def _call(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        request = getattr(context, "request", None)
        scope: Any = getattr(request, "scope", None) or {}
        id, owner = scope.get("lmc.id") or secrets.token_hex(12), scope.get("lmc.owner", "")
        try:
            result = await self._run(context, params, id, owner)
        except LmcError as failure:
            return _failed(failure, id)
        except Exception as bug:
            return _failed(internal(bug, id), id)
        value = result.value
        structured = value if isinstance(value, dict) else {"result": value}
        text = value if isinstance(value, str) else json_bytes(value).decode()
        return CallToolResult(
            content=[TextContent(type="text", text=text)], structured_content=structured
        )

    async def _run(
        self, context: Any, params: CallToolRequestParams, id: str, owner: str
    ) -> RunResult:
        targets = self._targets()
        if params.name not in targets:
            help = suggestion(params.name, targets)
            raise LmcError.of("unknown-target", f"there is no tool `{params.name[:80]}`", help=help)
        hosted, graph = targets[params.name]
        inputs = params.arguments or {}
        request = await self._runner.prepare(id, hosted, graph.name, inputs, owner)
        told = _Progress(context)
        try:
            return await self._runner.run(request, observer=told.hear)
        finally:
            await told.close()

    def _targets(self) -> dict[str, tuple[HostedProgram, Graph]]:
        """What clients may call, by the names of the tools."""
        programs = self._runner.programs
        prefix = programs.only is None
        return {
            f"{hosted.name}.{target}" if prefix else target: (hosted, graph)
            for hosted in programs
            for target, graph in hosted.targets.items()
        }


class _Progress:
    """Tells a client of each call of a model that has ended, in order."""

    def __init__(self, context: Any) -> None:
        self._context, self._loop = context, asyncio.get_running_loop()
        self._calls: asyncio.Queue[str] = asyncio.Queue()
        self._telling = asyncio.ensure_future(self._tell())

    def hear(self, call: CallTrace) -> None:
        """A call has ended; in any thread."""
        self._loop.call_soon_threadsafe(self._calls.put_nowait, call.module)

    async def close(self) -> None:
        """Tell what has not been told, and stop."""
        for _ in range(3):  # turns in which what was heard arrives
            await asyncio.sleep(0)
        self._telling.cancel()

    async def _tell(self) -> None:
        number = 0
        while True:
            module = await self._calls.get()
            number += 1
            await self._context.session.report_progress(float(number), None, f"`{module}` answered")


def _tool(name: str, hosted: HostedProgram, graph: Graph) -> Tool:
    program = hosted.program.graph
    changes = bool(reached_tools(program, graph)) or bool(reached_stores(program, graph))
    about = graph.doc.strip() or f"Run `{graph.name}` of the program `{hosted.name}`."
    return Tool(
        name=name,
        description=about,
        input_schema=inputs_schema(graph),
        output_schema=_output_schema(graph),
        annotations=ToolAnnotations(read_only_hint=not changes),
    )


def _output_schema(graph: Graph) -> dict[str, Any]:
    """The schema of the structured result, which must be an object."""
    schema = json_schema(graph.result)
    if isinstance(graph.result, RecordType) and schema.get("type") == "object":
        return schema
    defs = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    properties = {"result": schema}
    return {"type": "object", "properties": properties, "required": ["result"], **defs}


def _failed(failure: LmcError, id: str) -> CallToolResult:
    told = json_bytes(problem_json(failure, id)).decode()
    return CallToolResult(content=[TextContent(type="text", text=told)], is_error=True)
