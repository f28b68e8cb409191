"""Requests as tokens: the prompt of a chat, and what of it other requests may begin with too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmc.models.base import Message, Request
from lmc.special_tokens import without_tokens

_SHARED_PREFIX_TOKENS = 16  # below this one prefill is as quick
_KNOWN_HEADS = 256  # beginnings of prompts whose tokens are remembered

Ids = tuple[int, ...]


@dataclass(slots=True)
class Head:
    """What a prompt begins with, and in how many requests that was so."""

    ids: Ids
    times: int = 0


def plain_messages(messages: Sequence[Message], tokens: Sequence[str]) -> list[Message]:
    """Messages whose contents hold none of a tokenizer's special tokens.

    Only the chat template may begin and end turns. Prompts come here with the tokens of known
    families disarmed; those of the tokenizer may be others.
    """
    return [m | {"content": without_tokens(m["content"], tokens)} for m in messages]


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The texts that a tokenizer reads as special tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    own = {str(token) for token in added if getattr(token, "special", False)}
    return tuple(sorted(own | set(getattr(tokenizer, "all_special_tokens", ()))))


class ChatTokens:
    """A tokenizer with its chat template; with `heads` it looks for what prompts share."""

    def __init__(self, tokenizer: Any, *, heads: bool) -> None:
        self._tokenizer, self._wants_heads = tokenizer, heads
        self._special = special_tokens(tokenizer)
        self._heads: OrderedDict[str, Head] = OrderedDict()

    def prompt(self, request: Request) -> tuple[Ids, Head | None]:
        """The tokens of a prompt, and its turns but the last where they are a beginning of it."""
        messages = plain_messages(request.messages, self._special)
        if not self._tokenizer.chat_template:
            text = "".join(message["content"] + "\n\n" for message in messages)
            return tuple(self._tokenizer(text)["input_ids"]), None
        text = self._chat(messages, add_generation_prompt=True)
        prompt = self._tokens(text)
        return prompt, self._head(messages, text, prompt) if self._wants_heads else None

    def _head(self, messages: Sequence[Message], text: str, prompt: Ids) -> Head | None:
        if len(messages) < 2:
            return None
        try:
            words = self._chat(messages[:-1], add_generation_prompt=False)
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
