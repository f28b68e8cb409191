"""What MCP servers write: read as results, and mended before the package `mcp` refuses it.

One odd tool would make the whole server useless: some servers write `[]` for an empty object, or
leave out the schema of a tool without parameters. A server may also print greetings between its
messages, which are overheard, and told in a line of the log instead of a traceback.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from lmc.redaction import logger

_log = logger(__name__)
_TOLD = 200  # characters of a line that is no message


@contextlib.asynccontextmanager
async def mended(transport: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A transport whose incoming messages are mended."""
    _quieten()
    async with transport as (read, write):
        yield _MendedStream(read), write


class _MendedStream:
    """A stream of messages of a server."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> _MendedStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> Any:
        return await self._stream.__aexit__(*failure)

    def __aiter__(self) -> _MendedStream:
        return self

    async def __anext__(self) -> Any:
        item = await self._stream.__anext__()
        result = getattr(getattr(item, "message", None), "result", None)
        if isinstance(result, dict):
            mend(result)
        return item


def mend(result: dict[str, Any]) -> None:
    """Mend a list of tools or the result of a call in place. What stays wrong is left out."""
    if isinstance(result.get("tools"), list):
        tools = [_tool(tool) for tool in result["tools"]]
        result["tools"] = [tool for tool in tools if tool is not None]
    if not isinstance(result.get("structuredContent", {}), dict):
        del result["structuredContent"]
    if result.get("content", ()) is None:
        result["content"] = []


def _tool(given: Any) -> dict[str, Any] | None:
    """A tool with a schema that is an object; None if it has no name."""
    from mcp.types import Tool
    from pydantic import ValidationError

    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
        _log.info("a server lists a tool without a name, which is left out")
        return None
    made = {**given, "inputSchema": _schema(given.get("inputSchema"))}
    if not isinstance(made.get("outputSchema", {}), dict):
        del made["outputSchema"]
    try:
        Tool.model_validate(made, by_name=False)
    except ValidationError:
        doc = given.get("description")
        told = {"description": doc} if isinstance(doc, str) else {}
        return {"name": given["name"], **told, "inputSchema": made["inputSchema"]}
    return made


def _schema(given: Any) -> dict[str, Any]:
    """The schema of an object, whatever the server has."""
    made = dict(given) if isinstance(given, dict) else {}
    made["type"] = "object"
    if not isinstance(made.get("properties", {}), dict):
        made["properties"] = {}
    needed = made.pop("required", None)
    if isinstance(needed, list):
        made["required"] = [name for name in needed if isinstance(name, str)]
    return made


def _quieten() -> None:
    """Make one short line of each traceback about a line that is no message."""
    there = logging.getLogger("mcp.client.stdio")
    if not any(isinstance(known, _Short) for known in there.filters):
        there.addFilter(_Short())


class _Short(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        problem = record.exc_info[1] if record.exc_info else None
        if isinstance(problem, ValueError):
            _log.info("a server wrote a line that is no message: %s", str(problem)[:_TOLD])
            return False
        return True


# --- results ---


def readings(structured: Any, text: str) -> list[Any]:
    """What a result may mean. Some servers wrap a plain value as `{"result": …}`."""
    found: list[Any] = []
    if isinstance(structured, dict) and list(structured) == ["result"]:
        found.append(structured["result"])
    if structured is not None:
        found.append(structured)
    with contextlib.suppress(ValueError, RecursionError):
        if text[:1] not in ("", '"'):
            found.append(json.loads(text))
    return [*found, text]


def text_of(content: Any) -> str:
    """The text of content blocks. Other media are named, not shown."""
    return "\n".join(_block(block) for block in content)


def _block(block: Any) -> str:
    kind = getattr(block, "type", "")
    resource = getattr(block, "resource", None)
    if kind == "text":
        return str(block.text)
    if resource is not None and getattr(resource, "text", None) is not None:
        return str(resource.text)
    if kind == "resource_link":
        return str(getattr(block, "uri", ""))
    return f"[{kind or 'content'} of {getattr(block, 'mime_type', None) or 'an unknown type'}]"
