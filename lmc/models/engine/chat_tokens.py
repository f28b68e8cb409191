"""Requests as tokens: the prompt of a chat, and what of it other requests may begin with too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmc.models.base import Request

_SHARED_PREFIX_TOKENS = 16  # below this one prefill is as quick
_KNOWN_HEADS = 256  # beginnings of prompts whose tokens are remembered

Ids = tuple[int, ...]


@dataclass(slots=True)
class Head:
    """What a prompt begins with, and in how many requests that was so."""

    ids: Ids
    times: int = 0


class ChatTokens:
    """A tokenizer with its chat template; with `heads` it looks for what prompts share."""

    def __init__(self, tokenizer: Any, *, heads: bool) -> None:
        self._tokenizer, self._wants_heads = tokenizer, heads
        self._heads: OrderedDict[str, Head] = OrderedDict()

    def prompt(self, request: Request) -> tuple[Ids, Head | None]:
        """The tokens of a prompt, and its turns but the last where they are a beginning of it."""
        if not self._tokenizer.chat_template:
            text = "".join(message["content"] + "\n\n" for message in request.messages)
            return tuple(self._tokenizer(text)["input_ids"]), None
        text = self._chat(request.messages, add_generation_prompt=True)
        prompt = self._tokens(text)
        return prompt, self._head(request, text, prompt) if self._wants_heads else None

    def _head(self, request: Request, text: str, prompt: Ids) -> Head | None:
        if len(request.messages) < 2:
            return None
        try:
            words = self._chat(request.messages[:-1], add_generation_prompt=False)
        except Exception:  # a template may refuse a chat that ends so
            return None
        if not text.startswith(words):
            return None
        if words not in self._heads:
            self._heads[words] = Head(self._tokens(words))
            if len(self._heads) > _KNOWN_HEADS:
                self._heads.popitem(last=False)
        head = self._heads[words]
        self._heads.move_to_end(words)
        size = len(head.ids)
        if not _SHARED_PREFIX_TOKENS <= size < len(prompt) or prompt[:size] != head.ids:
            return None
        head.times += 1
        return head

    def _chat(self, messages: Sequence[Any], *, add_generation_prompt: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=add_generation_prompt, tokenize=False
            )
        )

    def _tokens(self, text: str) -> Ids:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
