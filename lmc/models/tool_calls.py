"""Tools in the protocol of chat completions: what is offered, and the calls in an answer.

Servers speak dialects: arguments as an object or as nothing, ids that are empty or repeated, a call
in the old field `function_call`. What is read here has the types of `ToolCall`, whatever was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lmc.models.base import Message, ToolCall

MOST_CALLS = 64  # of one answer; a larger number is a fault of the model
MOST_ARGUMENTS = 1_000_000  # characters
_MOST_EXTRA = 100_000  # characters of what a provider wants back with a call
_MOST_NAME = 200
_EXTRA = ("extra_content", "provider_specific_fields")  # such as signatures of thoughts

# A server that cannot be offered tools, in the words of Ollama, OpenRouter, vLLM and llama.cpp.
_NO_TOOLS = re.compile(
    r"not support\w*( the)?( use of)? (tool|function)|support (tool use|tools|function call)"
    r"|enable-auto-tool-choice|tool-call-parser|tools? param requires|--jinja"
    r"|tool[ _](use|calls?|calling)\w* (is|are) (not|un|dis)"
    r"|['\"`]?tools['\"`]?:? .{0,60}(not (permitted|allowed|supported)|unsupported|unexpected"
    r"|unrecognized|unknown|extra)|(unsupported|unexpected|unrecognized|unknown|extra)"
    r".{0,60}\btools\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"tool[_ ]choice", re.IGNORECASE)


def message_data(message: Mapping[str, Any]) -> str:
    """What a message says beside its text, such as calls of tools, as JSON; else empty."""
    if len(message) == 2:
        return ""
    more = {key: value for key, value in message.items() if key not in ("role", "content")}
    return json.dumps(more, sort_keys=True) if more else ""


def has_tool_turns(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some messages hold calls of tools or their results."""
    return any(m["role"] == "tool" or "tool_calls" in m for m in messages)


def without_tool_turns(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with calls of tools as text, and what the tools gave as told by the user.

    Neighbours of one role are joined, as strict servers demand it.
    """
    if not has_tool_turns(messages):
        return messages
    told: list[Message] = []
    names: dict[Any, str] = {}  # of tools, by the ids of their calls
    for message in messages:
        role, content = message["role"], message["content"] or ""
        if role == "tool":
            role = "user"
            content = result_text(names.get(message.get("tool_call_id")), content)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            names[call["id"]] = function["name"]
            content = "\n".join(filter(None, (content, call_text(**function))))
        if told and told[-1]["role"] == role and role != "system":
            content = f"{told.pop()['content']}\n\n{content}"
        told.append({"role": role, "content": content})
    return told


def call_text(name: str, arguments: str) -> str:
    """A call of a tool as a text."""
    return f"{name}({arguments})"


def result_text(name: str | None, content: str) -> str:
    """What a tool gave, as the user tells it."""
    return f"Result of the tool{f' `{name}`' if name else ''}:\n{content}"


def wire_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message as servers take it: beside calls of tools, no text is null."""
    if message.get("tool_calls") and not message["content"]:
        return {**message, "content": None}
    return message


def refuses_tools(status: int, text: str) -> bool:
    """Whether an error says that the model or the server cannot be offered tools."""
    return status in (400, 404, 422, 500, 501) and _NO_TOOLS.search(text) is not None


def refuses_choice(status: int, text: str) -> bool:
    """Whether an error is about the demand that a tool must be called."""
    return status in (400, 422, 500, 501) and _CHOICE.search(text) is not None


def read_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls in the message of an answer, in order. What is not a call is left out."""
    found = message.get("tool_calls")
    listed = found if isinstance(found, list) else []
    if not listed and isinstance(message.get("function_call"), Mapping):
        listed = [{"function": message["function_call"]}]
    calls = (_read(item) for item in listed[:MOST_CALLS] if isinstance(item, Mapping))
    return tuple(call for call in calls if call is not None)


def _read(item: Mapping[str, Any]) -> ToolCall | None:
    function = item.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return None
    given = item.get("id")
    extra = {key: item[key] for key in _EXTRA if item.get(key)}
    if len(_json(extra)) > _MOST_EXTRA:
        extra = {}
    id, name = given if isinstance(given, str) else "", function["name"][:_MOST_NAME]
    return ToolCall(id, name, _arguments(function.get("arguments")), extra)


def _arguments(given: Any) -> str:
    """Arguments as text: Ollama and Gemini send an object, and others nothing for none."""
    text = given if isinstance(given, str) else "{}" if given is None else _json(given)
    return text.strip()[: MOST_ARGUMENTS + 1] or "{}"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "null"


def sound_calls(calls: Any, sound_text: Any) -> tuple[ToolCall, ...]:
    """The calls with valid text. What another program put in the place of a call is left out."""
    if not isinstance(calls, tuple | list):
        return ()
    return tuple(
        ToolCall(sound_text(c.id), sound_text(c.name), sound_text(c.arguments), dict(c.extra))
        for c in calls
        if isinstance(c, ToolCall)
        and all(isinstance(text, str) for text in (c.id, c.name, c.arguments))
        and isinstance(c.extra, Mapping)
    )


def calls_text(calls: tuple[ToolCall, ...]) -> str:
    """The calls as a text, for traces and estimates."""
    return "\n".join(call_text(call.name, call.arguments) for call in calls)
