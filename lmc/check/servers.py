"""Checks tools from elsewhere: the address of an MCP server, `mcp:URL` or `mcp:command`.

`python:` stands for functions that the caller gives, `lmc.load(…, tools={"name": [f, g]})`.

The check is offline. The tools of a server are compared with the program when it is reached.
"""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

from lmc.check.program import MISSING, Param, Signature
from lmc.check.scope import CheckContext
from lmc.consent import CALLER
from lmc.frozen import frozen
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import JSON, STR

PREFIX = "mcp:"
# Settings of tools that only servers understand: the name there, variables that a command gets, and
# the variable whose key a URL gets.
OF_SERVERS = ("name", "env", "api_key_env")


@frozen
class ServerAddress:
    """Where a server is: at a URL, or behind a command and its arguments."""

    url: str | None
    command: tuple[str, ...]


def is_server(target: str) -> bool:
    """Whether a target is a tool of a server, not a Python function that the program names."""
    return target.startswith(PREFIX) or target == CALLER


def server_address(target: str) -> ServerAddress:
    """The address in a target. Raises: ValueError, with the problem in words."""
    text = target.removeprefix(PREFIX).strip()
    if not text:
        raise ValueError("it names neither a command nor a URL")
    if not text.lower().startswith(("http://", "https://")):
        try:
            return ServerAddress(None, tuple(shlex.split(text)))
        except ValueError as problem:
            raise ValueError(f"the command cannot be split into words: {problem}") from None
    parts = urlsplit(text)
    if not parts.hostname:
        raise ValueError("the URL has no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a password would be in every copy of the program")
    return ServerAddress(text, ())


def check_server(ctx: CheckContext, target: nodes.String) -> None:
    """Report an address that cannot be one."""
    if target.value == CALLER:
        return
    try:
        server_address(target.value)
    except ValueError as problem:
        help = 'write `from "mcp:command arguments"` or `from "mcp:https://host/mcp"`'
        message = f'"{target.value}" is not the address of a server: {problem}'
        ctx.report("bad-target", message, target.span, help=help)


def any_tool(span: Span) -> Signature:
    """The signature of a whole server: the name of one of its tools, and the arguments."""
    tool = Param("tool", STR, MISSING, False, span, "the name of a tool of the server")
    arguments = Param("arguments", JSON, {}, False, span, "by name, as a JSON object")
    return Signature((tool, arguments), JSON, JSON)
