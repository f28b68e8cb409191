"""What an agent did as turns of a conversation: its calls, their results, and its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from lmc.check.builtins import turn
from lmc.prompts.tool_turns import CALL
from lmc.prompts.wire_calls import made_id


def done(transcript: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The steps of an agent. The calls of one answer are one turn, and their results follow."""
    found: list[dict[str, Any]] = []
    for number, (_, steps) in enumerate(groupby(enumerate(transcript), _turn)):
        listed = [step for _, step in steps]
        known = [step.get(CALL) or {} for step in listed]
        ids = [call.get("id") or made_id(number, place) for place, call in enumerate(known)]
        calls = [
            {"tool": step["tool"], "arguments": step.get("arguments") or {}, "id": id}
            for id, step in zip(ids, listed)
        ]
        found.append({**turn("assistant", str(known[0].get("said") or "")), "calls": calls})
        found += [
            {**turn("tool", str(step["observation"])), "tool": step["tool"], "call": id}
            for id, step in zip(ids, listed)
        ]
    return found


def said(answer: Any) -> dict[str, Any]:
    """The turn that gives the answer."""
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return turn("assistant", text)


def _turn(numbered: tuple[int, Mapping[str, Any]]) -> tuple[bool, int]:
    """The answer of the model that a step belongs to; of a model that writes fields, its own."""
    number, step = numbered
    called = step.get(CALL)
    return (True, called.get("turn", number)) if called else (False, number)
