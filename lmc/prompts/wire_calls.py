"""Calls of tools in the messages of chat completions: their names, ids and arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def wire_call(
    id: str, name: str, arguments: Any, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A call of a tool whose name the protocol allows. `extra` is what a provider wants back."""
    text = json.dumps(arguments, ensure_ascii=False)
    function = {"name": name, "arguments": text}
    return {"id": id, "type": "function", "function": function, **(extra or {})}


def wire_name(name: str) -> str:
    """A name as providers allow it."""
    return _NOT_IN_NAMES.sub("_", name)[:64] or "_"


def made_id(turn: int, place: int) -> str:
    """The id of a call that has none of its own: nine letters and digits, as Mistral wants it."""
    return f"call{turn % 100:02d}{place % 1000:03d}"


def past_id(number: int) -> str:
    """The id of a call in a conversation before this call of a model."""
    return f"past{number % 100_000:05d}"
