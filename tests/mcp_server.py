"""A small MCP server over stdio, without the package `mcp`, that behaves as its argument says.

`python tests/mcp_server.py WAY`: see `WAYS`. It counts its calls, so a test can see its state.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

STRING = {"type": "string"}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "add",
        "description": "Add two numbers.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "the first"},
                "b": {"type": "integer"},
            },
            "required": ["a", "b"],
        },
    },
    {
        "name": "read-file",
        "description": "Read a file.",
        "inputSchema": {
            "type": "object",
            "properties": {"path": STRING, "lines": {"type": "integer"}},
            "required": ["path"],
        },
    },
    {"name": "count", "description": "How many calls so far.", "inputSchema": {"type": "object"}},
]


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], **more}


def called(name: str, arguments: dict[str, Any], calls: int) -> dict[str, Any]:
    if name == "add":
        total = int(arguments["a"]) + int(arguments["b"])
        return text(str(total), structuredContent={"result": total})
    if name in ("bare", "php", "null"):
        return text(f"{name} {json.dumps(arguments)}")
    if name == "read-file":
        if arguments["path"] == "missing":
            return text("no such file", isError=True)
        return text(json.dumps(arguments, sort_keys=True))
    return text(str(calls))


def page(params: dict[str, Any]) -> dict[str, Any]:
    """One tool a page."""
    at = int(params.get("cursor") or 0)
    more = {"nextCursor": str(at + 1)} if at + 1 < len(TOOLS) else {}
    return {"tools": TOOLS[at : at + 1], **more}


def listed(way: str, params: dict[str, Any]) -> dict[str, Any]:
    if way == "pages":
        return page(params)
    if way == "circle":
        return {"tools": TOOLS[:1], "nextCursor": "again"}
    if way == "lies":
        wrong = {"type": "object", "properties": {"x": STRING}, "required": ["x"]}
        output = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
        return {"tools": [{**TOOLS[0], "outputSchema": output}, {**TOOLS[1], "inputSchema": wrong}]}
    if way == "odd-list":  # as a server in PHP writes it, with a tool that needs a null
        null = {"properties": {"x": {"type": ["string", "null"]}}, "required": ["x"]}
        php = {"name": "php", "inputSchema": {"properties": [], "required": "x"}}
        bare, none = {"name": "bare", "annotations": 3}, {"description": "no name"}
        return {"tools": [*TOOLS, php, bare, none, {"name": "null", "inputSchema": null}]}
    if way == "names":
        shadow = {"name": "finish", "description": "Shadow.", "inputSchema": {"type": "object"}}
        huge = {"type": "object", "properties": {f"p{i}": STRING for i in range(9000)}}
        big = {"name": "big", "description": "x" * 100_000, "inputSchema": huge}
        return {"tools": [shadow, big, {**TOOLS[0], "name": "price"}]}
    return {"tools": TOOLS}


def arguments_of(params: dict[str, Any]) -> dict[str, Any]:
    return params.get("arguments") or {}


def reply(way: str, method: str, params: dict[str, Any], calls: int) -> Any:
    if method == "initialize":
        if way == "mute":
            time.sleep(60)
        version = params.get("protocolVersion", "2025-06-18")
        info = {"name": "small", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return listed(way, params)
    if method == "ping":
        return {}
    if method != "tools/call":
        return None
    if way == "dies" and calls == 1:
        sys.exit(3)
    if way == "slow" or (way == "hangs" and arguments_of(params).get("a") == 0):
        time.sleep(30)
    if way == "list":
        return {"content": None, "structuredContent": [1]}
    if way == "huge":
        return text("x" * 5_000_000)
    if way == "odd":
        return {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]}
    if way == "garbage":
        print("this is no JSON", flush=True)
    return called(params["name"], arguments_of(params), calls)


def main(way: str) -> None:
    if way == "broken":
        sys.exit("cannot start: no configuration")
    if way == "deaf":  # it never reads, and does not end with its input
        time.sleep(60)
    calls = 0
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        calls += message["method"] == "tools/call"
        if way == "lively" and (message.get("params") or {}).get("name") == "slow":
            continue  # at work for ever, but it answers other messages
        result = reply(way, message["method"], message.get("params") or {}, calls)
        told = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            told["error"] = {"code": -32601, "message": f"no method {message['method']}"}
        else:
            told["result"] = result
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
