"""Shorten a conversation to the tokens that `keep:` declares: its oldest exchanges are left out.

An exchange is a turn of the user with all that follows it, up to the next one. Turns of the role
`system` stay. A local model's own tokenizer counts; for others it is an estimate, rather too high.
What is left out is logged, and each call's trace has the number of turns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.media.content import Media
from lmc.models.border import estimated_tokens
from lmc.models.media_parts import media_tokens
from lmc.redaction import logger

if TYPE_CHECKING:
    from lmc.runtime.call import ModuleCall

_log = logger(__name__)
TURN_TOKENS = 8  # that a chat template adds around a turn
Turn = Mapping[str, Any]


async def shortened(call: ModuleCall, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The inputs with as much of their conversation as `keep:` allows, and the turns left out.

    Raises: LmcError[history-too-long] if its `system` turns alone are too many.
    """
    given, name = dict(inputs), call.spec.history
    turns = given.get(name) if name else None
    if name is None or not turns or call.keep is None:
        return given, 0
    counts = await _counts(call, turns)
    if sum(counts) <= call.keep:
        return given, 0
    kept = _newest(turns, counts, call.keep)
    if kept is None:
        message = f"the system turns of `{name}` alone have more than {call.keep:,} tokens"
        help = f"raise `keep:` of `{call.slots.module}`, or shorten them"
        raise LmcError.of("history-too-long", message, call.node.span, help=help)
    dropped = len(turns) - len(kept)
    told = f"`{call.slots.module}`: the oldest {dropped} of {len(turns)} turns of `{name}` are left"
    _log.log(*call.first_time(f"{told} out, to keep {call.keep:,} tokens"))
    return given | {name: kept}, dropped


async def _counts(call: ModuleCall, turns: Sequence[Turn]) -> list[int]:
    texts = [_text(turn) for turn in turns]
    count = getattr(call.bound.backend, "count_tokens", None)
    found = [estimated_tokens(text) for text in texts] if count is None else await count(texts)
    return [n + TURN_TOKENS + _files(turn) for n, turn in zip(found, turns)]


def _text(turn: Turn) -> str:
    calls = turn.get("calls") or ""
    return str(turn.get("content") or "") + (json.dumps(calls) if calls else "")


def _files(turn: Turn) -> int:
    return media_tokens([Media.from_json(file) for file in turn.get("files") or ()])


def _newest(turns: Sequence[Turn], counts: Sequence[int], most: int) -> list[Turn] | None:
    """The `system` turns, and as many of the newest exchanges as fit; None if not even those do."""
    left = most - sum(n for turn, n in zip(turns, counts) if turn["role"] == "system")
    if left < 0:
        return None
    start = len(turns)
    for first, end in reversed(_exchanges(turns)):
        size = sum(counts[i] for i in range(first, end) if turns[i]["role"] != "system")
        if size > left:
            break
        left, start = left - size, first
    return [turn for i, turn in enumerate(turns) if i >= start or turn["role"] == "system"]


def _exchanges(turns: Sequence[Turn]) -> list[tuple[int, int]]:
    """Where each exchange starts and ends; the first one may lack a turn of the user."""
    starts = [i for i, turn in enumerate(turns) if turn["role"] == "user" or not i]
    return list(zip(starts, [*starts[1:], len(turns)]))
