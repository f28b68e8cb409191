"""Caches of prompts: where a provider wants to be told what prompts have in common.

Anthropic's models cache a beginning of a prompt up to a mark, and writing it costs a quarter more
than reading it plainly. Other providers cache by themselves. All calls of a module have the first
turn in common, and its demonstrations too unless each input has its own.

Source: https://docs.claude.com/en/docs/build-with-claude/prompt-caching and
https://openrouter.ai/docs/features/prompt-caching.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Shared = Literal["turns", "head"]  # all turns but the last are shared, or only the first one
Wish = Literal["turns", "head", "auto turns", "auto head"]
_MARK = {"cache_control": {"type": "ephemeral"}}
_REMEMBERED = 256  # beginnings that were sent lately


def wished(setting: bool | str | None, shared: Shared | None) -> Wish | None:
    """What a module's setting means for its prompts."""
    if not setting or shared is None:
        return None
    auto: dict[Shared, Wish] = {"turns": "auto turns", "head": "auto head"}
    return auto[shared] if setting == "auto" else shared


class Beginnings:
    """The beginnings of prompts that were sent. With `auto`, the second one like it is marked."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, None] = OrderedDict()

    def marked(self, messages: Sequence[Mapping[str, Any]], wish: Wish) -> list[Mapping[str, Any]]:
        """The messages with a mark behind what they share with others."""
        found, count = list(messages), shared_turns(messages, wish)
        if not count:
            return found
        key = digest(messages[:count])
        known = key in self._sent
        self._sent[key] = None
        self._sent.move_to_end(key)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        if wish.startswith("auto") and not known:
            return found
        found[count - 1] = _with_mark(found[count - 1])
        return found


def shared_turns(messages: Sequence[Mapping[str, Any]], wish: Wish) -> int:
    """How many turns at the beginning are shared. The last one never is."""
    most = len(messages) - 1
    return min(1, most) if wish.endswith("head") else most


def digest(messages: Sequence[Mapping[str, Any]]) -> str:
    """Identifies the beginning of a prompt."""
    return hashlib.sha256(json.dumps(list(messages), default=str).encode()).hexdigest()[:32]


def _with_mark(message: Mapping[str, Any]) -> Mapping[str, Any]:
    content = message["content"]
    if not content:
        return message  # calls of tools; an empty part cannot be marked
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return {**message, "content": [*parts[:-1], {**parts[-1], **_MARK}]}
