"""A conversation as real turns of a prompt, in an order of roles that strict servers accept.

After the system message, turns of user and assistant alternate, and the user's comes first. So
neighbours of one role are joined, empty turns are left out, an opening of the assistant gets a
short turn of the user before it, and results of tools are told by the user. What the conversation
says as `system` joins the system message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmc.prompts.spec import CallSpec, Message
from lmc.types import ROLES

BEGUN = "(The conversation begins.)"
REPLY = "(Reply now, as you are instructed.)"


def history_of(spec: CallSpec, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The turns of the conversation among some inputs; empty without one."""
    turns = values.get(spec.history) if spec.history else None
    return [t for t in turns if _is_turn(t)] if isinstance(turns, list) else ()


def _is_turn(turn: Any) -> bool:
    """Whether something is a turn: a demonstration in an artifact may hold anything."""
    return isinstance(turn, dict) and turn.get("role") in ROLES and _is_said(turn)


def _is_said(turn: Mapping[str, Any]) -> bool:
    return isinstance(turn.get("content", ""), str) and isinstance(turn.get("files", []), list)


def system_words(turns: Sequence[Mapping[str, Any]]) -> str:
    """What a conversation says as `system`."""
    return "\n\n".join(filter(None, (said(t) for t in turns if t["role"] == "system")))


def with_question(turns: Sequence[Mapping[str, Any]], question: str) -> list[Message]:
    """The turns of a conversation, then the question, which may be empty."""
    messages: list[Message] = []
    for turn in turns:
        if turn["role"] != "system" and (content := said(turn)):
            add(messages, "assistant" if turn["role"] == "assistant" else "user", content)
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": BEGUN})
    if question:
        add(messages, "user", question)
    elif not messages or messages[-1]["role"] == "assistant":
        add(messages, "user", REPLY)
    return messages


def add(messages: list[Message], role: str, content: str) -> None:
    """Add a turn. One of the same role as the last one joins it."""
    if messages and messages[-1]["role"] == role:
        content = f"{messages.pop()['content']}\n\n{content}"
    messages.append({"role": role, "content": content})


def said(turn: Mapping[str, Any]) -> str:
    """What a turn says, its files first; empty if it says nothing."""
    content = turn.get("content") or ""
    files = turn.get("files") or ()
    if not content.strip() and not files:
        return ""
    if turn["role"] == "tool":
        name = turn.get("tool")
        content = f"Result of the tool{f' `{name}`' if name else ''}:\n{content}"
    return "\n".join([*map(str, files), *([content] if content.strip() else [])])
