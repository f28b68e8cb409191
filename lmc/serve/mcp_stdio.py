"""MCP over standard input and output: one client, which started this process."""

from __future__ import annotations

from lmc.serve.application import ServeApp
from lmc.serve.mcp_tools import McpTools
from lmc.tasks.loop import run_sync


def serve_stdio(serving: ServeApp) -> None:
    """Serve the tools until the client closes the connection. Raises: LmcError."""
    run_sync(_serve(serving))


async def _serve(serving: ServeApp) -> None:
    try:
        tools = McpTools(serving.state.runner)
        await serving.state.preflight()
        await tools.serve_stdio()
    finally:
        await serving.stop()
