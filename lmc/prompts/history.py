"""A conversation as real turns of a prompt, in an order of roles that strict servers accept.

After the system message, turns of user and assistant alternate, and the user's comes first. So
neighbours of one role are joined, empty turns are left out, and an opening of the assistant gets a
short turn of the user before it. What the conversation says as `system` joins the system message.

Calls of tools are true turns where each has its result right after it, and get new ids. All else
about tools is text: the assistant says what it calls, and the user tells what a tool gave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lmc.prompts.spec import CallSpec, Message
from lmc.prompts.wire_calls import past_id, wire_call, wire_name
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
    calls = turn.get("calls", [])
    return (
        isinstance(turn.get("content", ""), str)
        and isinstance(turn.get("files", []), list)
        and isinstance(calls, list)
        and all(isinstance(c, dict) and isinstance(c.get("tool"), str) for c in calls)
    )


def system_words(turns: Sequence[Mapping[str, Any]]) -> str:
    """What a conversation says as `system`."""
    return "\n\n".join(filter(None, (said(t) for t in turns if t["role"] == "system")))


def with_question(turns: Sequence[Mapping[str, Any]], question: str) -> list[Message]:
    """The turns of a conversation, then the question, which may be empty."""
    messages: list[Message] = []
    rest = [turn for turn in turns if turn["role"] != "system"]
    number = 0  # of the next call of a tool
    while rest:
        turn = rest.pop(0)
        if results := _results(turn, rest):
            _add_calls(messages, turn, results, number)
            rest, number = rest[len(results) :], number + len(results)
        elif content := said(turn):
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


def _results(turn: Mapping[str, Any], following: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the tools gave that a turn calls, in the order of the calls.

    Empty unless each call has one result among the next turns, by its id or else by its place.
    """
    calls = turn.get("calls") or []
    if turn["role"] != "assistant" or not all(isinstance(c.get("arguments"), dict) for c in calls):
        return []
    results = following[: len(calls)]
    told = [r for r in results if r["role"] == "tool" and not r.get("files")]
    if len(told) < len(calls):
        return []
    texts = {r.get("call"): r.get("content") or "" for r in told}
    if set(texts) == {None}:
        return [r.get("content") or "" for r in told]
    ids = [call.get("id") for call in calls]
    return [texts[id] for id in ids] if len(texts) == len(ids) and set(texts) == {*ids} else []


def _add_calls(
    messages: list[Message], turn: Mapping[str, Any], results: Sequence[str], number: int
) -> None:
    """Add a turn with calls of tools, and the results. What was said right before joins it."""
    content = said({**turn, "calls": []})
    if messages and messages[-1]["role"] == "assistant":
        content = "\n\n".join(filter(None, (messages.pop()["content"], content)))
    ids = [past_id(number + place) for place in range(len(results))]
    calls = [
        wire_call(id, wire_name(call["tool"]), call.get("arguments", {}))
        for id, call in zip(ids, turn["calls"])
    ]
    messages.append({"role": "assistant", "content": content, "tool_calls": calls})
    messages += (
        {"role": "tool", "tool_call_id": id, "content": result} for id, result in zip(ids, results)
    )


def said(turn: Mapping[str, Any]) -> str:
    """What a turn says, its files first and its calls last; empty if it says nothing."""
    content = turn.get("content") or ""
    files = turn.get("files") or ()
    for call in turn.get("calls") or ():
        arguments = json.dumps(call.get("arguments", {}), ensure_ascii=False)
        content = "\n".join(filter(None, (content, f"{call['tool']}({arguments})")))
    if not content.strip() and not files:
        return ""
    if turn["role"] == "tool":
        name = turn.get("tool")
        content = f"Result of the tool{f' `{name}`' if name else ''}:\n{content}"
    return "\n".join([*map(str, files), *([content] if content.strip() else [])])
